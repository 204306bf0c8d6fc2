"""One request and its answer, as the HTTP client handles them: what to send, what came, and a body still on its way.

Law: an operation is a template without ids; nothing here is ever printed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import httpx

from holovitals_pipelines.model.errors import OutcomeUnknownError, ProtocolError
from holovitals_pipelines.providers.answers import Answer, Judge, transport_error

LARGEST_ANSWER_BYTES = 256 * 1024 * 1024
"""A page beyond this is refused rather than held in memory; bulk files are streamed and have no such limit."""

FormSource = Callable[[], Mapping[str, str]]
"""Makes the form of a POST, anew for each attempt: a signed assertion may be used once only."""


@dataclass(frozen=True, slots=True)
class Call:
    """`once` marks a write: it is repeated only where it certainly was not taken."""

    method: str
    target: httpx.URL
    operation: str
    headers: Mapping[str, str]
    form: FormSource | None = None
    content: bytes | None = None
    judge: Judge | None = None
    authorized: bool = True
    streaming: bool = False
    once: bool = False
    timeout: httpx.Timeout | None = None
    """None: the client's own."""
    largest_bytes: int = LARGEST_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Exchange:
    answer: Answer
    token: str | None
    open_response: httpx.Response | None = None


class StreamedAnswer:
    """An answer whose body is still on its way; `chunks` raises a VendorError when the connection drops."""

    def __init__(self, response: httpx.Response, *, place: str, received: Callable[[int], None]) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._response = response
        self._place = place
        self._received = received

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as sent, content encoding untouched."""
        try:
            async for chunk in self._response.aiter_raw():
                self._received(len(chunk))
                yield chunk
        except httpx.HTTPError as error:
            raise transport_error(error, place=self._place) from None


NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.LocalProtocolError)
"""Failures before a byte of the request was on its way."""


async def body_of(call: Call, response: httpx.Response, *, place: str) -> bytes:
    """The whole body of an answer, which is closed then. Raises ProtocolError, of a write OutcomeUnknownError, for one
    that is larger than the call takes."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > call.largest_bytes and call.once:
                raise outcome_unknown("the answer is larger than any resource", place=place)
            if size > call.largest_bytes:
                raise ProtocolError(
                    f"the answer is larger than {call.largest_bytes:,} bytes",
                    code="http.answer_too_large",
                    place=place,
                    remedy="lower read.page_size; of a document's content, raise attachments.max_bytes",
                )
            chunks.append(chunk)
    finally:
        await response.aclose()
    return b"".join(chunks)


def outcome_unknown(why: str, *, place: str, status: int | None = None) -> OutcomeUnknownError:
    """The error of a write that may or may not have happened."""
    return OutcomeUnknownError(
        f"{why}: whether the write happened is not known",
        code="write.outcome_unknown",
        place=place,
        remedy="nothing: the vendor is read again and the rest decided from what it holds; the write is never repeated "
        "blindly",
        status=status,
    )
