"""FHIR REST reading: one search from its first page to its last, and single reads.

The law: a search that ends without an error has delivered everything the server said there was (libraries.md §7.6).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

import httpx

from holovitals_pipelines.fhir.wire import BundlePage, MalformedResource, read_bundle
from holovitals_pipelines.model.errors import GoneError, ProtocolError
from holovitals_pipelines.model.extract import Deletion, Named, Problem
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.providers.answers import Answer, Meaning, rule_error
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.outcomes import (
    issues_with_rules,
    outcome_problems,
    tells_of_missing,
    too_large,
    wrong_type,
)
from holovitals_pipelines.providers.retry import http_date

_MOST_RESTARTS = 2
_MOST_EMPTY_PAGES = 1000
"""Empty pages with a next link are allowed (Epic's post-filters); a thousand in a row are a trap."""

_RAISED_FROM_WITHIN = frozenset({Meaning.SESSION_EXPIRED, Meaning.DEFERRED, Meaning.TRANSIENT, Meaning.AUTHENTICATION})


@dataclass(frozen=True, slots=True)
class Query:
    """A search. `source` names it without ids and is also its operation: `GET Observation?patient={id}`.

    `exact_total` says whether a Bundle.total beyond what came is an error or only worth a warning.
    """

    resource_type: str
    params: Sequence[tuple[str, str]]
    source: str
    exact_total: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What one answer held; `place` is where the search goes on, None at its end.

    `ended` marks the last page of a search that delivered all it counted: nothing is left to do or to check. `named` is
    parallel to `bodies` where they do not say FHIR's way what they are.
    """

    bodies: Sequence[bytes] = ()
    problems: Sequence[Problem] = ()
    deletions: Sequence[Deletion] = ()
    served_at: datetime | None = None
    received_bytes: int = 0
    partial: bool = False
    place: Mapping[str, Any] | None = None
    ended: bool = False
    named: Sequence[Named] | None = None


@dataclass(slots=True)
class _Count:
    """Rows received against the least total the server gave: rows may vanish while a search is paged."""

    received: int = 0
    total: int | None = None

    def add(self, page: BundlePage) -> None:
        self.received += sum(entry.mode != "include" for entry in page.entries)
        if page.total is not None:
            self.total = page.total if self.total is None else min(self.total, page.total)

    @property
    def missing(self) -> int:
        return max(0, (self.total or 0) - self.received)


async def search(http: VendorHttp, query: Query, place: Mapping[str, Any] | None = None) -> AsyncIterator[Found]:
    """Pages of a search, from `place` on (a `Found.place`) or from the beginning.

    An expired page session starts the search again: rows come twice, which hashing makes harmless. Raises VendorError.
    """
    place = place or {}
    next_url: str | None = place.get("next")
    count = _Count(place.get("received", 0), place.get("total"))
    restarts = 0
    empty = 0
    seen: set[bytes] = set()
    while True:
        try:
            answer, page = await _page(http, query, next_url)
        except GoneError as gone:
            if next_url is None:
                raise
            if restarts == _MOST_RESTARTS:
                raise _expired(http, query, gone) from None
            next_url, count, seen, restarts, empty = None, _Count(), set(), restarts + 1, 0
            continue
        count.add(page)
        next_url = _next(http, query, answer, page, seen)
        empty = 0 if page.entries else empty + 1
        if empty > _MOST_EMPTY_PAGES:
            raise _protocol(http, query, "search.endless", f"{empty} empty pages in a row, each with a next link")
        onwards = {"next": next_url, "received": count.received, "total": count.total} if next_url else None
        found = _found(http, query, answer, page, onwards)
        yield replace(found, ended=next_url is None and not count.missing)
        if next_url is None:
            break
    if count.missing:
        if query.exact_total:
            raise _incomplete(http, query, count)
        yield Found(problems=[_fewer_than_told(query, count)])


async def read_one(http: VendorHttp, resource_type: str, resource_id: str) -> Found:
    """One resource by its id, its exact bytes. Raises VendorError: GoneError (deleted), NotFoundError and so on."""
    source = read_source(resource_type)
    answer = await http.request("GET", f"{resource_type}/{quoted(resource_id)}", operation=source)
    if answer.looks_like_html():
        raise _not_fhir(http, source)
    return Found(bodies=[answer.body], served_at=http_date(answer.headers.get("date")), received_bytes=len(answer.body))


def read_source(resource_type: str) -> str:
    return f"GET {resource_type}/{{id}}"


def quoted(resource_id: str) -> str:
    """An id as one path segment, whatever it holds."""
    return "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"-._~") else f"%{byte:02X}"
        for byte in resource_id.encode()
    )


async def _page(http: VendorHttp, query: Query, next_url: str | None) -> tuple[Answer, BundlePage]:
    for last_try in (False, True):
        if next_url is None:
            answer = await http.request("GET", query.resource_type, operation=query.source, params=query.params)
        else:
            answer = await http.request("GET", httpx.URL(next_url), operation=query.source)
        try:
            page = read_bundle(answer.body)
        except MalformedResource as malformed:
            if malformed.code == "json.markup" or answer.looks_like_html():
                raise _not_fhir(http, query.source) from None
            # A page cut short on its way parses the second time; one that is wrong stays wrong.
            if not last_try and malformed.code.startswith("json."):
                continue
            raise ProtocolError(
                f"a page of the search cannot be read ({malformed.code})",
                code="search.malformed_page",
                place=http.place(query.source),
                remedy="run the job again; if it stays so, report it to the vendor. Pages before it are kept",
                status=answer.status,
            ) from None
        for _, issue, rule in issues_with_rules(page.outcomes, http.table):
            if rule is not None and rule.meaning in _RAISED_FROM_WITHIN and not page.entries:
                raise rule_error(
                    rule, place=http.place(query.source), status=answer.status, vendor_code=issue.vendor_code
                )
        return answer, page
    raise AssertionError("unreachable")


def _next(http: VendorHttp, query: Query, answer: Answer, page: BundlePage, seen: set[bytes]) -> str | None:
    if page.next_url is None:
        return None
    target = str(http.resolve(page.next_url, against=answer.url))
    fingerprint = blake2b(target.encode(), digest_size=16).digest()
    here = blake2b(str(answer.url).encode(), digest_size=16).digest()
    seen.add(here)
    if fingerprint in seen:
        raise _protocol(http, query, "search.cycle", "a next link leads back to a page already read")
    return target


def _found(http: VendorHttp, query: Query, answer: Answer, page: BundlePage, place: Mapping[str, Any] | None) -> Found:
    limit = http.settings.max_resource_bytes
    wanted, source = query.resource_type, query.source
    problems = outcome_problems(page.outcomes, http.table, source=source, resource_type=wanted)
    bodies = []
    for entry in page.entries:
        if entry.resource_type != wanted:
            problems.append(wrong_type(entry.body, wanted=wanted, source=source))
        elif len(entry.body) > limit:
            problems.append(too_large(entry.body, len(entry.body), limit=limit, source=source, wanted=wanted))
        else:
            bodies.append(entry.body)
    return Found(
        bodies=bodies,
        problems=problems,
        deletions=[
            Deletion(entry.resource_type, entry.id, "DELETE entry in a bundle")
            for entry in page.deleted
            if entry.resource_type == wanted
        ],
        served_at=http_date(answer.headers.get("date")),
        received_bytes=len(answer.body),
        partial=tells_of_missing(page.outcomes, http.table),
        place=place,
    )


def _not_fhir(http: VendorHttp, source: str) -> ProtocolError:
    return ProtocolError(
        "the server answered a web page instead of FHIR",
        code="http.html",
        place=http.place(source),
        remedy="check base_url, and whether a proxy or a login page stands between",
    )


def _protocol(http: VendorHttp, query: Query, code: str, message: str) -> ProtocolError:
    return ProtocolError(
        message, code=code, place=http.place(query.source), remedy="report it to the vendor; pages before it are kept"
    )


def _expired(http: VendorHttp, query: Query, gone: GoneError) -> ProtocolError:
    return ProtocolError(
        f"the page session expired in each of {_MOST_RESTARTS + 1} searches before the last page",
        code="search.session_expired",
        place=http.place(query.source),
        remedy="raise read.page_size so that fewer pages are needed, or run at a quieter hour. What came is kept",
        status=gone.status,
        vendor_code=gone.vendor_code,
    )


def _incomplete(http: VendorHttp, query: Query, count: _Count) -> ProtocolError:
    return ProtocolError(
        f"the server counted {count.total} resources and delivered {count.received}",
        code="search.incomplete",
        place=http.place(query.source),
        remedy="run the job again; if it stays so, ask the vendor which rows it leaves out. What came is kept",
    )


def _fewer_than_told(query: Query, count: _Count) -> Problem:
    return Problem(
        code="search.fewer_than_total",
        message=f"the server gave a total of {count.total} and delivered {count.received}",
        remedy="nothing if the vendor's totals are estimates; else ask which rows it leaves out",
        source=query.source,
        resource_type=query.resource_type,
        severity=ErrorSeverity.WARNING,
    )
