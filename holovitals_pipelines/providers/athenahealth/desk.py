"""One record at a time at athenahealth: what is there now, and form fields sent and read back.

Law: nothing is sent that the connection's `write` settings do not allow, and a write that was taken is never reported
as one that was not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import NotFoundError, NotPermittedError, ProtocolError, VendorError
from holovitals_pipelines.model.extract import Named
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
from holovitals_pipelines.providers.athenahealth.calls import Members, Practice, members_of, text_of
from holovitals_pipelines.providers.athenahealth.charts import CHARTS, ChartReader, record_id, split_record_id
from holovitals_pipelines.providers.athenahealth.places import Departments
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.fhir_rest import Found, quoted
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.refusals import Write
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.write_gate import WriteGate

_PATIENT = "GET patients/{id}"


@dataclass(frozen=True, slots=True)
class _Posted:
    """Where a new record of a chart goes, and the member of the answer that numbers it."""

    path: str
    number: str


_POSTED: Mapping[str, _Posted] = MappingProxyType({"Condition": _Posted("chart/{patient}/problems", "problemid")})
"""unverified: that the answer to a new problem has its number."""

_OWN_SYSTEM = "urn:holovitals:athenahealth:patient"


class AthenaDesk(WriteGate):
    """The half of the adapter that reads and writes single records (`ResourceDesk`)."""

    departments: Departments

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        self.config = config
        self.http = http
        self.practice = Practice(http)

    def clock_skew_seconds(self) -> float:
        return self.http.skew.p99_seconds()

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        if resource_type == "Patient":
            return WriteCapability(create=True, update=True, concurrency=Concurrency.NONE)
        return WriteCapability(create=True) if resource_type in _POSTED else READ_ONLY

    async def patient_found(self, patient: str) -> AsyncIterator[Found]:
        """One patient, by the id. Raises NotFoundError."""
        item, answer = await self.practice.one(f"patients/{quoted(patient)}", _PATIENT)
        if patient_id(item) != patient:
            raise ProtocolError(
                "the server answered with another patient than was asked for",
                code="read.other_resource",
                place=self.http.place(_PATIENT),
                remedy="look whether the practice has merged the two; nothing was changed",
                status=answer.status,
            )
        served = http_date(answer.headers.get("date"))
        yield Found([item], served_at=served, received_bytes=len(answer.body), named=[Named(patient)])

    async def chart_found(
        self, resource_type: str, patient: str, wanted: AbstractSet[str] | None
    ) -> AsyncIterator[Found]:
        """A patient's records of a type, or those of them that have one of these numbers. Each comes once."""
        reader = ChartReader(resource_type, self.departments.zones, self.http.settings.max_resource_bytes)
        seen: set[tuple[str, bytes]] = set()
        if not patient:
            yield reader.missed("", wanted or set())
            return
        for listed in CHARTS[resource_type].lists:
            for department in self.departments.for_charts if listed.by_department else (None,):
                async for page in self.practice.pages(listed.of(patient, department)):
                    found = _new(reader.found(listed, page, patient, wanted), seen)
                    yield found
        missed = (wanted or set()) - {split_record_id(name)[1] for name, _ in seen}
        if missed:
            yield reader.missed(patient, missed)

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        if resource_type == "Patient":
            try:
                async for found in self.patient_found(remote_id):
                    return Present(remote_id, found.bodies[0], None)
            except NotFoundError as missing:
                return Absent(f"{missing.status or 404} on read")
        patient, number = split_record_id(remote_id)
        if not patient:
            return Absent("the id names no patient")
        try:
            async for found in self.chart_found(resource_type, patient, {number}):
                for name, body in zip(found.named or (), found.bodies, strict=True):
                    if name.remote_id == remote_id:
                        return Present(remote_id, body, None, name.last_updated)
        except NotFoundError as missing:
            return Absent(f"{missing.status or 404} on the patient's chart")
        return Absent("not among the patient's records")

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        fields = self._fields(body)
        if resource_type == "Patient":
            told = await self._send(Write.CREATE, "patients", fields, operation="POST patients")
            return await self._read_back("Patient", self._number(told, "patientid", "POST patients"))
        posted = _POSTED[resource_type]
        patient = str(fields.pop("patientid"))
        path, operation = posted.path.format(patient=quoted(patient)), f"POST {posted.path.format(patient='{id}')}"
        told = await self._send(Write.CREATE, path, fields, operation=operation)
        return await self._read_back(resource_type, record_id(patient, self._number(told, posted.number, operation)))

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)
        path = f"patients/{quoted(remote_id)}"
        await self._send(Write.UPDATE, path, self._fields(body), operation="PUT patients/{id}")
        return await self._read_back(resource_type, remote_id)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(resource_type, "deleted", self.write_capability(resource_type).delete)

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """By the vendor's own number of a patient only. Raises NotPermittedError where that finds nothing.

        Its search goes by name and birth, which identifiers do not tell: "nothing found" would prove nothing, and a
        create whose answer was lost would be sent again.
        """
        numbers = [value for system, value in identifiers if system == _OWN_SYSTEM and resource_type == "Patient"]
        current = [await self.read_current("Patient", number) for number in dict.fromkeys(numbers)]
        found = [one for one in current if isinstance(one, Present)]
        if not found:
            raise NotPermittedError(
                f"athenahealth does not find a {resource_type} by identifier",
                code="athenahealth.no_identifier_search",
                place=self.http.place("GET patients"),
                remedy="look in the practice by name and birth before anything is created again",
            )
        return found

    def _fields(self, body: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.json.decode(body)
        return {**fields, "departmentid": self.departments.written}

    async def _send(self, write: Write, path: str, fields: Mapping[str, Any], *, operation: str) -> Members:
        timeout = self.config.write.timeout_seconds
        return await self.practice.write(write, path, fields, operation=operation, timeout_seconds=timeout)

    def _number(self, told: Members, name: str, operation: str) -> str:
        try:
            number = text_of(told, name)
        except ValueError:
            number = ""
        if not number:
            place = self.http.place(operation)
            raise outcome_unknown("the server did not say which record it made", place=place)
        return number

    async def _read_back(self, resource_type: str, remote_id: str) -> Written:
        """The write has happened: where it cannot be read yet, it is confirmed without being shown."""
        with suppress(VendorError):
            current = await self.read_current(resource_type, remote_id)
            if isinstance(current, Present):
                return Written(remote_id, None, current.body)
        return Written(remote_id, None, None)


def patient_id(item: bytes) -> str:
    """The number of a patient's record, "" where it has none."""
    try:
        return text_of(members_of(item), "patientid")
    except ValueError:
        return ""


def _new(found: Found, seen: set[tuple[str, bytes]]) -> Found:
    """Without what another department, or a page before, has shown in the same words."""
    rows = list(zip(found.bodies, found.named or (), strict=True))
    new = [(body, name) for body, name in rows if (name.remote_id, body) not in seen]
    seen.update((name.remote_id, body) for body, name in rows)
    return replace(found, bodies=[body for body, _ in new], named=[name for _, name in new])
