"""One record at a time through Unity: looked up where its id says, saved by its type's action, and read back.

Law: Unity guards no write and says little of what it did: a write counts as done when the record shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import NotPermittedError, ProtocolError, VendorError
from holovitals_pipelines.model.extract import Named
from holovitals_pipelines.model.writing import READ_ONLY, Absent, Current, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.allscripts.rows import (
    PROVIDERS,
    SECTIONS,
    chart_listing,
    is_no_patient,
    of_patient,
    split_chart_id,
)
from holovitals_pipelines.providers.allscripts.saving import SAVED, after_create, save_action
from holovitals_pipelines.providers.allscripts.unity import Rows, Unity, action, text_of
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.fhir_rest import Found
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.write_gate import WriteGate

_MRN = "urn:holovitals:allscripts:mrn"
"""The system that the rule set of patients files Unity's medical record numbers under."""
_PATIENT_NUMBERS = ("patientid", "PatientID", "ID")
"""unverified: where the rows of SavePatient and GetPatientByMRN say whom they are about; the feed and SearchPatients
use the first and the last."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found under an id; no body where there is nothing, or, if `partial`, nothing that can be told apart."""

    body: bytes | None
    served_at: datetime | None
    received_bytes: int
    partial: bool = False


@dataclass(slots=True)
class _Section:
    """A patient's records of a chart's type, by id."""

    held: dict[str, bytes] = field(default_factory=dict)
    served_at: datetime | None = None
    received_bytes: int = 0
    partial: bool = False

    def add(self, found: Found) -> None:
        self.held.update(zip(_ids(found.named or ()), found.bodies, strict=True))
        self.served_at = self.served_at or found.served_at
        self.received_bytes += found.received_bytes
        self.partial = self.partial or found.partial

    def looked(self, remote_id: str) -> Looked:
        return Looked(self.held.get(remote_id), self.served_at, self.received_bytes, self.partial)


class UnityDesk(WriteGate):
    """The half of the adapter that reads and writes single records (`ResourceDesk`)."""

    unity: Unity

    def __init__(self, config: ConnectionConfig, http: VendorHttp) -> None:
        self.config = config
        self.http = http
        self._one_create = asyncio.Lock()

    def clock_skew_seconds(self) -> float:
        return self.http.skew.p99_seconds()

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        saving = SAVED.get(resource_type)
        return READ_ONLY if saving is None else WriteCapability(create=True, update=True, elements=saving.elements)

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        """What Unity holds. A row is absent when the chart of its patient, who is shown, is shown without it.

        Raises NotPermittedError for a patient who is not shown, and for their chart: they may be deleted, merged into
        another or hidden from this user, and Unity does not say which (vendors.md §1.1).
        """
        looked = await self.look_up(resource_type, remote_id)
        if looked.body is not None:
            return Present(remote_id, looked.body, None)
        if looked.partial:
            raise self._nobody_knows("a row cannot be told from others", "MagicJson GetClinicalSummary")
        patient = remote_id if resource_type == "Patient" else split_chart_id(remote_id)[0]
        if patient and (resource_type == "Patient" or (await self.look_up("Patient", patient)).body is None):
            raise self._nobody_knows("Unity shows nothing of the patient", "MagicJson GetPatient")
        return Absent("not among the rows that Unity shows")

    async def look_up(self, resource_type: str, remote_id: str) -> Looked:
        """The record under an id, read where its id says that it is."""
        if resource_type == "Patient":
            rows = await self.unity.ask(action("GetPatient", remote_id))
            row = self._patient_row(rows)
            body = None if row is None else of_patient(remote_id, row)
            return Looked(body, rows.served_at, rows.received_bytes)
        if resource_type == "Practitioner":
            rows = await self.unity.ask(action("GetProviders"))
            found = PROVIDERS.found(rows, None)
            held = dict(zip(_ids(found.named or ()), found.bodies, strict=True))
            return Looked(held.get(remote_id), rows.served_at, rows.received_bytes, found.partial)
        patient, _ = split_chart_id(remote_id)
        if not patient:
            return Looked(None, None, 0)
        return (await self._section(resource_type, patient)).looked(remote_id)

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        saving = save_action(resource_type, body, None)
        # One after another: what a create made is told by what was not there before it.
        async with self._one_create:
            if resource_type == "Patient":
                made = await self.unity.tell(saving, self.config.write.timeout_seconds)
                remote_id = _patient_number(made)
            else:
                before = await self._section(resource_type, saving.patient)
                await self.unity.tell(saving, self.config.write.timeout_seconds)
                remote_id = await self._made(resource_type, saving.patient, before, saving.operation)
        if remote_id is None:
            raise outcome_unknown("Unity does not say which record it made", place=self.http.place(saving.operation))
        await self._complete(resource_type, body, remote_id)
        return await self._shown(resource_type, remote_id)

    async def _complete(self, resource_type: str, body: bytes, remote_id: str) -> None:
        following = after_create(resource_type, body, remote_id)
        if following is None:
            return
        try:
            await self.unity.tell(following, self.config.write.timeout_seconds)
        except VendorError as error:
            place = self.http.place(following.operation)
            raise outcome_unknown("a record was made, but not all of it was set", place=place) from error

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "updated", self.write_capability(resource_type).update)
        saving = save_action(resource_type, body, remote_id)
        await self.unity.tell(saving, self.config.write.timeout_seconds)
        return await self._shown(resource_type, remote_id)

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        self._allowed(resource_type, "deleted", self.write_capability(resource_type).delete)
        raise AssertionError("Unity offers no deletion")

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """Patients by their medical record numbers; nothing else is found by an identifier."""
        numbers = [value for system, value in identifiers if system == _MRN]
        if resource_type != "Patient" or not numbers:
            raise NotPermittedError(
                f"Unity does not find a {resource_type} by these identifiers",
                code="unity.no_identifier_search",
                place=self.http.place("MagicJson GetPatientByMRN"),
                remedy="look in the patient's chart by hand before anything is created again",
            )
        found: dict[str, Present] = {}
        for number in dict.fromkeys(numbers):
            remote_id = _patient_number(await self.unity.ask(action("GetPatientByMRN", "", number)))
            current = None if remote_id is None else await self.read_current("Patient", remote_id)
            if isinstance(current, Present):
                self._carries(current.body, number)
                found[current.remote_id] = current
        return list(found.values())

    def _nobody_knows(self, why: str, operation: str) -> NotPermittedError:
        return NotPermittedError(
            f"{why}: whether the record is deleted, merged or hidden is not known",
            code="unity.not_shown",
            place=self.http.place(operation),
            remedy="look at the site for the patient; nothing is taken as deleted",
        )

    def _carries(self, record: bytes, number: str) -> None:
        """Raises NotPermittedError for a patient with another number: linking to a stranger is the worst there is."""
        held = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        if text_of(bytes(held["item"]), "mrn") != number:
            raise NotPermittedError(
                "Unity answered a patient with another record number than was asked for",
                code="find.not_searched",
                place=self.http.place("MagicJson GetPatientByMRN"),
                remedy="look at the site for the patient by hand before anything is created again",
            )

    async def _section(self, resource_type: str, patient: str) -> _Section:
        section = _Section()
        for name in SECTIONS[resource_type]:
            rows = await self.unity.ask(action("GetClinicalSummary", patient, name))
            section.add(chart_listing(resource_type).found(rows, patient))
        return section

    async def _made(self, resource_type: str, patient: str, before: _Section, operation: str) -> str | None:
        """The one record that was not there before; None where there is not exactly one."""
        try:
            after = await self._section(resource_type, patient)
        except VendorError as error:
            place = self.http.place(operation)
            raise outcome_unknown("the record that was made could not be read", place=place) from error
        new = [remote_id for remote_id in after.held if remote_id not in before.held]
        return new[0] if len(new) == 1 else None

    async def _shown(self, resource_type: str, remote_id: str) -> Written:
        """What a write left, as it is read; a read that fails takes nothing back."""
        try:
            looked = await self.look_up(resource_type, remote_id)
        except VendorError:
            return Written(remote_id, None, None)
        return Written(remote_id, None, looked.body)

    def _patient_row(self, rows: Rows) -> bytes | None:
        living = [row for row in rows.rows if not is_no_patient(row)]
        if len(living) > 1:
            raise ProtocolError(
                "GetPatient answered something else than one patient",
                code="unity.not_a_patient",
                place=self.http.place("MagicJson GetPatient"),
                remedy="report it to the vendor; nothing was changed",
            )
        return living[0] if living else None


def _ids(named: Sequence[Named]) -> list[str]:
    return [one.remote_id for one in named]


def _patient_number(rows: Rows) -> str | None:
    """Whom the only row of an answer is about; None where it does not say."""
    if len(rows.rows) != 1:
        return None
    try:
        said = [text_of(rows.rows[0], name) for name in _PATIENT_NUMBERS]
    except ValueError:
        return None
    return next((number for number in said if number not in ("", "0")), None)
