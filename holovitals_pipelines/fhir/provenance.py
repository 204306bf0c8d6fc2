"""FHIR R4 Provenance of one change of a record: what became what, when, by whom and why.

Law: nothing of the record's content goes in: references, versions, content hashes and our own words only.

Target is the version the change made, an entity of role `revision` each version or image it was made from
(sync-protocol.md §4.5; hl7.org/fhir/R4/provenance.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

Actor = Literal["person", "connection", "policy"]

ENTRY_EXTENSION = "https://holovitals.org/fhir/StructureDefinition/audit-entry"
IDENTIFIERS = "https://holovitals.org/fhir/sid/"
"""Beginning of the identifier systems `document`, `person`, `connection` and `policy`."""
_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_DISPLAYS = {"CREATE": "create", "UPDATE": "revise", "DELETE": "delete"}
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Image:
    """A body that went into a change: its content hash, and the version of the record it was, where it was one."""

    document: bytes
    version: int | None = None
    side: str | None = None
    """Whose it was: "local side", "vendor's side"."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """An entry of the audit log that changed a record. `version` is the one it made, `inputs` what it was made from."""

    seq: int
    entry_hash: bytes
    recorded: datetime
    resource_type: str
    record_id: str
    version: int | None
    created: bool
    deleted: bool
    inputs: tuple[Image, ...]
    actor: str
    actor_kind: Actor
    action: str
    cause: str | None = None
    policy_version: str | None = None
    connection: str | None = None
    conflict_id: str | None = None
    job_id: str | None = None


def provenance(change: RecordChange) -> bytes:
    """The Provenance as JSON. Its id is made of the entry's number and hash: one entry, one resource, every time."""
    operation = "CREATE" if change.created else "DELETE" if change.deleted else "UPDATE"
    resource: dict[str, Any] = {
        "resourceType": "Provenance",
        "id": f"audit-{change.seq}-{change.entry_hash.hex()[:16]}",
        "extension": [_entry_extension(change)],
        "target": [{"reference": _reference(change, change.version), "type": change.resource_type}],
        "recorded": change.recorded.isoformat(),
        "activity": {"coding": [{"system": _OPERATIONS, "code": operation, "display": _DISPLAYS[operation]}]},
        "agent": [_agent(change)],
    }
    if change.inputs:  # a list may not be empty in FHIR
        resource["entity"] = [{"role": "revision", "what": _what(change, image)} for image in change.inputs]
    return orjson.dumps(resource)


def _reference(change: RecordChange, version: int | None) -> str:
    current = f"{change.resource_type}/{change.record_id}"
    return current if version is None else f"{current}/_history/{version}"


def _what(change: RecordChange, image: Image) -> dict[str, Any]:
    """An image that was never a version of the record is found by its content hash in the store."""
    what: dict[str, Any] = {
        "type": change.resource_type,
        "identifier": {"system": f"{IDENTIFIERS}document", "value": image.document.hex()},
    }
    if image.version is not None:
        what["reference"] = _reference(change, image.version)
    if image.side is not None:
        what["display"] = image.side
    return what


def _agent(change: RecordChange) -> dict[str, Any]:
    person = change.actor_kind == "person"
    return {
        "type": {"coding": [{"system": _PARTICIPANTS, "code": "author" if person else "assembler"}]},
        "who": {
            "type": "Practitioner" if person else "Device",
            "identifier": {"system": f"{IDENTIFIERS}{change.actor_kind}", "value": change.actor},
        },
    }


def _entry_extension(change: RecordChange) -> dict[str, Any]:
    """Why it was done, and the entry to look up; Provenance.reason has codes only for reasons of care."""
    told = {
        "seq": str(change.seq),
        "hash": change.entry_hash.hex(),
        "action": change.action,
        "cause": change.cause,
        "policyVersion": change.policy_version,
        "connection": change.connection,
        "conflict": change.conflict_id,
        "job": change.job_id,
    }
    members = [{"url": name, "valueString": value} for name, value in told.items() if value]
    return {"url": ENTRY_EXTENSION, "extension": members}
