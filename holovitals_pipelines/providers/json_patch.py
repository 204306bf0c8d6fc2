"""JSON Patch (RFC 6902): the operations that make a vendor's document what it is to be.

Law: applied to the document they were made from, the operations give the wanted one exactly; and what they change is
tested before, as far as the vendor takes tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from holovitals_pipelines.fhir.exact import exactly_equal, write_value
from holovitals_pipelines.model.writing import Document

MEDIA_TYPE: Final = "application/json-patch+json"
INDEX: Final = "{index}"
"""Stands in a template for the place of an item in its list, as vendors' documentation writes it."""


class Checks(StrEnum):
    """What is tested before it is changed."""

    VALUES = "values"
    """The old value of all that is replaced or removed: a server without versions then refuses a stale patch."""
    IDS = "ids"
    """The id of the list's item in which something is changed, and nothing else."""


@dataclass(frozen=True, slots=True)
class PatchRules:
    """What a vendor takes. `offered`: template of a path → the operations there; None: any operation anywhere."""

    checks: Checks = Checks.VALUES
    offered: Mapping[str, frozenset[str]] | None = None

    def is_whole(self, template: str) -> bool:
        """Whether a value is set as one and never changed within."""
        return self.offered is not None and not _SETS.isdisjoint(self.offered.get(template, ()))


ANYTHING: Final = PatchRules()
_SETS: Final = frozenset({"add", "replace"})


@dataclass(frozen=True, slots=True)
class Operation:
    """`template` is the path without the places of items: it names elements and shows no value."""

    op: str
    path: str
    template: str
    value: Any = None

    def as_json(self) -> Document:
        bare = {"op": self.op, "path": self.path}
        return bare if self.op == "remove" else {**bare, "value": self.value}


def write_patch(operations: Sequence[Operation]) -> bytes:
    return write_value([operation.as_json() for operation in operations]).encode()


def patch(current: Document, wanted: Document, rules: PatchRules = ANYTHING) -> list[Operation]:
    """The operations from one document to the other, in order; none where they are the same."""
    made = _Patch(rules)
    made.value("", "", current, wanted)
    return made.operations


def not_offered(operations: Sequence[Operation], rules: PatchRules) -> str | None:
    """The template of the first operation the vendor does not take, None where it takes all."""
    if rules.offered is None:
        return None
    tested: set[str] = set()
    for operation in operations:
        if operation.op not in rules.offered.get(operation.template, ()):
            return operation.template
        if operation.op == "test":
            tested.add(operation.path)
        elif any(test not in tested for test in _tests_due(operation, rules.offered)):
            return operation.template
    return None


def _tests_due(operation: Operation, offered: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """The paths of the ids that are to be tested before the operation."""
    steps, places = operation.template.split("/"), operation.path.split("/")
    for number, step in enumerate(steps, start=1):
        if step == INDEX and "test" in offered.get("/".join([*steps[:number], "id"]), ()):
            yield "/".join([*places[:number], "id"])


class _Patch:
    """The operations found so far."""

    def __init__(self, rules: PatchRules) -> None:
        self._rules = rules
        self.operations: list[Operation] = []

    def value(self, path: str, template: str, before: Any, after: Any) -> None:
        if exactly_equal(before, after):
            return
        if not self._rules.is_whole(template):
            if type(before) is dict and type(after) is dict:
                self._members(path, template, before, after)
                return
            if type(before) is list and type(after) is list and self._items(path, template, before, after):
                return
        self._test(path, template, before)
        self._add("replace", path, template, after)

    def _members(self, path: str, template: str, before: Document, after: Document) -> None:
        for name, old in before.items():
            inner, inner_template = _member(path, name), _member(template, name)
            if name in after:
                self.value(inner, inner_template, old, after[name])
            else:
                self._remove(inner, inner_template, old)
        for name, new in after.items():
            if name not in before:
                self._add("add", _member(path, name), _member(template, name), new)

    def _items(self, path: str, template: str, before: list[Any], after: list[Any]) -> bool:
        """False where items changed places, or stand where they cannot be put one by one."""
        kept = _by_id(before, after) if _have_ids(before, after) else _by_place(before, after)
        if kept is None:
            return False
        inner = f"{template}/{INDEX}"
        for old, new in kept:
            if not exactly_equal(before[old], after[new]):
                self._test_id(f"{path}/{old}", inner, before[old])
                self.value(f"{path}/{old}", inner, before[old], after[new])
        staying, coming = {old for old, _ in kept}, {new for _, new in kept}
        for old in reversed(range(len(before))):
            if old not in staying:
                self._test_id(f"{path}/{old}", inner, before[old])
                self._remove(f"{path}/{old}", inner, before[old])
        length = len(staying)
        for place, item in enumerate(after):
            if place not in coming:
                at_end = place == length
                self._add("add", f"{path}/{'-' if at_end else place}", f"{template}/-" if at_end else inner, item)
                length += 1
        return True

    def _remove(self, path: str, template: str, old: Any) -> None:
        self._test(path, template, old)
        self._add("remove", path, template)

    def _test(self, path: str, template: str, old: Any) -> None:
        if self._rules.checks is Checks.VALUES:
            self._add("test", path, template, old)

    def _test_id(self, path: str, template: str, item: Any) -> None:
        if self._rules.checks is Checks.IDS and type(item) is dict and isinstance(item.get("id"), str):
            self._add("test", f"{path}/id", f"{template}/id", item["id"])

    def _add(self, op: str, path: str, template: str, value: Any = None) -> None:
        if op in _SETS and self._rules.is_whole(template):
            assert self._rules.offered is not None
            # unverified: that Cerner, which lists `replace` alone for such elements, takes it for one that is absent.
            op = op if op in self._rules.offered[template] else next(iter(_SETS - {op}))
        self.operations.append(Operation(op, path, template, value))


_Kept = list[tuple[int, int]]
"""Items that stay: where they were, and where they are to be."""


def _have_ids(before: list[Any], after: list[Any]) -> bool:
    """Whether element ids tell the items apart; items that are to be added need none."""
    known, named = _ids(before), [identity for identity in _ids(after) if identity is not None]
    return None not in known and len({*known}) == len(known) and len({*named}) == len(named)


def _ids(items: list[Any]) -> list[str | None]:
    found = [item.get("id") if type(item) is dict else None for item in items]
    return [identity if isinstance(identity, str) else None for identity in found]


def _by_id(before: list[Any], after: list[Any]) -> _Kept | None:
    """None where items are to change places, or to come elsewhere than at the end."""
    known = _ids(before)
    kept = [(known.index(identity), place) for place, identity in enumerate(_ids(after)) if identity in known]
    were, are = [old for old, _ in kept], [new for _, new in kept]
    return kept if were == sorted(were) and are == list(range(len(kept))) else None


def _by_place(before: list[Any], after: list[Any]) -> _Kept:
    """Items without ids: those that are the same at both ends, and between them the n-th is the n-th."""
    shorter = min(len(before), len(after))
    first = 0
    while first < shorter and exactly_equal(before[first], after[first]):
        first += 1
    last = 0
    while last < shorter - first and exactly_equal(before[-1 - last], after[-1 - last]):
        last += 1
    heads = [(place, place) for place in range(shorter - last)]
    return heads + [(len(before) - last + place, len(after) - last + place) for place in range(last)]


def _member(path: str, name: str) -> str:
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
