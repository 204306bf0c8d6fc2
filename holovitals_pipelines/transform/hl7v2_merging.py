"""What a message tells of a record, merged into what earlier messages told of it.

Law: an empty field is no change, HL7's null deletes what it names, a given field replaces the whole field; telling the
same once more changes nothing (HL7 v2.5.1 §2.5.3, docs/hl7v2.md).

A record is one of hl7v2_records: segments (`pid`, `pv1`), lists of segments (`nk1`, `others`) and plain members. The
`null` of a merged segment lists what was deleted and not told since: what is late must not bring it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from holovitals_pipelines.model.writing import Document

OF_THE_MESSAGE: Final = ("header", "evn", "mergedAt")
"""Members that tell of the message and not of the record."""
STATUS_EVENTS: Final = frozenset({"A01", "A02", "A03", "A04", "A05", "A11", "A13"})
"""Events that say what becomes of a visit: others (A08) leave it as it is (vendors.md §10)."""
CANCEL_DISCHARGE: Final = "A13"
_NULL_PLACE: Final = re.compile(r"([0-9]+)(?:\[([0-9]+)\])?(?:\.([0-9.]+))?")
_CLOCK: Final = re.compile(r"([0-9.]*)(.*)")
_RESULT: Final = ("2", "5", "6", "7", "8", "9", "10")
"""A value and what is said of it: a new value with the flags of the old one would be another finding."""
_GROWING: Final = frozenset({"mrg", "replaced", "results"})
"""Members to which late messages add too: a result or a merge is not undone by what was told since."""
_MASTERED: Final = frozenset({"Patient", "Encounter"})
"""Types that admissions (ADT) keep: results repeat a little of them."""

_Merge = Callable[[Any, Any], Any]


def merge(known: Document | None, told: Document, *, fill_only: bool = False) -> Document:
    """The record as it is known after `told`. `fill_only`: what is known already stays (a late message)."""
    if known is None:
        return {name: _with_sorted_nulls(value) for name, value in told.items()}
    merged = dict(known)
    for name, value in told.items():
        held = known.get(name)
        if held is None:
            merged[name] = _with_sorted_nulls(value)
        elif held is not value and held != value:
            merged[name] = (_filling(name) if fill_only else _merge_of(name, value))(held, value)
    if not fill_only and "pv1" in told and told.get("event") == CANCEL_DISCHARGE:
        merged["pv1"] = _without_discharge(merged["pv1"], told["pv1"])
    return merged


def content_of(record: Document) -> Document:
    """The record without what is of the message: two records with the same content say the same."""
    return {name: value for name, value in record.items() if name not in OF_THE_MESSAGE}


def only_repeats(resource_type: str, known: Document, told: Document) -> bool:
    """Whether a message that is no admission's tells of what an admission has told: it fills what is missing.

    A result names its patient by one number and perhaps an older name; what it repeats is not news.
    """
    if resource_type not in _MASTERED:
        return False
    return _message_type(known) == "ADT" and _message_type(told) not in (None, "ADT")


def is_late(known_at: str | None, told_at: str | None) -> bool:
    """Whether MSH-7 is before the newest that told of the record; times of unlike precision are not compared."""
    if not known_at or not told_at or known_at == told_at:
        return False
    known, known_offset = _clock(known_at)
    told, told_offset = _clock(told_at)
    return known_offset == told_offset and len(known) == len(told) and told < known


def newest(known_at: str | None, told_at: str | None) -> str | None:
    """MSH-7 of the newest message."""
    return known_at if not told_at or is_late(known_at, told_at) else told_at


def _clock(written: str) -> tuple[str, str]:
    found = _CLOCK.match(written)
    assert found is not None
    return found[1], found[2]


def _message_type(record: Document) -> str | None:
    # A visit has no header; its event tells: A.. are those of ADT.
    event = record.get("event")
    if event is not None:
        return "ADT" if event.startswith("A") else event
    named = record.get("header", {}).get("9") or [{}]
    said: str | None = named[0].get("1")
    return said


def _merge_of(name: str, value: Any) -> _Merge:
    if name in _MERGES:
        return _MERGES[name]
    return _segment if type(value) is dict and "segment" in value else _replaced


def _filling(name: str) -> _Merge:
    return _MERGES[name] if name in _GROWING else _filled


def _replaced(known: Any, told: Any) -> Any:
    return told


def _segment(known: Document, told: Document) -> Document:
    """Field by field."""
    deleted: list[str] = told.get("null", [])
    merged = {name: value for name, value in known.items() if name != "null"}
    gone = set(known.get("null", ()))
    given = [name for name, value in told.items() if type(value) is list and name != "null"]
    for name in given:
        gone = {place for place in gone if _field_of(place) != name}
        merged[name] = told[name]
    for place in deleted:
        gone.add(place)
        if _field_of(place) not in given:
            _delete(merged, place)
    for name, value in told.items():
        if type(value) is not list and name != "null":
            merged[name] = value
    return {**merged, "null": sorted(gone)} if gone else merged


def _with_sorted_nulls(value: Any) -> Any:
    return {**value, "null": sorted(value["null"])} if type(value) is dict and "null" in value else value


def _delete(segment: Document, place: str) -> None:
    """What stands at a null's place: a field, a repetition of it, or a component."""
    found = _NULL_PLACE.fullmatch(place)
    assert found is not None
    name, number, component = found.groups()
    held = segment.get(name)
    if held is None:
        return
    at = 0 if number is None else int(number)
    if component is None and number is None:
        del segment[name]
        return
    if at >= len(held):
        return
    left = {} if component is None else {key: text for key, text in held[at].items() if key != component}
    repetitions = [*held[:at], left, *held[at + 1 :]]
    if any(repetitions):
        segment[name] = repetitions
    else:
        del segment[name]


def _result(known: Document, told: Document) -> Document:
    """OBX: a value comes with its unit, range and flags, or without them."""
    if "5" in told or "11" in told:
        known = {name: value for name, value in known.items() if name not in _RESULT or name in told}
    return _segment(known, told)


def _by_name(known: list[Document], told: list[Document]) -> list[Document]:
    """Segments that are none of a record's own: those of a name replace those of the name."""
    names = {one["segment"] for one in told}
    return [one for one in known if one["segment"] not in names] + told


def _joined(known: list[Any], told: list[Any]) -> list[Any]:
    """A list that grows: a corrected report names the corrected results only."""
    return known + [one for one in told if one not in known]


def _retired_numbers(known: Document, told: Document) -> Document:
    """MRG: every number that became one of the patient's own."""
    merged = _segment(known, told)
    if "1" in known and "1" in told:
        merged["1"] = _joined(known["1"], told["1"])
    return merged


def _event(known: str, told: str) -> str:
    """An update says nothing of the visit's status."""
    return told if told in STATUS_EVENTS or known not in STATUS_EVENTS else known


def _without_discharge(merged: Document, told: Document) -> Document:
    """A discharge that was cancelled has no time (PV1-45), though the message may leave the field empty."""
    return merged if "45" in told else {name: value for name, value in merged.items() if name != "45"}


def _filled(known: Any, told: Any) -> Any:
    """Only what is not known: of a segment, fields that were neither told nor deleted."""
    if not (type(known) is dict and type(told) is dict and "segment" in known):
        return known
    gone = {_field_of(place) for place in known.get("null", ())}
    missing = {name: value for name, value in told.items() if name not in known and name not in gone}
    missing.pop("null", None)
    return {**known, **missing} if missing else known


def _field_of(place: str) -> str:
    return re.split(r"[\[.]", place, maxsplit=1)[0]


_MERGES: Mapping[str, _Merge] = MappingProxyType(
    {
        "header": _replaced,
        "evn": _replaced,
        "event": _event,
        "mrg": _retired_numbers,
        "obx": lambda known, told: _result(known, told) if type(told) is dict else told,
        "others": _by_name,
        "replaced": _joined,
        "results": _joined,
    }
)


# two records that were one patient's

_OF_A_MERGE: Final = frozenset({"replaced", "replacedBy", "mergedAt"})


def retirement(survivor: Document, retired_id: str) -> Document:
    """What a merge (A40) tells of the retired patient: old number, old name, and who it is now (vendors.md §10).

    Merged into what is known of the retired one, whose record keeps its own content.
    """
    mrg = survivor["mrg"]
    pid: Document = {"segment": "PID", "3": mrg["1"]}
    if "7" in mrg:
        pid["5"] = mrg["7"]
    replaced_by = {"id": survivor["id"]}
    return {"id": retired_id, "header": survivor["header"], "pid": pid, "replacedBy": replaced_by}


def renamed(known: Document, told: Document) -> Document:
    """What is known of a patient under the old number, with what a change of the number (A46, A47) tells."""
    return merge({name: value for name, value in known.items() if name not in _OF_A_MERGE}, told)


def belonging_to(record: Document, patient_id: str) -> Document:
    """The record as that patient's; `told` keeps the number it was told with."""
    told = told_with(record)
    return {**record, "patient": {"id": patient_id} | ({} if told == patient_id else {"told": told})}


def told_with(record: Document) -> str:
    """The id of the patient whom the source named."""
    patient = record["patient"]
    told: str = patient.get("told", patient["id"])
    return told


def revived(record: Document) -> Document:
    """A survivor that had been retired before is a patient again."""
    return {name: value for name, value in record.items() if name != "replacedBy"}


def told_of(records: Mapping[str, Iterable[Document]]) -> Iterable[tuple[str, Document]]:
    """(resource type, record) of all records of a message, patients first."""
    for resource_type in ("Patient", *(name for name in records if name != "Patient")):
        for record in records.get(resource_type, ()):
            yield resource_type, record
