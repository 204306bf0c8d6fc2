"""One R4 object under way, and what is said about the whole resource.

Law: a member that is put is in the document: beside another value of its name where that is a list, else in the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from holovitals_pipelines.model.writing import Document

KEPT = "version.kept_as_extension"
UNCONVERTED = "version.not_convertible"
ABSENT = "version.required_absent"
UNKNOWN_CODE = "version.unknown_code"


def data_absent() -> Document:
    """What stands for a required value that the source has not."""
    url = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    return {"extension": [{"url": url, "valueCode": "unknown"}]}


@dataclass
class Report:
    """What could not be converted: findings as (code, path), and values that no extension can hold, by their place."""

    extension_base: str
    findings: dict[tuple[str, str], None] = field(default_factory=dict)
    rest: Document = field(default_factory=dict)

    def find(self, code: str, place: str) -> None:
        self.findings[code, without_indexes(place)] = None

    def keep(self, place: str, value: Any) -> None:
        """In the rest, beside what is there from the same place."""
        number = 1
        key = place
        while key in self.rest:
            number += 1
            key = f"{place}#{number}"
        self.rest[key] = value


def without_indexes(place: str) -> str:
    return _indexes.sub("", place)


_indexes = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Member:
    """An element of the source: its value, and `_name` beside it where it has one."""

    name: str
    value: Any
    companion: Any
    place: str
    """`Patient.contact[0].name`; within a contained resource `Patient.contained[0]/Medication.code`."""

    @property
    def path(self) -> str:
        """`Patient.contact.name`, `Medication.code`: what extensions are named by."""
        return without_indexes(self.place).rpartition("/")[2]


class Target:
    """The object that one of the source becomes."""

    def __init__(self, place: str, source: Document, report: Report, parent: Target | None = None) -> None:
        self.place = place
        self.source = source
        self.report = report
        self.parent = parent
        self._members: Document = {}
        self._extensions: list[Document] = []
        self._gathered: dict[str, Document] = {}
        self._overrides: dict[str, str] = {}

    def put(self, name: str, value: Any, companion: Any = None, *, place: str = "") -> None:
        present = self._members.get(name), self._members.get(f"_{name}")
        if present == (None, None):
            if value is not None or companion is None:
                self._members[name] = value
            if companion is not None:
                self._members[f"_{name}"] = companion
        elif _are_lists(*present) and _are_lists(value, companion):
            self._members[name] = present[0] + value
            if present[1] is not None or companion is not None:
                self._members[f"_{name}"] = _aligned(*present) + _aligned(value, companion)
        elif (value, companion) != present:
            self.leave(Member(name, value, companion, place or f"{self.place}.{name}"))

    def gather(self, name: str, inner: str, value: Any) -> bool:
        """A value of the one object that `name`, a list in R4, gets; False where it has one already."""
        gathered = self._gathered.setdefault(name, {})
        return gathered.setdefault(inner, value) is value

    def extend(self, extension: Document) -> None:
        self._extensions.append(extension)

    def leave(self, member: Member) -> None:
        """Into the rest, as it came."""
        if member.value is not None:
            self.report.keep(member.place, member.value)
        if member.companion is not None:
            head, _, name = member.place.rpartition(".")
            self.report.keep(f"{head}._{name}", member.companion)
        self.report.find(UNCONVERTED, member.place)

    def override(self, name: str, code: str) -> None:
        """The element is this code; another that the source has for it is kept as an extension."""
        self._overrides[name] = code

    def document(self) -> Document:
        for name, gathered in self._gathered.items():
            self.put(name, [gathered])
        for name, code in self._overrides.items():
            self._override(name, code)
        if self._extensions:
            if type(self._members.get("extension", [])) is not list:
                self.leave(Member("extension", self._members.pop("extension"), None, f"{self.place}.extension"))
            self.put("extension", self._extensions)
        return self._members

    def _override(self, name: str, code: str) -> None:
        before = Member(name, self.source.get(name), None, f"{self.place}.{name}")
        if type(before.value) is str and before.value != code and name in self._members:
            self._extensions.append({"url": f"{self.report.extension_base}{before.path}", "valueCode": before.value})
        elif type(before.value) is not str and before.value is not None:
            self.leave(before)
        self._members[name] = code


def _are_lists(value: Any, companion: Any) -> bool:
    return type(value) is list and (companion is None or type(companion) is list)


def _aligned(value: Any, companion: Any) -> list[Any]:
    return list(companion) if companion is not None else [None] * len(value)
