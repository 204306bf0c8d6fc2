"""Generated merges: what local, the vendor and both shadows may hold, and vendors that store something else."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from hypothesis import strategies as st

from holovitals_pipelines.fhir.canonical import canonical_bytes
from holovitals_pipelines.fhir.exact import Number, read_document, write_document, write_value
from holovitals_pipelines.model.writing import Document, UnitWrite, WriteCapability
from holovitals_pipelines.sync.merge import Merged, merge


def lists_of(*items: Any) -> list[Any]:
    """Every selection of up to three items, in every order."""
    return [list(order) for size in range(4) for order in permutations(items, size)]


def coded(*codings: str, **more: Any) -> Document:
    return {"coding": [dict(zip(("system", "code"), coding.split("|"), strict=True)) for coding in codings], **more}


PHONE, WORK_PHONE = {"system": "phone", "value": "A"}, {"system": "phone", "value": "A", "use": "work", "rank": 1}
ANN = {"use": "official", "family": "Doe", "given": ["Ann", "Marie"]}
GLUCOSE = {"code": coded("loinc|2345-7"), "valueQuantity": {"value": Number("5.0"), "unit": "mmol/L"}}
ELEMENTS: dict[str, list[Any]] = {
    "birthDate": ["1950", "1960"],
    "_birthDate": [{"extension": [{"url": "t", "valueTime": time}]} for time in ("01:00", "02:00")],
    "gender": ["male", "female", None],
    "active": [True, False, 1, 0, Number("1.0"), "1.0", Number("1.00"), Number("-0"), 10],
    "deceasedBoolean": [True, False],
    "deceasedDateTime": ["2020", "2021"],
    "telecom": [
        *lists_of(PHONE, {"system": "phone", "value": "B"}, {"system": "email", "value": "Ann@x"}),
        *lists_of(WORK_PHONE, {"system": "email", "value": "ANN@x"}),
        [PHONE, PHONE],
        [{"use": "home"}],
    ],
    "identifier": lists_of(*({"system": system, "value": value} for system in "xy" for value in "12")),
    "name": [
        [ANN],
        [{**ANN, "period": {"start": "2001"}}],
        [{**ANN, "period": {"start": "2001", "end": "2002"}, "suffix": ["Jr"]}],
        [{**ANN, "family": "Roe"}, {"use": "nickname", "given": ["Annie"]}],
        [{"use": "nickname", "given": ["Annie"]}, ANN],
    ],
    "address": [
        [{"use": "home", "line": ["1 High St", "Flat 2"], "postalCode": "1", "city": city, "state": state}]
        for city, state in (("Bath", "X"), ("Bath", "Y"), ("Wells", "X"))
    ],
    "generalPractitioner": [
        [{"reference": "P/1", "display": "D"}],
        *lists_of({"reference": "P/1"}, {"reference": "P/2"}),
    ],
    "maritalStatus": [
        coded("x|m"),
        coded("x|m", "y|M"),
        coded("x|m", "z|9"),
        coded("x|s"),
        coded("x|s", text="single"),
        {"text": "?"},
        {},
    ],
    "extension": [
        [{"url": "a", "valueString": "s"}],
        [{"url": "a", "valueCode": "c"}, {"url": "b", "extension": [{"url": "c", "valueInteger": 0}]}],
        [{"url": "b", "extension": [{"url": "c", "valueBoolean": False}, {"url": "d", "valueInteger": 2}]}],
        [{"url": "a", "valueString": "s"}, {"url": "a", "valueString": "t"}],
    ],
    "contact": [[{"gender": "male"}], [{"gender": "male"}, {"gender": None, "name": {"family": "X"}}], []],
    "meta": [{"versionId": "1"}, {"versionId": "2", "tag": [{"code": "t"}]}, {"tag": [{"code": "t"}, {"code": "u"}]}],
    "text": [{"status": "generated", "div": "1"}, {"status": "generated", "div": "2"}],
    "valueQuantity": [{"value": Number("1.0"), "unit": "mg"}, {"value": Number("1.00"), "unit": "g"}],
    "valueString": ["s"],
    "dataAbsentReason": [coded("d|unknown")],
    "interpretation": [[coded("i|H")], [coded("i|L")]],
    "component": [
        [GLUCOSE],
        [{**GLUCOSE, "interpretation": [coded("i|H")]}],
        [{**GLUCOSE, "valueQuantity": {"value": 5, "unit": "mmol/L"}}, {"code": coded("loinc|1"), "valueString": "v"}],
    ],
    "contained": [
        [{"resourceType": "Observation", "id": "o", "valueString": value, "status": status}]
        for value, status in (("1", "final"), ("1", "amended"), ("2", "final"))
    ],
    "vendor.thing[x]": [{"p": None, "q": 1}, {"p": [1, 2]}, {"q": True}, ["s", None, "t"], [["deep"]]],
}

Edits = list[tuple[str, int]]
"""An element, and which of its values it gets; 0 removes it."""

edits = st.lists(st.tuples(st.sampled_from(sorted(ELEMENTS)), st.integers(0, 40)), max_size=4)
many_edits = st.lists(st.tuples(st.sampled_from(sorted(ELEMENTS)), st.integers(1, 40)), max_size=8)


def edited(document: Document, changes: Edits) -> Document:
    after = deepcopy(document)
    for name, choice in changes:
        if choice:
            after[name] = deepcopy(ELEMENTS[name][choice % len(ELEMENTS[name])])
        else:
            after.pop(name, None)
    return after


def without_some(document: Document) -> Document:
    """A vendor that has no such elements."""
    return {name: value for name, value in document.items() if name not in ("gender", "telecom", "dataAbsentReason")}


def lower_case(document: Document) -> Document:
    """A vendor that folds what names a contact point."""
    if not document.get("telecom"):
        return document
    folded = [
        {name: value.lower() if name == "value" else value for name, value in i.items()} for i in document["telecom"]
    ]
    return {**document, "telecom": folded}


def sorted_and_trimmed(document: Document) -> Document:
    """A vendor that sorts identifiers, and keeps neither the use of contact points nor periods of names."""
    after = dict(document)
    if after.get("identifier"):
        after["identifier"] = sorted(after["identifier"], key=write_value)
    for element, unknown in (("telecom", ("use", "rank")), ("name", ("period",))):
        if after.get(element):
            after[element] = [{n: v for n, v in item.items() if n not in unknown} for item in after[element]]
    return after


def recoding(document: Document) -> Document:
    """A vendor with codes of its own, and no texts."""
    concept = document.get("maritalStatus")
    if not concept or not concept.get("coding"):
        return document
    codings = [{**coding, "code": coding["code"].upper()} for coding in concept["coding"]]
    return {**document, "maritalStatus": {"coding": codings}}


Project = Callable[[Document], Document]
vendors: list[tuple[str, Project | None]] = [
    ("exact", None),
    ("without_some", without_some),
    ("lower_case", lower_case),
    ("sorted_and_trimmed", sorted_and_trimmed),
    ("recoding", recoding),
]
WRITABLE = WriteCapability(create=True, update=True, delete=True)
capabilities = st.builds(
    lambda vendor, update, elements: WriteCapability(
        create=True, update=update, elements=elements, **({"project": vendor[1]} if vendor[1] else {})
    ),
    st.sampled_from(vendors),
    st.sampled_from([True, True, True, False]),
    st.dictionaries(
        st.sampled_from(
            ["birthDate", "telecom", "identifier", "value[x]", "interpretation", "name", "vendor.thing[x]"]
        ),
        st.sampled_from([UnitWrite.IMMUTABLE, UnitWrite.APPEND_ONLY, UnitWrite.READ_ONLY]),
        max_size=2,
    ),
)


@dataclass(frozen=True)
class Case:
    resource_type: str
    capability: WriteCapability
    base_local: Document | None
    base_remote: Document | None
    local: Document
    remote: Document

    def merged(self, **choices: Any) -> Merged:
        return merge(
            self.resource_type,
            base_local=self.base_local,
            base_remote=self.base_remote,
            local=self.local,
            remote=self.remote,
            capability=self.capability,
            **choices,
        )

    def stored(self, document: Document) -> Document:
        """What the vendor holds once it was sent `document`."""
        return self.capability.project(document)


types = st.sampled_from(["Patient", "Observation"])


@st.composite
def from_one_base(draw: st.DrawFn) -> Case:
    """Both sides edit what they had agreed on to the letter; everything can be written."""
    base = edited({"id": "1"}, draw(many_edits))
    return Case(draw(types), WRITABLE, base, base, edited(base, draw(edits)), edited(base, draw(edits)))


@st.composite
def from_two_shadows(draw: st.DrawFn, contradicting: bool = False) -> Case:
    """Both sides edit what they held when they last agreed; the vendor holds only what it can store."""
    capability, resource_type = draw(capabilities), draw(types)
    base_local = edited({"id": "1"}, draw(many_edits))
    apart = edited(base_local, draw(st.just([]) | edits))
    base_remote = capability.project({**apart, "id": "r1"})
    here, there = draw(edits), draw(edits)
    if contradicting:
        name = draw(st.sampled_from(sorted(ELEMENTS)))
        here, there = ([*changes, (name, draw(st.integers(0, 40)))] for changes in (here, there))
    remote = capability.project(edited(base_remote, there))
    local = edited(base_local, here)
    if draw(st.integers(0, 9)) == 0:
        return Case(resource_type, capability, None, None, local, remote)
    return Case(resource_type, capability, base_local, base_remote, local, remote)


@dataclass(frozen=True)
class Round:
    """What happens between two merges, and how the second one ends."""

    here: Edits
    there: Edits
    preferred: str
    """The side a person chooses in every conflict."""
    is_pushed: bool
    """Whether what is to be pushed reaches the vendor before the next round."""


rounds = st.lists(st.builds(Round, edits, edits, st.sampled_from(["local", "remote"]), st.booleans()), max_size=4)


def canonical(document: Document) -> bytes:
    """Content alone; each side has its own id."""
    return canonical_bytes(write_document({name: value for name, value in document.items() if name != "id"}))


def unordered(document: Document) -> Any:
    """Content without the order of lists."""

    def sort(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: sort(member) for name, member in value.items()}
        return sorted(map(sort, value), key=write_value) if isinstance(value, list) else value

    return sort(read_document(canonical(document)))
