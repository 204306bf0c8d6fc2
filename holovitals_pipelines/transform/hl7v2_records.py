"""What an HL7 v2 message speaks of, as records by FHIR resource type: patients, visits, orders, results and so on.

Law: every segment is in a record: what becomes none of its own is kept with the patient it stands with (docs/hl7v2.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.hl7v2_keys import (
    OURS,
    coded,
    identified,
    no_patient,
    order_number,
    own_number,
    patient_id,
    record_number,
    scope_of,
    text_at,
    visit_key,
)
from holovitals_pipelines.transform.shipped_functions import sha256_id

_NULL: Final = '""'
_TEXTS: Final = frozenset({"ST", "TX", "FT"})
RENAMES: Final = frozenset({"A46", "A47"})
"""Events by which a patient's number becomes another one."""
_MERGES: Final = frozenset({"A18", "A30", "A34", "A36", "A40"}) | RENAMES
"""Events by which two patients become one: PID is who stays, MRG who was (vendors.md §10).
unverified: that MEDITECH sends any of them but A40; HL7 2.5.1 §3.3 gives the older ones the same fields."""
NOT_CARRIED_OUT: Final = frozenset(
    {"A23", "A24", "A29", "A35", "A37", "A39", "A41", "A42", "A43", "A44", "A45", "A48", "A49", "A50", "A51"}
)
"""Events that delete, link, part, move or renumber visits: taken for updates they would say the opposite."""
_ONLY: Final = (None, "1")
"""OBX-4 of a result that is the only one of its order, as we send it."""
_NO_ORDER: Final = frozenset({"9999"})
"""CDC's immunization guide has it where the filler knows no order: it names nothing."""


def records_of(message: Document) -> Mapping[str, list[Document]]:
    """The records of a message of hl7v2_document.read_message, by resource type, in their order.

    Raises MalformedResource: `hl7.no_patient` where a message names no patient, for there is nothing to keep it with;
    `hl7.event_not_carried_out` for an event that does something else than tell what is.
    """
    segments = [_without_nulls(one) for one in message["segments"]]
    _refuse_not_carried_out(segments[0])
    before, patients = _by_patient(segments)
    if not patients:
        raise no_patient("the message has no PID segment")
    records: dict[str, list[Document]] = defaultdict(list)
    used: Counter[str] = Counter()
    for own in patients:
        made = _Patient(segments[0], own, used)
        made.others += before
        before = []
        made.read(own[1:])
        for resource_type, found in made.finished().items():
            records[resource_type] += found
    return records


def retired_patient(patient: Document) -> str | None:
    """The id of the patient whom a merge (A40) made one with this one; None where the message is none.

    MRG-1 has the type and facility of the number in PID-3 that it was merged into, where it names none itself.
    """
    mrg, header = patient.get("mrg"), patient["header"]
    if mrg is None or text_at(header, "9", "2") not in _MERGES or not text_at(mrg, "1", "1"):
        return None
    survivor = record_number(patient["pid"])
    assert survivor is not None
    kind = {name: text for name, text in survivor.items() if name == "5"}
    scope = {name: text for name, text in survivor.items() if name in ("4", "6")}
    numbers = [{**kind, **({} if {"4", "6"} & set(one) else scope), **one} for one in mrg["1"]]
    retired = patient_id({"3": numbers}, text_at(header, "4", "1"))
    return None if retired == patient["id"] else retired


@dataclass(slots=True)
class _Order:
    """An OBR or RXA with what belongs to it."""

    resource_type: str
    record: Document
    key: str
    results: list[Document] = field(default_factory=list)


class _Patient:
    """The segments of one patient, from PID to the next PID, grouped as the message structures group them."""

    def __init__(self, header: Document, segments: list[Document], used: Counter[str]) -> None:
        self.header = header
        self.type, self.event = text_at(header, "9", "1"), text_at(header, "9", "2")
        self.facility = text_at(header, "4", "1")
        self.pid = segments[0]
        self.id = patient_id(self.pid, self.facility)
        self.others: list[Document] = []
        self.made: dict[str, list[Document]] = defaultdict(list)
        self._used = used
        self._patient: Document = {"id": self.id, "header": header, "pid": self.pid}
        self._visit: Document | None = None
        self._visit_id: str | None = None
        self._common: Document | None = None
        self._order: _Order | None = None
        self._document: Document | None = None
        self._notes: Document = self._patient
        """What an NTE speaks of."""

    def read(self, segments: Iterable[Document]) -> None:
        for segment in segments:
            if not self._read(segment):
                self.others.append(segment)

    def finished(self) -> Mapping[str, list[Document]]:
        self._leave_order()
        if self.others:
            self._patient["others"] = self.others
        self.made["Patient"] = [self._patient]
        return self.made

    def _read(self, segment: Document) -> bool:
        match segment["segment"]:
            case "EVN" | "PD1" | "MRG" as name if name.lower() not in self._patient:
                self._patient[name.lower()] = segment
            case "NK1":
                self._patient.setdefault("nk1", []).append(segment)
            case "PV1" if self._visit is None:
                return self._read_visit(segment)
            case "PV2" if self._visit is not None and "pv2" not in self._visit:
                self._visit["pv2"] = segment
            case "NTE":
                self._notes.setdefault("nte", []).append(segment)
            case "AL1" | "IAM" as name:
                return self._read_allergy(name.lower(), segment)
            case "DG1" | "PRB" as name:
                return self._read_condition(name.lower(), segment)
            case "ORC":
                self._leave_order()
                self._common = segment
            case "OBR":
                self._read_report(segment)
            case "RXA" if self.type == "VXU":
                self._read_immunization(segment)
            case "RXR" if self._order is not None and self._order.resource_type == "Immunization":
                return _put(self._order.record, "rxr", segment)
            case "SPM" if self._order is not None and self._order.resource_type == "DiagnosticReport":
                self._order.record.setdefault("spm", []).append(segment)
            case "TXA" if self._document is None and (number := text_at(segment, "12", "1")) is not None:
                self._document = self._record("DocumentReference", (*scope_of(segment["12"][0], self.facility), number))
                self._document["txa"] = segment
                self._add_visit(self._document)
            case "OBX" if self._document is not None:
                _add_content(self._document, segment)
            case "OBX":
                return self._read_observation(segment)
            case _:
                return False
        return True

    def _read_visit(self, segment: Document) -> bool:
        key = visit_key(segment, self.pid, self.facility, self.id)
        if key is None:
            return False
        self._visit = self._record("Encounter", key)
        self._visit |= {"event": self.event, "pv1": segment} if self.event else {"pv1": segment}
        self._visit_id = self._visit["id"]
        account = text_at(self.pid, "18", "1")
        if account is not None:
            self._visit["account"] = account
        return True

    def _read_allergy(self, name: str, segment: Document) -> bool:
        key = identified(segment, "7", self.facility) if name == "iam" else None
        key = key or coded(segment, "3")
        if key is None or not coded(segment, "3"):
            return False
        record = self._record("AllergyIntolerance", (self.id, *key))
        record[name] = segment
        self._notes = record
        return True

    def _read_condition(self, name: str, segment: Document) -> bool:
        described = text_at(segment, "4", "1") if name == "dg1" else None
        code = coded(segment, "3") or (None if described is None else ("", described))
        if code is None:
            return False
        own = identified(segment, "20" if name == "dg1" else "4", self.facility)
        visit = self._visit_id if name == "dg1" else None
        record = self._record("Condition", own or (self.id, visit, *code))
        record[name] = segment
        self._add_visit(record)
        self._notes = record
        return True

    def _read_report(self, segment: Document) -> None:
        orc = self._take_common()
        own = own_number(segment, "2", "3") or (None if orc is None else own_number(orc, "2", "3"))
        order = order_number(segment, orc, self.facility) or (self.id, text_at(segment, "7", "1"))
        key = (*order, *(coded(segment, "4") or ("",))) if own is None else (OURS, own)
        record = self._record("DiagnosticReport", key)
        record |= {"message": self.type, "obr": segment} if self.type else {"obr": segment}
        if own is not None:
            record["own"] = own
        if orc is not None:
            record["orc"] = orc
        self._add_visit(record)
        self._order = _Order("DiagnosticReport", record, record["id"])
        self._notes = record

    def _read_immunization(self, segment: Document) -> None:
        orc = self._take_common()
        order = None if orc is None or text_at(orc, "3", "1") in _NO_ORDER else identified(orc, "3", self.facility)
        key = order or (self.id, (text_at(segment, "3", "1") or "")[:8], *(coded(segment, "5") or ("",)))
        record = self._record("Immunization", key)
        record["rxa"] = segment
        if orc is not None:
            record["orc"] = orc
        self._add_visit(record)
        self._order = _Order("Immunization", record, record["id"])
        self._notes = record

    def _read_observation(self, segment: Document) -> bool:
        code = coded(segment, "3")
        if code is None:
            return False
        within = self.id if self._order is None else self._order.key
        own = own_number(segment, "21") or self._own_order(segment)
        key = (OURS, own) if own is not None else identified(segment, "21", self.facility)
        record = self._record(
            "Observation", key or (within, *code, text_at(segment, "4", "1"), text_at(segment, "14", "1"))
        )
        record["obx"] = _with_lines(segment)
        if own is not None:
            record["own"] = own
        if self._order is not None and self._order.resource_type == "DiagnosticReport":
            self._order.results.append({"id": record["id"]})
            record |= _of_report(self._order.record)
        elif self._order is not None:
            record["immunization"] = self._order.key
        self._add_visit(record)
        self._notes = record
        return True

    def _own_order(self, obx: Document) -> str | None:
        """The number of an order of ours, where this is its result: it has one (unverified: that OBX-4 comes back)."""
        if self._order is None or text_at(obx, "4", "1") not in _ONLY:
            return None
        number: str | None = self._order.record.get("own")
        return number

    def _take_common(self) -> Document | None:
        """The ORC that stands before an OBR or RXA: it is of the first only."""
        orc, self._common = self._common, None
        self._leave_order()
        return orc

    def _leave_order(self) -> None:
        if self._common is not None:
            self.others.append(self._common)
            self._common = None
        if self._order is not None and self._order.results:
            self._order.record["results"] = self._order.results
        self._order = None

    def _record(self, resource_type: str, key: Iterable[str | None]) -> Document:
        """A new record. Another one with the same key in the message is the second of its kind, and so on."""
        made = sha256_id(resource_type, *key)
        assert made is not None
        self._used[made] += 1
        if self._used[made] > 1:
            repeated = sha256_id(made, str(self._used[made]))
            assert repeated is not None
            made = repeated
        record: Document = {"id": made, "patient": {"id": self.id}}
        self.made[resource_type].append(record)
        return record

    def _add_visit(self, record: Document) -> None:
        if self._visit_id is not None:
            record["encounter"] = {"id": self._visit_id}


def _by_patient(segments: list[Document]) -> tuple[list[Document], list[list[Document]]]:
    """What stands before the first patient (without MSH and EVN), and the segments of each from its PID, with EVN."""
    starts = [at for at, one in enumerate(segments) if one["segment"] == "PID"]
    if not starts:
        return segments[1:], []
    before = segments[1 : starts[0]]
    event = [one for one in before if one["segment"] == "EVN"][:1]
    patients = [segments[a:b] for a, b in zip(starts, [*starts[1:], len(segments)], strict=True)]
    patients[0][1:1] = event
    return [one for one in before if one not in event], patients


def _of_report(report: Document) -> Document:
    """What a result takes over from its order."""
    obr = report["obr"]
    taken = {name: obr[name] for name in ("7", "8", "22") if name in obr}
    return {"report": report["id"]} | ({"obr": taken} if taken else {})


def _put(record: Document, name: str, segment: Document) -> bool:
    return record.setdefault(name, segment) is segment


def _with_lines(obx: Document) -> Document:
    """Repetitions of a text are its lines."""
    values = obx.get("5", ())
    if text_at(obx, "2", "1") not in _TEXTS or len(values) < 2 or any(set(one) - {"1"} for one in values):
        return obx
    return {**obx, "5": [{"1": "\n".join(one.get("1", "") for one in values)}]}


def _add_content(document: Document, obx: Document) -> None:
    """A document's text stands in as many segments as it has lines, or pages; the rest of each is kept beside it."""
    lines = obx.get("5", ())
    if text_at(obx, "2", "1") in _TEXTS and lines and not any(set(one) - {"1"} for one in lines):
        read = "\n".join(one.get("1", "") for one in lines)
        document["text"] = f"{document['text']}\n{read}" if "text" in document else read
        obx = {name: value for name, value in obx.items() if name != "5"}
    document.setdefault("obx", []).append(obx)


def _without_nulls(segment: Document) -> Document:
    """HL7's null is no text: its places stand in `null`, as `8`, `13.2` (a component), `13[1].2` (of a repetition)."""
    if not _has_nulls(segment):
        return segment
    found: list[str] = []
    kept: Document = {}
    for name, value in segment.items():
        if type(value) is not list or not any(_NULL in one.values() or not one for one in value):
            kept[name] = value
            continue
        found += _nulls(name, value)
        left: list[Any] = [{place: text for place, text in one.items() if text != _NULL} for one in value]
        if any(left):
            kept[name] = left
    return {**kept, "null": found} if found else kept


def _has_nulls(segment: Document) -> bool:
    """Or empty repetitions. Loops, not any(): this runs over every field of every message."""
    for value in segment.values():
        if type(value) is list:
            for one in value:
                if not one or _NULL in one.values():
                    return True
    return False


def _nulls(name: str, repetitions: list[Document]) -> Iterable[str]:
    for number, one in enumerate(repetitions):
        at = name if len(repetitions) == 1 else f"{name}[{number}]"
        yield from (at if len(one) == 1 and place == "1" else f"{at}.{place}" for place in one if one[place] == _NULL)


def _refuse_not_carried_out(header: Document) -> None:
    event = text_at(header, "9", "2")
    if text_at(header, "9", "1") == "ADT" and event in NOT_CARRIED_OUT:
        raise MalformedResource(
            "hl7.event_not_carried_out",
            f"ADT^{event} deletes, links, parts or moves records, which is not done here; nothing of it was applied",
            "See what the site did and do it here; have the patient's records sent again (A31, A08).",
        )
