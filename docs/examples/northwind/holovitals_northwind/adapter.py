"""Northwind EHR as an adapter: lists by time of change, page by page, and patients changed under their revision.

Law: records land as they were sent; what they mean is said by the rule sets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Self

import msgspec

from holovitals_pipelines.model.connection import ClientSecretAuth, ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    GoneError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    TransientError,
)
from holovitals_pipelines.model.extract import Named, Page, Problem, ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.model.writing import (
    READ_ONLY,
    Absent,
    Concurrency,
    Current,
    Present,
    WriteCapability,
    Written,
)
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.answers import NO_TABLE, Answer
from holovitals_pipelines.providers.client_credentials import ClientCredentials, TokenEndpoint
from holovitals_pipelines.providers.crawl import crawl
from holovitals_pipelines.providers.fhir_rest import Found, quoted
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.progress import Progress, TypeRead, to_the_end
from holovitals_pipelines.providers.refusals import R4_REFUSALS, Write, refused
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.vendor import Vendor
from holovitals_pipelines.providers.write_gate import WriteGate

FOLDERS = {"Patient": "patients", "AllergyIntolerance": "allergies"}

TOKENS = TokenEndpoint(
    "../oauth/token",  # seen from …/northwind/v1/
    "POST oauth/token",
    None,
    "check auth.client_id and auth.client_secret",
)


class _Row(msgspec.Struct):
    """What is read of a record here; the rest is left to the rules."""

    id: str
    revision: int


class _Listing(msgspec.Struct):
    items: list[msgspec.Raw]
    next_page_token: str | None = None


class NorthwindAdapter(WriteGate):
    """One open connection to a Northwind site."""

    provider = Provider("northwind")

    def __init__(self, config: ConnectionConfig, http: VendorHttp, resolve_secret: Callable[[SecretRef], str]) -> None:
        self.config, self.http = config, http
        if isinstance(config.auth, ClientSecretAuth):
            http.authorizer = ClientCredentials(config.auth, http, resolve_secret, TOKENS)

    async def __aenter__(self) -> Self:
        if self.http.authorizer is None:
            await self.http.close()
            raise ConfigurationError(
                "Northwind wants a client id and a secret",
                code="northwind.auth",
                place=f"connection {self.config.name}, auth",
                remedy="give auth of the kind client_secret with sent_as: form",
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.close()

    def statistics(self) -> Sequence[RequestStatistics]:
        return self.http.statistics()

    def clock_skew_seconds(self) -> float:
        return self.http.skew.p99_seconds()

    # reading

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        wanted = self.config.resource_types
        return {name: ChangeMechanism.LAST_UPDATED for name in FOLDERS if wanted is None or name in wanted}

    async def read(self, request: ReadRequest) -> AsyncGenerator[ReadEvent, None]:
        """See `Adapter.read`."""
        progress = Progress.resumed(request.cursor, self.config.base_url)
        for name in progress.remaining([name for name in FOLDERS if name in request.resource_types]):
            read = TypeRead(name)
            everything = request.only_ids is None and request.only_patients is None and not request.since.get(name)
            pages = self._pages(request, read, progress)
            async with aclosing(to_the_end(read, pages, progress, snapshot=everything)) as events:
                async for event in events:
                    yield event

    def _pages(self, request: ReadRequest, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        name = read.resource_type
        if request.only_ids is not None:
            ids, fetch = request.only_ids.get(name, ()), self._fetch(name)
        elif request.only_patients is not None and name == "Patient":
            ids, fetch = request.only_patients, self._fetch(name)
        elif request.only_patients is not None:
            ids, fetch = request.only_patients, self._of_patient
        else:
            return self._changed(request, read, progress)
        by_own_id = fetch != self._of_patient
        source = f"GET {FOLDERS[name]}/{{id}}" if by_own_id else "GET allergies?patient={id}"
        ids = sorted(set(ids))
        return crawl(self.http, ids, fetch, read=read, progress=progress, source=source, by_own_id=by_own_id)

    async def _changed(self, request: ReadRequest, read: TypeRead, progress: Progress) -> AsyncGenerator[Page, None]:
        """Everything, or what has changed; a cursor is the token of the page behind it."""
        name = read.resource_type
        place = progress.place_in(name)
        read.resume_watermark(place.get("watermark"))
        since = request.since.get(name)
        asked = [("changed_since", since.isoformat())] if since is not None else []
        token = place.get("token")
        while not place.get("ended"):
            found, token = await self._listed(name, [*asked, *([("page_token", token)] if token else [])])
            read.served(found.served_at)
            read.complete = read.complete and not found.problems
            place = {"token": token, "watermark": read.watermark_text(), "ended": token is None}
            yield Page(
                name,
                f"GET {FOLDERS[name]}",
                found.bodies,
                progress.reach(name, place),
                problems=found.problems,
                received_bytes=found.received_bytes,
                named=found.named,
            )

    async def _listed(self, name: str, asked: Sequence[tuple[str, str]]) -> tuple[Found, str | None]:
        """One page of a list, and the token of the next."""
        operation = f"GET {FOLDERS[name]}"
        params = [*asked, ("page_size", str(self.config.read.page_size))]
        answer = await self.http.request("GET", FOLDERS[name], operation=operation, params=params)
        listing = msgspec.json.decode(answer.body, type=_Listing)
        return _found(answer, [bytes(item) for item in listing.items], name, operation), listing.next_page_token

    async def _of_patient(self, patient: str) -> AsyncIterator[Found]:
        token: str | None = ""
        while token is not None:
            more = [("page_token", token)] if token else []
            found, token = await self._listed("AllergyIntolerance", [("patient", patient), *more])
            yield found

    def _fetch(self, name: str) -> Callable[[str], AsyncIterator[Found]]:
        async def fetch(remote_id: str) -> AsyncIterator[Found]:
            answer = await self._one(name, remote_id)
            yield _found(answer, [answer.body], name, f"GET {FOLDERS[name]}/{{id}}")

        return fetch

    async def _one(self, name: str, remote_id: str) -> Answer:
        path = f"{FOLDERS[name]}/{quoted(remote_id)}"
        return await self.http.request("GET", path, operation=f"GET {FOLDERS[name]}/{{id}}")

    # single resources

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        if resource_type != "Patient":
            return READ_ONLY
        return WriteCapability(update=True, concurrency=Concurrency.ETAG)

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        try:
            answer = await self._one(resource_type, remote_id)
        except (NotFoundError, GoneError) as error:
            return Absent(f"{error.status} on read")
        return Present(remote_id, answer.body, _revision(answer.body))

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)

        def judge(answer: Answer, place: str) -> HoloVitalsError | None:
            condition = version is not None
            return refused(answer, Write.UPDATE, condition=condition, table=R4_REFUSALS, codes=NO_TABLE, place=place)

        answer = await self.http.write(
            "PATCH",
            f"patients/{quoted(remote_id)}",
            operation="PATCH patients/{id}",
            judge=judge,
            timeout_seconds=self.config.write.timeout_seconds,
            content=body,
            headers={"Content-Type": "application/json", **({"If-Match": version} if version else {})},
        )
        return Written(remote_id, _revision(answer.body), answer.body)

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        raise AssertionError("Northwind takes no new records")

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(resource_type, "deleted", self.write_capability(resource_type).delete)
        raise AssertionError("Northwind deletes nothing for us")

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """Northwind has no search by identifier, and an empty list would say that there is no such record."""
        raise NotPermittedError(
            f"Northwind does not find a {resource_type} by identifier",
            code="northwind.no_identifier_search",
            place=self.http.place(f"GET {resource_type}"),
            remedy="look at the site by hand",
        )


def _found(answer: Answer, items: Sequence[bytes], name: str, source: str) -> Found:
    """The records with their names; one without an id is a problem with its bytes."""
    named, bodies, problems = [], [], []
    for item in items:
        try:
            row = msgspec.json.decode(item, type=_Row)
        except msgspec.ValidationError:
            problems.append(
                Problem(
                    "extract.no_id",
                    "a record has no id, or no revision",
                    "report it to the vendor; the record is in quarantine",
                    source,
                    resource_type=name,
                    body=item,
                )
            )
            continue
        named.append(Named(row.id, str(row.revision)))
        bodies.append(item)
    served = http_date(answer.headers.get("date"))
    return Found(bodies, problems, (), served, len(answer.body), partial=bool(problems), named=named)


def _revision(body: bytes) -> str:
    return str(msgspec.json.decode(body, type=_Row).revision)


def judge(answer: Answer, place: str) -> HoloVitalsError | None:
    """A good answer that is no JSON broke off on the way: it is asked for again."""
    if answer.status >= 300:
        return None  # statuses mean at Northwind what they mean everywhere
    try:
        msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return TransientError(
            "the answer is damaged",
            code="northwind.damaged",
            place=place,
            remedy="run the job again; if it stays so, report it to the vendor",
            status=answer.status,
        )
    return None


VENDOR = Vendor(NorthwindAdapter, judge=judge, types=tuple(FOLDERS), native=True)
