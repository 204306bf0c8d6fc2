"""One HTTP client a connection: rate, concurrency, retries, redirects and statistics live here and nowhere else.

The law: the bearer token goes to the connection's own origin only, no request goes to a host that neither the
configuration nor the connection's server has named, and a write is never sent again once it may have been taken.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime
from functools import cache
from typing import Protocol

import httpx

from holovitals_pipelines.model.connection import ReadSettings
from holovitals_pipelines.model.errors import HoloVitalsError, OutcomeUnknownError, ProtocolError, TransientError
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.providers.answers import (
    NO_TABLE,
    Answer,
    Judge,
    VendorTable,
    classify,
    outcome_issues,
    transport_error,
    vendor_rule,
)
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.exchange import (
    LARGEST_ANSWER_BYTES,
    NEVER_SENT,
    Call,
    Exchange,
    FormSource,
    StreamedAnswer,
    body_of,
    outcome_unknown,
)
from holovitals_pipelines.providers.rate import Bucket, Unlimited
from holovitals_pipelines.providers.retry import backoff, http_date, retry_after
from holovitals_pipelines.providers.skew import ClockSkew
from holovitals_pipelines.providers.timings import Timings

FHIR_JSON = "application/fhir+json"
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Authorizer(Protocol):
    async def token(self) -> str: ...

    def invalidate(self, token: str) -> None:
        """Forget a token the server has refused, unless a newer one is already held."""
        ...


def origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _silence_request_logs() -> None:
    # httpx logs every URL at INFO, and search URLs hold patient ids; httpcore logs headers at DEBUG.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


@cache
def _tls_context() -> ssl.SSLContext:
    # Reading the certificate authorities costs 30 ms of CPU: all clients share one context (libraries.md §3.2).
    return httpx.create_ssl_context(trust_env=False)


class VendorHttp:
    """The one client of a connection. `operation` is always a template without ids (`GET Observation?patient={id}`)."""

    def __init__(
        self,
        connection: str,
        base_url: str,
        settings: ReadSettings,
        *,
        table: VendorTable = NO_TABLE,
        judge: Judge | None = None,
        bucket: Bucket | None = None,
        clock: Clock = SYSTEM_CLOCK,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        _silence_request_logs()
        self.connection = connection
        self.base_url = httpx.URL(base_url.rstrip("/") + "/")
        self.clock = clock
        self.table = table
        self.judge = judge
        """What the vendor's answers to reads mean where a table of codes cannot tell."""
        self.settings = settings
        self.accept = FHIR_JSON
        """What requests accept, unless they say otherwise themselves."""
        self.authorizer: Authorizer | None = None
        self._bucket = bucket or Unlimited()
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._named_origins = {origin(self.base_url)}
        self._timings = Timings()
        self.skew = ClockSkew()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=settings.concurrency)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.timeout_seconds, pool=None),
            limits=limits,
            transport=transport,
            verify=_tls_context(),
            follow_redirects=False,
            trust_env=False,
        )

    def authorized_by(self, authorizer: Authorizer) -> VendorHttp:
        """The same client, with its limits and statistics; its requests carry another authorizer's tokens."""
        other = copy(self)
        other.authorizer = authorizer
        return other

    async def close(self) -> None:
        self._bucket.close()
        await self._client.aclose()

    def statistics(self) -> Sequence[RequestStatistics]:
        return self._timings.statistics()

    def place(self, operation: str) -> str:
        return f"connection {self.connection}, {operation}"

    def resolve(self, reference: str, *, against: httpx.URL | None = None) -> httpx.URL:
        """An absolute URL from one the server gave: relative, absolute, or http where TLS ends before the server."""
        url = (against or self.base_url).join(reference)
        base = self.base_url
        if (url.scheme, base.scheme) == ("http", "https") and url.host == base.host:
            url = url.copy_with(scheme="https", port=base.port)
        return url

    def is_own(self, url: httpx.URL) -> bool:
        return origin(url) == origin(self.base_url)

    def name_origin(self, url: httpx.URL, *, operation: str) -> None:
        """Admit a host the connection's server has named (a bulk file's, a token endpoint's): http(s) only."""
        if url.scheme not in ("http", "https") or not url.host:
            raise ProtocolError(
                "the server named an address that is not http or https",
                code="http.scheme",
                place=self.place(operation),
                remedy="report it to the vendor; nothing was fetched from there",
            )
        if url.scheme == "http" and self.base_url.scheme == "https":
            raise ProtocolError(
                "the server named an unencrypted address although the connection is encrypted",
                code="http.downgrade",
                place=self.place(operation),
                remedy="ask the vendor for https addresses; nothing was sent there",
            )
        self._named_origins.add(origin(url))

    async def request(
        self,
        method: str,
        url: str | httpx.URL,
        *,
        operation: str,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        form: FormSource | None = None,
        content: bytes | None = None,
        judge: Judge | None = None,
        authorized: bool = True,
        largest_bytes: int = LARGEST_ANSWER_BYTES,
    ) -> Answer:
        """Send, repeat what is worth repeating, and return an answer with a 2xx status.

        Raises the VendorError the last answer stands for; of more than `largest_bytes` the rest is not read.
        """
        target = self._admitted(url, operation)
        if params:
            target = target.copy_merge_params(list(params))
        sent = {"Accept": self.accept, **(headers or {})}
        call = Call(
            method,
            target,
            operation,
            sent,
            form=form,
            content=content,
            judge=judge,
            authorized=authorized,
            largest_bytes=min(largest_bytes, LARGEST_ANSWER_BYTES),
        )
        return (await self._attempts(call)).answer

    async def write(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        judge: Judge,
        timeout_seconds: float,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a write, and repeat it only where it certainly was not taken.

        `judge` alone says what an answer means: a TransientError of it is repeated, an OutcomeUnknownError is not.
        Raises OutcomeUnknownError when the answer is lost, and what `judge` makes of any other.
        """
        named = {} if content is None else {"Content-Type": FHIR_JSON}
        sent = {"Accept": self.accept, **named, **(headers or {})}
        timeout = httpx.Timeout(timeout_seconds, pool=None)
        target = self._admitted(url, operation)
        call = Call(method, target, operation, sent, content=content, judge=judge, once=True, timeout=timeout)
        return (await self._attempts(call)).answer

    @asynccontextmanager
    async def stream(
        self,
        url: str | httpx.URL,
        *,
        operation: str,
        headers: Mapping[str, str],
        authorized: bool = True,
    ) -> AsyncIterator[StreamedAnswer]:
        """GET a file: retries until its head has arrived, then leaves the body to the caller.

        Redirects are followed by hand to any http(s) host, without the token from the first change of origin on.
        """
        target = self._admitted(url, operation)
        call = Call("GET", target, operation, headers, authorized=authorized, streaming=True)
        response = (await self._attempts(call)).open_response
        assert response is not None
        try:
            yield StreamedAnswer(
                response,
                place=self.place(operation),
                received=lambda count: self._timings.received(operation, count),
            )
        finally:
            await response.aclose()

    def _admitted(self, url: str | httpx.URL, operation: str) -> httpx.URL:
        target = self.resolve(url) if isinstance(url, str) else url
        if origin(target) not in self._named_origins:
            raise ProtocolError(
                "the address is on a host that is not this connection's",
                code="http.foreign_host",
                place=self.place(operation),
                remedy="set base_url to the host the server names in its own links, or ask the vendor to correct them",
            )
        return target

    async def _attempts(self, call: Call) -> Exchange:
        place = self.place(call.operation)
        repeat = 0
        token_renewed = False
        while True:
            # Waiting for a token is not part of the request, has its own turn, and its errors are already final.
            token = await self._token_for(call)
            self._timings.waited(call.operation, await self._bucket.acquire())
            asked: float | None = None
            try:
                exchange = await self._exchange(call, token)
            except httpx.HTTPError as failure:
                lost = call.once and not isinstance(failure, NEVER_SENT)
                error: HoloVitalsError = (
                    outcome_unknown("the answer was lost", place=place)
                    if lost
                    else transport_error(failure, place=place)
                )
            else:
                judged = self._judge(call, exchange.answer, place)
                if judged is None:
                    return exchange
                error = judged
                if exchange.answer.status == 401 and token is not None and not token_renewed:
                    assert self.authorizer is not None
                    self.authorizer.invalidate(token)
                    token_renewed = True
                    self._timings.retry(call.operation)
                    continue
                asked = self._asked_wait(exchange.answer)
            finally:
                self._bucket.release()
            final = not isinstance(error, TransientError) or isinstance(error, OutcomeUnknownError)
            if final or repeat >= self.settings.max_retries:
                raise error
            wait = backoff(
                repeat, base_seconds=self.settings.retry_delay_ms / 1000, chance=self.clock.chance(), asked=asked
            )
            self._timings.retry(call.operation)
            self._timings.waited(call.operation, wait)
            await self.clock.sleep(wait)
            repeat += 1

    def _asked_wait(self, answer: Answer) -> float | None:
        """Seconds the vendor wants to be left alone, by its word or by the limit that was met."""
        if answer.status == 429 and "retry-after" not in answer.headers:
            return self._bucket.throttled(http_date(answer.headers.get("date")))
        told, ceiling = answer.headers.get("retry-after"), self.settings.max_poll_seconds
        return retry_after(told, now=self.clock.now(), ceiling=ceiling)

    def _judge(self, call: Call, answer: Answer, place: str) -> HoloVitalsError | None:
        if call.judge is not None and (error := call.judge(answer, place)) is not None:
            return error
        if call.once:
            return None
        judged = self.judge(answer, place) if self.judge is not None else None
        return judged or classify(answer, place=place, table=self.table)

    async def _token_for(self, call: Call) -> str | None:
        if not call.authorized or self.authorizer is None or not self.is_own(call.target):
            return None
        return await self.authorizer.token()

    async def _exchange(self, call: Call, token: str | None) -> Exchange:
        if call.streaming:
            return await self._timed(call, token)
        async with self._slots:
            return await self._timed(call, token)

    async def _timed(self, call: Call, token: str | None) -> Exchange:
        started = self.clock.monotonic()
        failed = True
        try:
            response = await self._follow(call, token)
            if call.streaming and response.is_success:
                failed = False
                return Exchange(Answer(response.status_code, response.headers, b"", response.url), token, response)
            body = await self._body(call, response)
            failed = not response.is_success
            return Exchange(Answer(response.status_code, response.headers, body, response.url), token)
        finally:
            self._timings.request(call.operation, self.clock.monotonic() - started, failed=failed)

    async def _follow(self, call: Call, token: str | None) -> httpx.Response:
        target, bearer = call.target, token
        for hop in range(_MOST_REDIRECTS + 1):
            headers = dict(call.headers)
            if bearer is not None:
                headers["Authorization"] = f"Bearer {bearer}"
            form = dict(call.form()) if call.form is not None else None
            request = self._client.build_request(
                call.method,
                target,
                headers=headers,
                data=form,
                content=call.content,
                timeout=call.timeout or httpx.USE_CLIENT_DEFAULT,
            )
            if hop and self.is_own(target):
                await self._bucket.acquire()  # a redirect that is followed is one more request to the vendor
                self._bucket.release()
            sent_at = self.clock.now()
            response = await self._client.send(request, stream=True)
            self._compare_clocks(target, sent_at, response)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location or call.method != "GET":
                return response
            if vendor_rule(outcome_issues(body := await self._body(call, response)), self.table) is not None:
                # Epic answers "merged" (4107) with a redirect to the survivor: the code is the news (vendors.md §3.3).
                status, known_as = response.status_code, {"content-type": FHIR_JSON}
                return httpx.Response(status, headers=known_as, content=body, request=request)
            target = self.resolve(location, against=target)
            if not self.is_own(target):
                # Cerner's files redirect to a pre-signed store that refuses, and must not see, our token.
                bearer = None
                if call.streaming:
                    self.name_origin(target, operation=call.operation)
                else:
                    self._admitted(target, call.operation)
        raise ProtocolError(
            f"the server redirected more than {_MOST_REDIRECTS} times",
            code="http.redirect",
            place=self.place(call.operation),
            remedy="set base_url to the address the server redirects to",
        )

    def _compare_clocks(self, target: httpx.URL, sent_at: datetime, response: httpx.Response) -> None:
        # An answer out of a cache shows the time at which it was put there.
        served_at = http_date(response.headers.get("date")) if "age" not in response.headers else None
        if served_at is not None and self.is_own(target):
            self.skew.observe(served_at, sent_at=sent_at, received_at=self.clock.now())

    async def _body(self, call: Call, response: httpx.Response) -> bytes:
        if response.is_closed:
            return response.content
        try:
            return await body_of(call, response, place=self.place(call.operation))
        finally:
            self._timings.received(call.operation, response.num_bytes_downloaded)
