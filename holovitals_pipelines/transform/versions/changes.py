"""The kinds of change between an older version's element and R4's: what the tables of versions are made of.

Law: a change applies where the element has the older version's form; another form stays under its name if R4 has that
name, and is in the rest if not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.versions.target import KEPT, UNKNOWN_CODE, Member, Target

Change = Callable[[Target, Member], None]
Changes = Mapping[str, Change]
"""What becomes of the elements of one object, by name; the others stay as they are."""
Formed = tuple[Any, Any] | None
"""A value and its companion in R4's form; None: the value has not the form that is changed."""
Form = Callable[[Any, Any], Formed]
Kind = str | Mapping[str, Any]
"""A data type by its name, or the children of a backbone element with their kinds."""

_NUMBERS = frozenset(["integer", "positiveInt", "unsignedInt", "decimal"])


def apply(changes: Changes, target: Target) -> Document:
    """What the target's source becomes by the changes."""
    source = target.source
    for name in dict.fromkeys(key.removeprefix("_") for key in source):
        member = Member(name, source.get(name), source.get(f"_{name}"), f"{target.place}.{name}")
        change = changes.get(name)
        if change is not None and (member.value is not None or member.companion is not None):
            _change(change, target, member)
        else:
            target.put(name, member.value, member.companion, place=member.place)
    return target.document()


def _change(change: Change, target: Target, member: Member) -> None:
    if member.value is None and not isinstance(change, Move | Codes | Keep):
        target.leave(member)
        return
    change(target, member if _is_primitive(member.value) else alone(target, member))


def alone(target: Target, member: Member) -> Member:
    """The member without its companion. Only primitives have one; elsewhere it is a mistake that is kept apart."""
    if member.companion is None:
        return member
    target.leave(replace(member, value=None))
    return replace(member, companion=None)


def _is_primitive(value: Any) -> bool:
    if type(value) is list:
        return not any(type(item) is dict for item in value)
    return type(value) is not dict


def same(value: Any, companion: Any) -> Formed:
    return value, companion


def as_list(value: Any, companion: Any) -> Formed:
    if type(value) is list or type(companion) is list:
        return value, companion
    return (None if value is None else [value]), (None if companion is None else [companion])


def as_notes(value: Any, companion: Any) -> Formed:
    """A text as Annotations."""
    if type(value) is not str:
        return None
    return [{"text": value} if companion is None else {"text": value, "_text": companion}], None


def inverted(value: Any, companion: Any) -> Formed:
    return (not value, companion) if type(value) is bool else None


@dataclass(frozen=True, slots=True)
class Move:
    """The element has another name, another form, or both."""

    to: str
    form: Form = same

    def __call__(self, target: Target, member: Member) -> None:
        formed = self.form(member.value, member.companion)
        if formed is not None:
            target.put(self.to, *formed, place=member.place)
        elif self.to == member.name:
            target.put(self.to, member.value, member.companion)
        else:
            target.leave(member)


@dataclass(frozen=True, slots=True)
class Concept:
    """A code becomes a CodeableConcept; a code that R4's system has not is kept as an extension."""

    to: str
    system: str
    codes: Collection[str]

    def __call__(self, target: Target, member: Member) -> None:
        if type(member.value) is not str:
            Move(self.to)(target, member)
            return
        if member.value not in self.codes:
            target.report.find(UNKNOWN_CODE, member.place)
            Keep("code")(target, member)
            return
        target.put(self.to, concept(self.system, member.value, member.companion), place=member.place)


def concept(system: str, code: str, companion: Any = None) -> Document:
    coding: Document = {"system": system, "code": code}
    if companion is not None:
        coding["_code"] = companion
    return {"coding": [coding]}


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes that R4 spells otherwise, one for one; codes that it has none for are kept as an extension."""

    to: str
    spelled: Mapping[str, str]
    without: Collection[str] = ()
    form: Form = same

    def __call__(self, target: Target, member: Member) -> None:
        if type(member.value) is str and member.value in self.without:
            target.report.find(UNKNOWN_CODE, member.place)
            Keep("code")(target, member)
            return
        value = self.spelled.get(member.value, member.value) if type(member.value) is str else member.value
        Move(self.to, self.form)(target, replace(member, value=value))


@dataclass(frozen=True, slots=True)
class Inside:
    """The objects within change, and perhaps their name and form too."""

    changes: Changes
    to: str | None = None
    form: Form = same

    def __call__(self, target: Target, member: Member) -> None:
        to = self.to or member.name
        several = type(member.value) is list
        items = member.value if several else [member.value]
        if not all(type(item) is dict for item in items):
            Move(to)(target, member) if to == member.name else target.leave(member)
            return
        places = [f"{member.place}[{index}]" if several else member.place for index in range(len(items))]
        made = [
            apply(self.changes, Target(place, item, target.report, target))
            for place, item in zip(places, items, strict=True)
        ]
        # An object may be empty now: what it held has moved to another one.
        left = [one for one in made if one]
        if left:
            value = left if several else left[0]
            Move(to, self.form)(target, replace(member, value=value))


@dataclass(frozen=True, slots=True)
class Dissolve:
    """An object of the source that is none in R4: its elements become some of the object around it."""

    changes: Changes

    def __call__(self, target: Target, member: Member) -> None:
        if type(member.value) is not dict:
            target.leave(member)
            return
        for name in dict.fromkeys(key.removeprefix("_") for key in member.value):
            place = f"{member.place}.{name}"
            inner = Member(name, member.value.get(name), member.value.get(f"_{name}"), place)
            _change(self.changes.get(name, Target.leave), target, inner)


@dataclass(frozen=True, slots=True)
class Keep:
    """R4 has no place for the element: it becomes the extension that HL7 defines for that."""

    kind: Kind
    path: str | None = None
    """Where it is not the element's own: of a choice, the path without the type."""
    url: str | None = None

    def __call__(self, target: Target, member: Member) -> None:
        url = self.url or f"{target.report.extension_base}{self.path or member.path}"
        made = _extensions(url, self.kind, member, target)
        if made is None:
            target.leave(member)
            return
        for extension in made:
            target.extend(extension)
        target.report.find(KEPT, member.place)


def _extensions(url: str, kind: Kind, member: Member, target: Target) -> list[Document] | None:
    """One extension for each value; None where a value has not this kind."""
    several = type(member.value) is list
    values = member.value if several else [member.value]
    companions = member.companion if type(member.companion) is list else [member.companion]
    companions = companions + [None] * (len(values) - len(companions))
    if len(companions) != len(values) or not all(map(_fits, values, companions, [kind] * len(values))):
        return None
    made = []
    for index, (value, companion) in enumerate(zip(values, companions, strict=True)):
        place = f"{member.place}[{index}]" if several else member.place
        made.append(_extension(url, kind, Member(member.name, value, companion, place), target))
    return [one for one in made if len(one) > 1]


def _extension(url: str, kind: Kind, member: Member, target: Target) -> Document:
    if not isinstance(kind, str):
        return _of_backbone(url, kind, member, target)
    name = f"value{kind[0].upper()}{kind[1:]}"
    extension: Document = {"url": url}
    if member.value is not None:
        extension[name] = member.value
    if member.companion is not None:
        extension[f"_{name}"] = member.companion
    return extension


def _of_backbone(url: str, kinds: Mapping[str, Any], member: Member, target: Target) -> Document:
    inner: list[Document] = []
    extension: Document = {"url": url}
    for name in dict.fromkeys(key.removeprefix("_") for key in member.value):
        child = Member(name, member.value.get(name), member.value.get(f"_{name}"), f"{member.place}.{name}")
        made = _extensions(name, kinds[name], child, target) if name in kinds else None
        if made is not None:
            inner += made
        elif name == "extension" and type(child.value) is list and child.companion is None:
            inner += child.value
        elif name == "id" and type(child.value) is str and child.companion is None:
            extension["id"] = child.value
        else:
            target.leave(child)
    if inner:
        extension["extension"] = inner
    return extension


def _fits(value: Any, companion: Any, kind: Kind) -> bool:
    """Whether a value has the JSON type of its kind, so that an extension can hold it."""
    if not isinstance(kind, str) or kind[0].isupper():
        return type(value) is dict and companion is None and bool(value)
    if value is None:
        return type(companion) is dict
    if kind == "boolean":
        return type(value) is bool
    if kind in _NUMBERS:
        return type(value) in (int, Number)
    return type(value) is str and value != ""
