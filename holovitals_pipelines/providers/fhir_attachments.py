"""The content behind an Attachment's address at a FHIR server: a Binary, as FHIR or as itself, or another address.

Law: only hosts of the connection are asked, and only its own origin is shown the token (`VendorHttp`).
"""

from __future__ import annotations

import re
from base64 import b64decode

import httpx
import msgspec

from holovitals_pipelines.model.attachment import Content
from holovitals_pipelines.model.errors import PermanentError, ProtocolError
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.http import VendorHttp

BINARY = "GET Binary/{id}"
_OTHER = "GET attachment"
_BASE64_GROWTH = 1.4
"""Content in a FHIR Binary is a third larger, and has a few words around it."""


class _Binary(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    content_type: str | None = None
    data: str = ""


_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)


def is_binary(http: VendorHttp, address: str) -> bool:
    """Whether the address is a Binary of this very server. Raises ProtocolError for what is no address."""
    url = _url(http, address)
    below = str(url.copy_with(query=None)).removeprefix(str(http.base_url))
    return http.is_own(url) and below.startswith("Binary/")


async def fetch(http: VendorHttp, address: str, content_type: str | None, *, limit: int) -> Content:
    """The content at an address that a resource of this connection named. Raises VendorError.

    `content_type` is what the resource says it is; `limit` the most bytes it may have.
    """
    operation = BINARY if is_binary(http, address) else _OTHER
    answer = await http.request(
        "GET",
        _url(http, address),
        operation=operation,
        headers={"Accept": content_type if content_type and _MEDIA_TYPE.fullmatch(content_type) else "*/*"},
        largest_bytes=int(limit * _BASE64_GROWTH) + 4096,
    )
    content = _content(http, answer, operation)
    if len(content.body) > limit:
        raise PermanentError(
            f"the content is larger than the {limit:,} bytes that this connection takes",
            code="attachment.too_large",
            place=http.place(operation),
            remedy="raise attachments.max_bytes of the connection if this is legitimate",
        )
    return content


def _url(http: VendorHttp, address: str) -> httpx.URL:
    try:
        if not address.startswith("#"):  # what is inside the resource itself is nowhere else
            return http.resolve(address).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError):
        pass
    raise ProtocolError(
        "what the record gives as an address is none",
        code="attachment.bad_address",
        place=http.place(_OTHER),
        remedy="report it to the vendor; a corrected address is followed",
    )


def _content(http: VendorHttp, answer: Answer, operation: str) -> Content:
    media = answer.headers.get("content-type")
    if media is None or "json" not in media.lower():
        return Content(answer.body, media)
    try:
        binary = msgspec.json.decode(answer.body, type=_Binary)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Content(answer.body, media)
    if binary.resource_type != "Binary":
        return Content(answer.body, media)
    try:
        return Content(b64decode(binary.data, validate=True), binary.content_type)
    except ValueError:
        raise ProtocolError(
            "the Binary's data is not base64",
            code="attachment.not_base64",
            place=http.place(operation),
            remedy="report it to the vendor; it is asked for again by later jobs",
            status=answer.status,
        ) from None
