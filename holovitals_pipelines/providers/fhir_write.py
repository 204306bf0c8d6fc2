"""FHIR REST with one resource: read what is there now, create, replace, patch, delete, find by identifier.

Law: a write is sent once, and a success whose answer cannot be read is an unknown outcome, not a success.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.fhir.wire import Head, MalformedResource, read_head, read_outcome
from holovitals_pipelines.model.errors import (
    GoneError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    PermanentError,
    ProtocolError,
    TransientError,
)
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.writing import Absent, Current, Document, Present, Written
from holovitals_pipelines.providers import json_patch
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.answers import Answer, rule_error, vendor_rule
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.fhir_rest import Query, quoted, read_source, search
from holovitals_pipelines.providers.http import FHIR_JSON, VendorHttp
from holovitals_pipelines.providers.json_patch import PatchRules, not_offered, write_patch
from holovitals_pipelines.providers.refusals import (
    RefusalTable,
    Write,
    judge,
    not_the_servers_word,
    says_so_itself,
)

_ETAG = re.compile(r'(?:W/)?"([^"]*)"\Z')
_SENDABLE = re.compile(r"[\x21\x23-\x7e]{1,128}\Z")
"""What may stand between an ETag's quotes (RFC 9110 §8.8.3), within the length versions have anywhere."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a read showed, and whether it showed it with an ETag."""

    current: Current
    etag: bool


@dataclass(frozen=True, slots=True)
class Pen:
    """What every write at one connection needs: the client, the vendor's refusals, and the patience for an answer."""

    http: VendorHttp
    refusals: RefusalTable
    timeout_seconds: float

    async def send(
        self,
        write: Write,
        method: str,
        path: str,
        *,
        operation: str,
        content: bytes | None = None,
        media_type: str = FHIR_JSON,
        condition: Mapping[str, str],
    ) -> Answer:
        """A write with its condition's headers (none: unconditional). Raises what the answer stands for."""
        of_content = {} if content is None else {"Content-Type": media_type, "Prefer": "return=representation"}
        return await self.http.write(
            method,
            path,
            operation=operation,
            judge=judge(write, condition=bool(condition), table=self.refusals, codes=self.http.table),
            timeout_seconds=self.timeout_seconds,
            content=content,
            headers={**of_content, **condition},
        )


async def read_current(http: VendorHttp, resource_type: str, remote_id: str) -> Reading:
    """What the vendor holds. Raises VendorError for an answer that says neither what is there nor that nothing is."""
    operation = read_source(resource_type)
    try:
        answer = await http.request(
            "GET", f"{resource_type}/{quoted(remote_id)}", operation=operation, judge=_gateway_answered
        )
    except (GoneError, NotFoundError) as missing:
        if missing.status not in (404, 410) and not isinstance(missing, GoneError):
            raise
        return Reading(Absent(_evidence(missing)), etag=False)
    version = _etag(answer)
    return Reading(_present(http, resource_type, remote_id, answer, version, operation), etag=version is not None)


async def create(
    pen: Pen, resource_type: str, body: bytes, identifiers: Sequence[Identifier], *, conditional: bool
) -> Written:
    """POST; `conditional` sends `If-None-Exist` of the identifiers, and what is there already is what is answered."""
    operation = f"POST {resource_type}"
    condition = {"If-None-Exist": _identifier_query(identifiers)} if conditional and identifiers else {}
    answer = await pen.send(Write.CREATE, "POST", resource_type, operation=operation, content=body, condition=condition)
    place = pen.http.place(operation)
    stored, head = _stored(answer, resource_type, place=place)
    remote_id = head.id if head is not None else _located(answer, resource_type)
    if remote_id is None:
        raise outcome_unknown("the server did not say which resource it created", place=place, status=answer.status)
    if condition and answer.status == 200 and stored is None:
        there = (await read_current(pen.http, resource_type, remote_id)).current
        if isinstance(there, Absent):
            raise outcome_unknown("the resource the server says was there is gone", place=place)
        return Written(there.remote_id, there.version, there.body)
    return Written(remote_id, _version(answer, head), stored)


async def update(pen: Pen, resource_type: str, remote_id: str, body: bytes, *, if_match: str | None) -> Written:
    """PUT of the whole resource; `if_match` is the version it replaces, None sends no condition."""
    operation = f"PUT {resource_type}/{{id}}"
    path, place = f"{resource_type}/{quoted(remote_id)}", pen.http.place(operation)
    answer = await pen.send(
        Write.UPDATE, "PUT", path, operation=operation, content=body, condition=_if_match(if_match, place)
    )
    return _updated(answer, resource_type, remote_id, place)


async def patch(
    pen: Pen, resource_type: str, there: Present, body: bytes, *, rules: PatchRules, if_match: str | None
) -> Written:
    """JSON Patch that makes `body` of what is there. Nothing is sent where both say the same.

    Raises NotPermittedError where `rules` do not offer a change that is needed.
    """
    operation = f"PATCH {resource_type}/{{id}}"
    path, place = f"{resource_type}/{quoted(there.remote_id)}", pen.http.place(operation)
    current = read_document(there.body)
    operations = json_patch.patch(current, _with_what_is_the_vendors(current, read_document(body)), rules)
    if not operations:
        return Written(there.remote_id, there.version, there.body)
    if (element := not_offered(operations, rules)) is not None:
        raise _not_patched(resource_type, element, place)
    answer = await pen.send(
        Write.UPDATE,
        "PATCH",
        path,
        operation=operation,
        content=write_patch(operations),
        media_type=json_patch.MEDIA_TYPE,
        condition=_if_match(if_match, place),
    )
    return _updated(answer, resource_type, there.remote_id, place)


async def delete(pen: Pen, resource_type: str, remote_id: str, *, if_match: str | None) -> None:
    operation = f"DELETE {resource_type}/{{id}}"
    path, place = f"{resource_type}/{quoted(remote_id)}", pen.http.place(operation)
    answer = await pen.send(Write.DELETE, "DELETE", path, operation=operation, condition=_if_match(if_match, place))
    _stored(answer, resource_type, place=place)  # a login page with status 200 has deleted nothing


async def find(http: VendorHttp, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
    """Everything that carries any of the identifiers, each resource once.

    Raises NotPermittedError when the server shows that it does not search by identifier, and PermanentError when it
    shows less than it found: then "nothing found" proves nothing.
    """
    source = f"GET {resource_type}?identifier={{identifier}}"
    found: dict[str, Present] = {}
    for identifier in dict.fromkeys(identifiers):
        query = Query(resource_type, [("identifier", _token(identifier))], source, exact_total=False)
        async for page in search(http, query):
            if page.partial or any(problem.severity is not ErrorSeverity.WARNING for problem in page.problems):
                raise _shows_less(http, source)
            for body in page.bodies:
                if identifier not in _identifiers_of(body):
                    raise _not_searched(http, source)
                head = read_head(body)
                found[head.id] = Present(head.id, body, head.version_id, head.last_updated)
    return list(found.values())


def _gateway_answered(answer: Answer, place: str) -> HoloVitalsError | None:
    absent = answer.status in (404, 410) and not says_so_itself(answer)
    return not_the_servers_word(answer, place=place) if absent else None


def _evidence(error: GoneError | NotFoundError) -> str:
    status = HTTPStatus(error.status) if error.status is not None else HTTPStatus.GONE
    said = f"{status.value} {status.phrase}"
    return said if error.vendor_code is None else f"{said}, vendor code {error.vendor_code}"


def _present(
    http: VendorHttp, resource_type: str, remote_id: str, answer: Answer, etag: str | None, operation: str
) -> Present:
    place = http.place(operation)
    try:
        head = read_head(answer.body)
    except MalformedResource as malformed:
        raise _unreadable(http, answer, malformed, place) from None
    if head.resource_type != resource_type or head.id != remote_id:
        raise ProtocolError(
            "the server answered with another resource than was asked for",
            code="read.other_resource",
            place=place,
            remedy="look whether the vendor has merged the two, then review the link; nothing was changed",
            status=answer.status,
        )
    return Present(remote_id, answer.body, etag if etag is not None else head.version_id, head.last_updated)


def _unreadable(http: VendorHttp, answer: Answer, malformed: MalformedResource, place: str) -> HoloVitalsError:
    known = vendor_rule(read_outcome(answer.body), http.table)
    if known is not None:
        return rule_error(known[1], place=place, status=answer.status, vendor_code=known[0])
    if malformed.code.startswith("json.") and not answer.looks_like_html():
        return TransientError(
            f"the resource was damaged on its way ({malformed.code})",
            code="read.damaged",
            place=place,
            remedy="nothing: it is read again later; if it stays so, report it to the vendor",
            status=answer.status,
        )
    return ProtocolError(
        "the server answered something that is not the resource",
        code="read.not_a_resource",
        place=place,
        remedy="check base_url, and whether a proxy or a login page stands between; nothing was changed",
        status=answer.status,
    )


def _stored(answer: Answer, resource_type: str, *, place: str) -> tuple[bytes | None, Head | None]:
    """The representation a successful write answered with; (None, None) where it showed none."""
    if not answer.body.strip() or read_outcome(answer.body):
        return None, None
    try:
        head = read_head(answer.body)
    except MalformedResource:
        raise outcome_unknown("the answer cannot be read", place=place, status=answer.status) from None
    if head.resource_type != resource_type:
        raise outcome_unknown("the answer is another kind of resource", place=place, status=answer.status)
    return answer.body, head


def _updated(answer: Answer, resource_type: str, remote_id: str, place: str) -> Written:
    stored, head = _stored(answer, resource_type, place=place)
    if head is not None and head.id != remote_id:
        raise outcome_unknown("the server answered with another resource", place=place, status=answer.status)
    return Written(remote_id, _version(answer, head), stored)


_SERVER_META = ("versionId", "lastUpdated", "source")


def _with_what_is_the_vendors(current: Document, wanted: Document) -> Document:
    """What is wanted, with the vendor's own narrative and its own notes on the version: they are not content."""
    kept = {name: current[name] for name in ("text",) if name in current}
    own, asked = current.get("meta"), wanted.get("meta")
    meta = {name: value for name, value in (asked or {}).items() if name not in _SERVER_META}
    meta |= {name: own[name] for name in _SERVER_META if isinstance(own, dict) and name in own}
    rest = {name: value for name, value in wanted.items() if name not in ("text", "meta")}
    return {**rest, **kept, **({"meta": meta} if meta else {})}


def _not_patched(resource_type: str, element: str, place: str) -> NotPermittedError:
    return NotPermittedError(
        f"the vendor does not let {resource_type}{element} be changed like this",
        code="write.patch_not_offered",
        place=place,
        remedy="make the change at the vendor, or name the element in write.read_only_elements; nothing was sent",
    )


def _etag(answer: Answer) -> str | None:
    matched = _ETAG.match(answer.headers.get("etag", "").strip())
    return matched[1] or None if matched else None


def _version(answer: Answer, head: Head | None) -> str | None:
    """The ETag's, else the shown resource's, else the one the Location names."""
    version = _etag(answer) or (head.version_id if head is not None else None)
    if version is not None:
        return version
    history = re.search(r"/_history/([^/?#]+)\Z", answer.headers.get("location", ""))
    return unquote(history[1]) if history else None


def _located(answer: Answer, resource_type: str) -> str | None:
    place = answer.headers.get("location", "") or answer.headers.get("content-location", "")
    named = re.search(rf"(?:^|/){resource_type}/([^/?#]+)(?:/_history/[^/?#]+)?/?\Z", place)
    return unquote(named[1]) if named else None


def _if_match(version: str | None, place: str) -> dict[str, str]:
    if version is None:
        return {}
    if not _SENDABLE.match(version):
        raise ProtocolError(
            "the version the server gave cannot be named in a header",
            code="write.version_unsendable",
            place=place,
            remedy="report it to the vendor; nothing was written",
        )
    return {"If-Match": f'W/"{version}"'}


def _token(identifier: Identifier) -> str:
    """`system|value` with what has a meaning in search parameters escaped (hl7.org/fhir/R4/search.html#escaping)."""
    return "|".join(re.sub(r"([\\,|$])", r"\\\1", part) for part in identifier)


def _identifier_query(identifiers: Sequence[Identifier]) -> str:
    return "identifier=" + quote(",".join(map(_token, dict.fromkeys(identifiers))), safe="|,:/._-~")


class _WireIdentifiers(msgspec.Struct):
    identifier: Any = None


_decode_identifiers = msgspec.json.Decoder(_WireIdentifiers).decode


def _identifiers_of(body: bytes) -> set[Identifier]:
    held = _decode_identifiers(body).identifier
    listed = held if isinstance(held, list) else [held]
    return {
        (item.get("system") or "", item["value"])
        for item in listed
        if isinstance(item, dict) and isinstance(item.get("value"), str)
    }


def _not_searched(http: VendorHttp, source: str) -> NotPermittedError:
    return NotPermittedError(
        "the server answered resources that do not carry the identifier: it does not search by it",
        code="find.not_searched",
        place=http.place(source),
        remedy="look at the vendor for the resource by hand before anything is created again",
    )


def _shows_less(http: VendorHttp, source: str) -> PermanentError:
    return PermanentError(
        "the server shows less than it found",
        code="find.incomplete",
        place=http.place(source),
        remedy="look at the vendor for the resource by hand before anything is created again",
    )
