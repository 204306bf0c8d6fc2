"""One request and its answer, as the HTTP client handles them: what to send, what came, and a body still on its way.

Law: an operation is a template without ids; nothing here is ever printed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import httpx

from holovitals_pipelines.model.errors import OutcomeUnknownError
from holovitals_pipelines.providers.answers import Answer, Judge, transport_error

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
