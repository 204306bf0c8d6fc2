"""The HL7 v2 messages by which MEDITECH is told of our changes: ADT^A31 of a patient, ORU^R01 of a result.

Law: a message says what changed and whom it is about, and nothing else: an empty field is no change, HL7's null
deletes. Its control id is the same as often as the same change is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.providers.hl7v2.building import header, written_time
from holovitals_pipelines.transform.hl7v2_writing import NULL

_CONTROL_ID: Final = 20
"""Characters of MSH-10 up to version 2.6."""
_INSTANCES: Final = "2.6"
"""The version that brought OBX-21, the number of a result."""
IDENTIFYING: Final = ("2", "3", "4", "5")
"""Fields of PID that every message has, as they are known: the numbers, and the name, which the standard requires.
Birth date and sex are sent only where we change them: MEDITECH may hold newer ones that it has not told yet, and a
message that repeats what we know would overwrite them. unverified: what a MEDITECH site matches patients by."""
PATIENT_FIELDS: Final = ("5", "7", "8", "11", "13", "14", "15", "16", "29", "30")
"""What the outbound rules write of PID."""
TAKEN_OVER: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"5": ("9",), "13": ("40",)})
"""Fields whose content the rules write to another one: when that one is sent, they are deleted."""


_SECONDS: Final = re.compile(r"(?<=T[0-9]{2}:[0-9]{2}):[0-9]{2}(?:\.[0-9]+)?")


def to_the_minute(observation: Document) -> Document:
    """The result as MEDITECH tells it again: its times are minutes (vendors.md §9.2)."""
    at = observation.get("effectiveDateTime")
    if not isinstance(at, str):
        return observation
    return {**observation, "effectiveDateTime": _SECONDS.sub(":00", at)}


def control_id(*parts: str) -> str:
    """MSH-10 of a change: a hash of what it is a change of, and of what it says."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:_CONTROL_ID].upper()


def changed_fields(sent: Document, before: Document, known: Document) -> Document:
    """The fields of PID that differ between what we want and what we would write of the record as it is known."""
    changed: Document = {}
    for name in PATIENT_FIELDS:
        if sent.get(name) == before.get(name):
            continue
        changed[name] = sent.get(name) or [{"1": NULL}]
        changed |= {other: [{"1": NULL}] for other in TAKEN_OVER.get(name, ()) if other in known}
    return changed


def told_patient(patient_id: str, changed: Document) -> Document:
    """What the receiver knows after it has taken such a message: a record to be merged."""
    deleted = sorted(name for name, held in changed.items() if held == [{"1": NULL}])
    pid: Document = {"segment": "PID", **{name: held for name, held in changed.items() if name not in deleted}}
    return {"id": patient_id, "pid": {**pid, "null": deleted} if deleted else pid}


def patient_update(settings: Hl7v2Settings, number: str, known: Document, changed: Document, at: datetime) -> Document:
    """ADT^A31. unverified: A31 and not A08, whose structure is the same; sites choose."""
    identity: Document = {name: known[name] for name in IDENTIFYING if name in known}
    evn: Document = {"segment": "EVN", "1": [{"1": "A31"}], "2": [{"1": written_time(at)}]}
    pid: Document = {"segment": "PID", **identity, **changed}
    visit: Document = {"segment": "PV1", "2": [{"1": "N"}]}
    return {"segments": [header(settings, "ADT^A31", number, at), evn, pid, visit]}


def result(
    settings: Hl7v2Settings, number: str, known: Document, obr: Document, obx: Document, at: datetime
) -> Document:
    """ORU^R01 with one result: our number is the order's, and from version 2.6 on the result's own (OBX-21)."""
    identity: Document = {name: known[name] for name in IDENTIFYING if name in known}
    numbers: Document = {name: obr[name] for name in ("2", "3") if name in obr}
    order: Document = {**obr, "1": [{"1": "1"}]}
    if "14" in obx:
        order["7"] = obx["14"]
    # OBX-4 is 1 in MEDITECH's own results (vendors.md §9.2), and version 2.3 requires it.
    found: Document = {"4": [{"1": "1"}], **obx, "1": [{"1": "1"}]}
    if settings.version >= _INSTANCES and "3" in numbers:
        found["21"] = numbers["3"]
    common: Document = {"segment": "ORC", "1": [{"1": "RE"}], **numbers}
    return {"segments": [header(settings, "ORU^R01", number, at), {"segment": "PID", **identity}, common, order, found]}
