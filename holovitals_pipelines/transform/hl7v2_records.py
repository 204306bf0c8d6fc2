"""What an HL7 v2 message speaks of, as records by FHIR resource type: patients, visits, orders, results and so on.

Law: every segment is in a record: what becomes none of its own is kept with the patient it stands with (docs/hl7v2.md).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.shipped_functions import sha256_id

_NULL: Final = '""'
_PLAIN: Final = re.compile(r"[A-Za-z0-9.]{1,62}")
_PLAIN_ID: Final = 64
_TEXTS: Final = frozenset({"ST", "TX", "FT"})
_MERGES: Final = frozenset({"A40", "A18"})
"""Events by which two patients become one: PID is who stays, MRG who was (vendors.md §10)."""
_NO_ORDER: Final = frozenset({"9999"})
"""CDC's immunization guide has it where the filler knows no order: it names nothing."""


def records_of(message: Document) -> Mapping[str, list[Document]]:
    """The records of a message of hl7v2_document.read_message, by resource type, in their order.

    Raises MalformedResource (`hl7.no_patient`) where a message names no patient: there is nothing to keep it with.
    """
    segments = [_without_nulls(one) for one in message["segments"]]
    before, patients = _by_patient(segments)
    if not patients:
        raise _no_patient("the message has no PID segment")
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
    if mrg is None or _text(header, "9", "2") not in _MERGES or not _text(mrg, "1", "1"):
        return None
    survivor = _number(patient["pid"])
    assert survivor is not None
    kind = {name: text for name, text in survivor.items() if name == "5"}
    scope = {name: text for name, text in survivor.items() if name in ("4", "6")}
    numbers = [{**kind, **({} if {"4", "6"} & set(one) else scope), **one} for one in mrg["1"]]
    retired = _patient_id({"3": numbers}, _text(header, "4", "1"))
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
        self.type, self.event = _text(header, "9", "1"), _text(header, "9", "2")
        self.facility = _text(header, "4", "1")
        self.pid = segments[0]
        self.id = _patient_id(self.pid, self.facility)
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
            case "TXA" if self._document is None and (number := _text(segment, "12", "1")) is not None:
                self._document = self._record("DocumentReference", (*_scope(segment["12"][0], self.facility), number))
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
        key = _visit_key(segment, self.pid, self.facility, self.id)
        if key is None:
            return False
        self._visit = self._record("Encounter", key)
        self._visit |= {"event": self.event, "pv1": segment} if self.event else {"pv1": segment}
        self._visit_id = self._visit["id"]
        account = _text(self.pid, "18", "1")
        if account is not None:
            self._visit["account"] = account
        return True

    def _read_allergy(self, name: str, segment: Document) -> bool:
        key = _identified(segment, "7", self.facility) if name == "iam" else None
        key = key or _coded(segment, "3")
        if key is None or not _coded(segment, "3"):
            return False
        record = self._record("AllergyIntolerance", (self.id, *key))
        record[name] = segment
        self._notes = record
        return True

    def _read_condition(self, name: str, segment: Document) -> bool:
        described = _text(segment, "4", "1") if name == "dg1" else None
        code = _coded(segment, "3") or (None if described is None else ("", described))
        if code is None:
            return False
        own = _identified(segment, "20" if name == "dg1" else "4", self.facility)
        visit = self._visit_id if name == "dg1" else None
        record = self._record("Condition", own or (self.id, visit, *code))
        record[name] = segment
        self._add_visit(record)
        self._notes = record
        return True

    def _read_report(self, segment: Document) -> None:
        orc = self._take_common()
        order = _order_number(segment, orc, self.facility) or (self.id, _text(segment, "7", "1"))
        key = (*order, *(_coded(segment, "4") or ("",)))
        record = self._record("DiagnosticReport", key)
        record |= {"message": self.type, "obr": segment} if self.type else {"obr": segment}
        if orc is not None:
            record["orc"] = orc
        self._add_visit(record)
        self._order = _Order("DiagnosticReport", record, record["id"])
        self._notes = record

    def _read_immunization(self, segment: Document) -> None:
        orc = self._take_common()
        order = None if orc is None or _text(orc, "3", "1") in _NO_ORDER else _identified(orc, "3", self.facility)
        key = order or (self.id, (_text(segment, "3", "1") or "")[:8], *(_coded(segment, "5") or ("",)))
        record = self._record("Immunization", key)
        record["rxa"] = segment
        if orc is not None:
            record["orc"] = orc
        self._add_visit(record)
        self._order = _Order("Immunization", record, record["id"])
        self._notes = record

    def _read_observation(self, segment: Document) -> bool:
        code = _coded(segment, "3")
        if code is None:
            return False
        within = self.id if self._order is None else self._order.key
        own = _identified(segment, "21", self.facility)
        record = self._record(
            "Observation", own or (within, *code, _text(segment, "4", "1"), _text(segment, "14", "1"))
        )
        record["obx"] = _with_lines(segment)
        if self._order is not None and self._order.resource_type == "DiagnosticReport":
            self._order.results.append({"id": record["id"]})
            record |= _of_report(self._order.record)
        elif self._order is not None:
            record["immunization"] = self._order.key
        self._add_visit(record)
        self._notes = record
        return True

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


def _patient_id(pid: Document, facility: str | None) -> str:
    """The record number, else the first identifier; PID-2 and PID-4 where PID-3 has none (vendors' lab feeds)."""
    chosen = _number(pid)
    if chosen is None:
        raise _no_patient("its PID segment has no identifier")
    return _id((*_scope(chosen, facility, "6", "4"), chosen.get("5"), chosen["1"]))


def _number(pid: Document) -> Document | None:
    held = [one for name in ("3", "2", "4") for one in pid.get(name, ()) if one.get("1")]
    return next((one for one in held if one.get("5") == "MR"), held[0] if held else None)


def _visit_key(pv1: Document, pid: Document, facility: str | None, patient: str) -> tuple[str | None, ...] | None:
    """The visit's number, the patient's account, the other number of the visit, or the patient's time of admission."""
    for segment, name in ((pv1, "19"), (pid, "18"), (pv1, "50")):
        for held in segment.get(name, ()):
            if held.get("1"):
                return *_scope(held, facility, "6", "4"), held["1"]
    admitted = _text(pv1, "44", "1")
    return None if admitted is None else (patient, _text(pv1, "2", "1"), admitted)


def _order_number(obr: Document, orc: Document | None, facility: str | None) -> tuple[str | None, ...] | None:
    """The filler's number, or the placer's where there is none."""
    for name, common in (("3", "3"), ("2", "2")):
        found = _identified(obr, name, facility) or (None if orc is None else _identified(orc, common, facility))
        if found is not None:
            return name, *found
    return None


def _of_report(report: Document) -> Document:
    """What a result takes over from its order."""
    obr = report["obr"]
    taken = {name: obr[name] for name in ("7", "8", "22") if name in obr}
    return {"report": report["id"]} | ({"obr": taken} if taken else {})


def _identified(segment: Document, name: str, facility: str | None) -> tuple[str | None, ...] | None:
    """An entity identifier with who gave it, or the sending facility."""
    number = _text(segment, name, "1")
    return None if number is None else (*_scope(segment[name][0], facility), number)


def _scope(held: Document, facility: str | None, *places: str) -> tuple[str | None]:
    """Who gave an identifier: MEDITECH names the facility and no authority, others the authority."""
    return (next((held[place] for place in places or ("2",) if held.get(place)), facility),)


def _coded(segment: Document, name: str) -> tuple[str | None, ...] | None:
    """A code with its system, or the text of what has no code."""
    held = segment.get(name) or [{}]
    for code, system in (("1", "3"), ("4", "6"), ("2", ""), ("9", "")):
        if held[0].get(code):
            return held[0].get(system), held[0][code]
    return None


def _id(parts: tuple[str | None, ...]) -> str:
    """`FAC1-MR-417`, or a hash where that could mean two things or is no FHIR id."""
    said = [part for part in parts if part]
    plain = "-".join(said)
    if len(plain) <= _PLAIN_ID and all(_PLAIN.fullmatch(part) for part in said):
        return plain
    made = sha256_id(*parts)
    assert made is not None
    return made


def _text(segment: Document, name: str, component: str) -> str | None:
    held = segment.get(name)
    return held[0].get(component) if held else None


def _put(record: Document, name: str, segment: Document) -> bool:
    return record.setdefault(name, segment) is segment


def _with_lines(obx: Document) -> Document:
    """Repetitions of a text are its lines."""
    values = obx.get("5", ())
    if _text(obx, "2", "1") not in _TEXTS or len(values) < 2 or any(set(one) - {"1"} for one in values):
        return obx
    return {**obx, "5": [{"1": "\n".join(one.get("1", "") for one in values)}]}


def _add_content(document: Document, obx: Document) -> None:
    """A document's text stands in as many segments as it has lines, or pages; the rest of each is kept beside it."""
    lines = obx.get("5", ())
    if _text(obx, "2", "1") in _TEXTS and lines and not any(set(one) - {"1"} for one in lines):
        read = "\n".join(one.get("1", "") for one in lines)
        document["text"] = f"{document['text']}\n{read}" if "text" in document else read
        obx = {name: value for name, value in obx.items() if name != "5"}
    document.setdefault("obx", []).append(obx)


def _without_nulls(segment: Document) -> Document:
    """HL7's null is no text: its places stand in `null`, as `8`, `13.2` (a component), `13[1].2` (of a repetition)."""
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


def _nulls(name: str, repetitions: list[Document]) -> Iterable[str]:
    for number, one in enumerate(repetitions):
        at = name if len(repetitions) == 1 else f"{name}[{number}]"
        yield from (at if len(one) == 1 and place == "1" else f"{at}.{place}" for place in one if one[place] == _NULL)


def _no_patient(why: str) -> MalformedResource:
    return MalformedResource(
        "hl7.no_patient", f"nobody can be named: {why}", "Ask the sender for the patient's record."
    )
