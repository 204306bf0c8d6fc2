"""One record at a time at MEDITECH: known from its messages; a change goes out as a message and counts when accepted.

Law: what MEDITECH holds is what it has told, and what it has accepted of us (AA). A message whose answer was lost goes
out again with the same control id: the receiver keeps those apart by MSH-10 (vendors.md §10; unverified for a site).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import orjson

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import (
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    VersionConflictError,
)
from holovitals_pipelines.model.writing import (
    READ_ONLY,
    Current,
    Document,
    Present,
    UnitWrite,
    WriteCapability,
    Written,
)
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.hl7v2.building import build_message
from holovitals_pipelines.providers.hl7v2.sender import Sender
from holovitals_pipelines.providers.meditech.held import Held, HeldRecords
from holovitals_pipelines.providers.meditech.messages import (
    changed_fields,
    control_id,
    patient_update,
    result,
    to_the_minute,
    told_patient,
)
from holovitals_pipelines.providers.timings import Timings
from holovitals_pipelines.providers.write_gate import WriteGate
from holovitals_pipelines.transform.hl7v2_document import read_message
from holovitals_pipelines.transform.hl7v2_keys import own_result
from holovitals_pipelines.transform.hl7v2_records import records_of
from holovitals_pipelines.transform.hl7v2_writing import write_message

_OFFERED: Mapping[str, WriteCapability] = MappingProxyType(
    {
        # unverified: that a site takes either message; vendors.md §14 names no real ADT specification.
        "Patient": WriteCapability(update=True),
        "Observation": WriteCapability(
            create=True, keeps_identifiers=True, otherwise=UnitWrite.READ_ONLY, project=to_the_minute
        ),
    }
)


class MeditechDesk(WriteGate):
    """See the module; `MeditechAdapter` opens and closes it."""

    config: ConnectionConfig
    held: HeldRecords
    sender: Sender
    timings: Timings
    clock: Clock

    def __init__(self) -> None:
        self._unheard: set[str] = set()
        """Control ids of messages whose answer was lost."""

    def clock_skew_seconds(self) -> float:
        return 0.0

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        self.held.refresh()
        return _present(self._told(resource_type, remote_id))

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        self._allowed(resource_type, "created", self.write_capability(resource_type).create)
        try:
            return await self._file(resource_type, body, identifiers)
        except NotFoundError as error:
            # What is not found is the patient: a create that fails so must not count as out of date and be tried anew.
            raise PermanentError(
                f"the result's patient: {error.message}", code=error.code, place=self._place, remedy=error.remedy
            ) from None

    async def _file(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier]) -> Written:
        sent: Document = orjson.loads(body)
        patient = self._told("Patient", sent["patient"]["id"])
        known: Document = orjson.loads(patient.body)
        named = [value for _, value in identifiers]
        number = control_id(self.config.name, resource_type, *(named or [body.decode()]))
        message = result(self.config.hl7v2, number, known["pid"], sent["obr"], sent["obx"], self.clock.now())
        await self._send("ORU^R01", message, number)
        told = records_of(read_message(write_message(message)))[resource_type][0]
        return _written(self.held.tell(resource_type, {**told, "patient": {"id": patient.remote_id}}))

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        self._allowed(resource_type, "changed", self.write_capability(resource_type).update)
        before = self._told(resource_type, remote_id)
        if version is not None and version != before.version:
            raise VersionConflictError(
                "a message has told of another version since", code="meditech.changed_since", place=self._place
            )
        known: Document = orjson.loads(before.body)["pid"]
        written = self.held.as_we_write_it(resource_type, before.body).get("pid", {})
        changed = changed_fields(orjson.loads(body).get("pid", {}), written, known)
        if not changed:
            return _written(before)
        # The message that told last makes it the same number for the same change, and another one for a later change
        # to the same values.
        number = control_id(
            self.config.name, remote_id, str(before.message_id), before.version, orjson.dumps(changed).decode()
        )
        message = patient_update(self.config.hl7v2, number, known, changed, self.clock.now())
        await self._send("ADT^A31", message, number)
        return _written(self.held.tell(resource_type, told_patient(remote_id, changed)))

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        raise NotPermittedError(
            f"no message to MEDITECH deletes a {resource_type}", code="meditech.no_delete", place=self._place
        )

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        """What a create of ours made, once the feed has told of it: it has our number (docs/hl7v2.md).

        Nothing before that, and that is enough: a create that goes out again has its old control id, and counts once.
        """
        if resource_type != "Observation":
            return ()
        self.held.refresh()
        return [
            _present(one) for one in self.held.by_id(resource_type, [own_result(number) for _, number in identifiers])
        ]

    def _offered_writes(self, resource_type: str) -> WriteCapability:
        return _OFFERED.get(resource_type, READ_ONLY)

    @property
    def _place(self) -> str:
        return f"connection {self.config.name}"

    def _told(self, resource_type: str, remote_id: str) -> Held:
        """Raises NotFoundError, never says that it is absent: what no message told of may be there all the same."""
        found = self.held.by_id(resource_type, [remote_id])
        if not found:
            raise NotFoundError(
                f"no message has told of this {resource_type}",
                code="meditech.not_told",
                place=self._place,
                remedy="have MEDITECH send it, as it does when the patient's record is updated (A31, A08)",
            )
        return found[0]

    def _built(self, message: Document) -> bytes:
        """Raises PermanentError for what HL7 does not allow: nothing is sent."""
        try:
            return build_message(message)
        except MalformedResource as error:
            raise PermanentError(error.message, code=error.code, place=self._place, remedy=error.remedy) from None

    async def _send(self, operation: str, message: Document, number: str) -> None:
        started = self.clock.monotonic()
        failed = True
        try:
            await self.sender.send(self._built(message), repeated=number in self._unheard)
            failed = False
        except OutcomeUnknownError:
            self._unheard.add(number)
            raise
        finally:
            self.timings.request(operation, self.clock.monotonic() - started, failed=failed)


def _present(held: Held) -> Present:
    return Present(held.remote_id, held.body, held.version, held.changed_at)


def _written(held: Held) -> Written:
    return Written(held.remote_id, held.version, held.body)
