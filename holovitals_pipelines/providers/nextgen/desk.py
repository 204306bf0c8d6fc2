"""One record at a time at NextGen: read by its address; a person posted or patched, an appointment cancelled or kept.

Law: NextGen guards no write; what is no longer there is sent as null, so that a patch leaves what the body says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    GoneError,
    NotFoundError,
    NotPermittedError,
    ProtocolError,
    VendorError,
)
from holovitals_pipelines.model.extract import Named
from holovitals_pipelines.model.writing import READ_ONLY, Absent, Current, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.fhir_rest import quoted
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.nextgen.records import APPOINTMENT, CHARTS, PERSON, at_site, head_of, named
from holovitals_pipelines.providers.nextgen.session import NextGen
from holovitals_pipelines.providers.refusals import Write
from holovitals_pipelines.providers.retry import http_date
from holovitals_pipelines.providers.write_gate import WriteGate

_PERSON_ID = "urn:holovitals:nextgen:person"
"""The system that the rule set of patients files NextGen's ids of persons under."""

CLEARABLE = (
    "middleName", "prefix", "suffix", "sex", "homePhone", "dayPhone", "cellPhone", "email", "addressLine1",
    "addressLine2", "city", "county", "state", "zip", "country",
)  # fmt: skip
"""What the outbound rules write of a person and may leave out. unverified: that a PATCH leaves what it does not
name, and that null clears."""


@dataclass(frozen=True, slots=True)
class Step:
    """How an appointment comes to a state: the call, and the flag that shows it."""

    method: str
    last: str
    flag: str


STEPS: Mapping[str, Step] = MappingProxyType(
    {"CANCELLED": Step("POST", "cancel", "isCancelled"), "KEPT": Step("PUT", "kept", "isKept")}
)
"""By the `workflowStatus` that the outbound rules make. unverified: that both take a body without a reason; how an
appointment is made, moved or patched, for which NextGen wants events and resources that FHIR does not hold."""


class _AtSite(msgspec.Struct):
    item: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Looked:
    """A record as it is read by its id."""

    body: bytes
    name: Named
    served_at: datetime | None
    received_bytes: int


class NextGenDesk(WriteGate):
    """The half of the adapter that reads and writes single records (`ResourceDesk`)."""

    nextgen: NextGen

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        self.config = config
        self.http = http

    def clock_skew_seconds(self) -> float:
        return self.http.skew.p99_seconds()

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        if resource_type == "Appointment":
            return WriteCapability(update=True)
        return WriteCapability(create=True, update=True) if resource_type == "Patient" else READ_ONLY

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        try:
            looked = await self.look_up(resource_type, remote_id)
        except (NotFoundError, GoneError) as error:
            return Absent(f"{error.status} on read")
        return Present(remote_id, looked.body, None, looked.name.last_updated)

    async def look_up(self, resource_type: str, remote_id: str) -> Looked:
        """The record under an id. Raises NotFoundError, and NotPermittedError for what only a chart's list shows."""
        if resource_type == "Patient":
            return await self._read_at("persons", remote_id, PERSON)
        if resource_type == "Appointment":
            zone = self.session_zone()
            looked = await self._read_at("appointments", remote_id, APPOINTMENT)
            return replace(looked, body=at_site(looked.body, zone))
        known = resource_type in CHARTS
        raise NotPermittedError(
            f"NextGen reads {resource_type} by its person only" if known else f"{resource_type} is not read here",
            code="nextgen.by_person_only" if known else "nextgen.no_such_type",
            place=self.http.place(CHARTS[resource_type].operation if known else resource_type),
            remedy="sync the patient whose it is" if known else "choose a type that the connection offers",
        )

    def session_zone(self) -> str:
        """The zone of the session's local times. Raises ConfigurationError where the connection names none."""
        if self.config.vendor.timezone is None:
            raise ConfigurationError(
                "the zone of the session is not known, and the times of appointments name none",
                code="nextgen.timezone",
                place=f"connection {self.config.name}, vendor.timezone",
                remedy="set vendor.timezone to an IANA name such as America/New_York, or leave Appointment out of "
                "resource_types",
            )
        return self.config.vendor.timezone

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        operation = "POST persons"
        answer = await self._write(Write.CREATE, "POST", "persons", body, operation)
        remote_id = _made(answer)
        if remote_id is None:
            raise outcome_unknown(
                "NextGen does not say which person it made", place=self.http.place(operation), status=answer.status
            )
        return await self._shown(resource_type, remote_id)

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)
        if resource_type == "Appointment":
            return await self._step(remote_id, body)
        told = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        absent = {name: msgspec.Raw(b"null") for name in CLEARABLE if name not in told}
        patch = msgspec.json.encode({**told, **absent})
        await self._write(Write.UPDATE, "PATCH", f"persons/{quoted(remote_id)}", patch, "PATCH persons/{id}")
        return await self._shown(resource_type, remote_id)

    async def _step(self, remote_id: str, body: bytes) -> Written:
        """Take an appointment to the state of the body, where it is not in it yet."""
        wanted = msgspec.json.decode(body, type=dict[str, str])["workflowStatus"]
        looked = await self.look_up("Appointment", remote_id)
        shown = msgspec.json.decode(looked.body, type=_AtSite).item
        reached = next((state for state, step in STEPS.items() if shown.get(step.flag) is True), "BOOKED")
        if wanted == reached:
            return Written(remote_id, None, looked.body)
        if wanted not in STEPS:
            raise NotPermittedError(
                "an appointment that was cancelled or kept does not become a booked one again",
                code="nextgen.no_way_back",
                place=self.http.place(APPOINTMENT),
                remedy="book it anew at the site; nothing was sent",
            )
        step = STEPS[wanted]
        path, operation = (
            f"appointments/{quoted(remote_id)}/{step.last}",
            f"{step.method} appointments/{{id}}/{step.last}",
        )
        await self._write(Write.UPDATE, step.method, path, b"{}", operation)
        return await self._shown("Appointment", remote_id)

    async def _write(self, write: Write, method: str, path: str, body: bytes, operation: str) -> Answer:
        wait = self.config.write.timeout_seconds
        return await self.nextgen.write(write, method, path, body, operation=operation, timeout_seconds=wait)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(resource_type, "deleted", self.write_capability(resource_type).delete)
        raise AssertionError("NextGen offers no deletion")

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """Persons by NextGen's own id; what else `persons/lookup` finds them by is not public."""
        ids = dict.fromkeys(value for system, value in identifiers if system == _PERSON_ID)
        if resource_type != "Patient" or not ids:
            raise NotPermittedError(
                f"NextGen does not find a {resource_type} by these identifiers",
                code="nextgen.no_identifier_search",
                place=self.http.place("GET persons/lookup"),
                remedy="look the person up at the site by hand before anything is created again",
            )
        found = [await self.read_current(resource_type, remote_id) for remote_id in ids]
        return [current for current in found if isinstance(current, Present)]

    async def _read_at(self, folder: str, remote_id: str, operation: str) -> Looked:
        answer = await self.nextgen.get(f"{folder}/{quoted(remote_id)}", operation=operation)
        head = head_of(answer.body)
        if head is None or (head.id or "").lower() != remote_id.lower():
            raise ProtocolError(
                "the answer is not the record that was asked for",
                code="nextgen.other_record",
                place=self.http.place(operation),
                remedy="report it to the vendor; nothing was taken from the answer",
                status=answer.status,
            )
        return Looked(
            answer.body,
            named(head, head.id or remote_id),
            http_date(answer.headers.get("date")),
            len(answer.body),
        )

    async def _shown(self, resource_type: str, remote_id: str) -> Written:
        """What a write left, as it is read; a read that fails takes nothing back."""
        try:
            looked = await self.look_up(resource_type, remote_id)
        except VendorError:
            return Written(remote_id, None, None)
        return Written(remote_id, None, looked.body)


def _made(answer: Answer) -> str | None:
    """Whom a POST made. unverified: where NextGen says it; bodies and Location are looked at, success may be empty."""
    head = head_of(answer.body)
    if head is not None and (head.id or head.person):
        return head.id or head.person
    try:
        return msgspec.json.decode(answer.body, type=str).strip() or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        folder, _, last = urlsplit(str(answer.headers.get("location", ""))).path.rpartition("/")
        return unquote(last) or None if folder.endswith("persons") else None
