"""Documents made from flat rows: each column's value at its target path, and lists from the rows of groups.

Law: a document holds what the row holds and nothing else; numbers keep their text, and what has no value is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.json_values import as_json
from holovitals_pipelines.transform.target_tree import Spot
from holovitals_pipelines.transform.targets import Keyed, Member, Position, TargetStep, parse_target

Targets = Mapping[str, tuple[str, ColumnType]]
"""By column: the path of its place, and the column's type."""
Items = Mapping[str, Sequence[Row]]
"""By group: the rows that its list is made of."""

_Make = Callable[[Row, Items], Any]
"""What stands at a place; None where nothing does."""
_Put = Callable[[Any, Row, Items], Any]
"""The same, where something (the first argument, or None) stands already and stays unless there is a value."""
_FIRST = ("resourceType", "id", "meta")


@dataclass(frozen=True, slots=True)
class ListTargets:
    """A group: each of its rows is an item of the list at `into`, after those that stand there by their position."""

    into: str
    targets: Targets


class Assembly:
    """How the documents of one rule set are made.

    Raises PathError for a target that is none, and ConfigurationError (`target.conflict`) where two exclude each other.
    """

    def __init__(
        self, resource_type: str | None, targets: Targets, lists: Mapping[str, ListTargets] | None = None
    ) -> None:
        self._resource_type, self._targets, self._lists = resource_type, targets, lists or {}
        root = Spot("the document")
        if resource_type is not None:
            root.descend((Member("resourceType"),), "the resource type").become_constant(resource_type)
        for column, (path, kind) in targets.items():
            owner = f"target {path!r}"
            root.descend(_steps(path, resource_type), owner).become_value(owner, column, kind)
        for group, made in self._lists.items():
            owner = f"the list {made.into!r} of group {group!r}"
            item = root.descend(_steps(made.into, resource_type), owner).become_list(owner, group)
            for column, (path, kind) in made.targets.items():
                owner = f"target {path!r} of group {group!r}"
                item.descend(_steps(path, None), owner).become_value(owner, column, kind)
        root.put_first(_FIRST)
        self._constants = root.constants
        self._make = _object(root)
        self._put = _into_object(root)

    def of_slots(self) -> Assembly:
        """The same for rows of slots (transform/templates.py): they are taken as they are, and convert later."""
        lists = {group: ListTargets(one.into, _taken_as_texts(one.targets)) for group, one in self._lists.items()}
        return Assembly(self._resource_type, _taken_as_texts(self._targets), lists)

    def document(self, row: Row, items: Items | None = None, base: Document | None = None) -> Document:
        """The document of a row and of its groups' rows, for `fhir.exact.write_document`; put into a copy of `base`
        where there is one."""
        if base is not None:
            held: Document = self._put(base, row, items or {})
            return held
        return self._make(row, items or {}) or dict(self._constants)


def _taken_as_texts(targets: Targets) -> Targets:
    return {column: (path, ColumnType.STRING) for column, (path, _) in targets.items()}


def _steps(path: str, resource_type: str | None) -> tuple[TargetStep, ...]:
    """A leading type name is no member, as in source paths."""
    steps = parse_target(path).steps
    return steps[1:] if len(steps) > 1 and steps[0] == Member(resource_type or "") else steps


def _maker(spot: Spot) -> _Make:
    if spot.column is not None:
        return _value(*spot.column)
    return _list(spot) if spot.kind == "list" else _object(spot)


def _value(column: str, kind: ColumnType) -> _Make:
    convert = as_json(kind)
    if convert is None:
        return lambda row, items: row[column]

    def make(row: Row, items: Items) -> Any:
        value = row[column]
        return None if value is None else convert(value)

    return make


def _object(spot: Spot) -> _Make:
    constants = spot.constants
    members = [(name, _taken_as_is(inner), _maker(inner)) for name, inner in spot.members.items()]

    def make(row: Row, items: Items) -> Any:
        made: dict[str, Any] = dict(constants)
        for name, column, member in members:
            value = member(row, items) if column is None else row[column]
            if value is not None:
                made[name] = value
        # Constants alone are no content: the type of a document, the key of an item.
        return made if len(made) > len(constants) else None

    return make


def _taken_as_is(spot: Spot) -> str | None:
    """The column, where its values need no conversion: most do not, and are not worth a call."""
    return spot.column[0] if spot.column is not None and as_json(spot.column[1]) is None else None


def _list(spot: Spot) -> _Make:
    fixed = [_maker(inner) for _, inner in spot.items]
    groups = [(group, _object(item)) for group, item in spot.groups]

    def make(row: Row, items: Items) -> Any:
        found = [value for item in fixed if (value := item(row, items)) is not None]
        for group, item in groups:
            found += [value for item_row in items.get(group, ()) if (value := item(item_row, items)) is not None]
        return found or None

    return make


def _putter(spot: Spot) -> _Put:
    if spot.constant is not None:
        constant = spot.constant
        return lambda base, row, items: constant
    if spot.kind == "list":
        return _into_list(spot)
    return _into_object(spot) if spot.column is None else _or_base(_maker(spot))


def _or_base(maker: _Make) -> _Put:
    def put(base: Any, row: Row, items: Items) -> Any:
        made = maker(row, items)
        return base if made is None else made

    return put


def _into_object(spot: Spot) -> _Put:
    anew = _or_base(_object(spot))
    members = [(name, _putter(inner)) for name, inner in spot.members.items()]

    def put(base: Any, row: Row, items: Items) -> Any:
        if not isinstance(base, dict):
            return anew(base, row, items)
        held = dict(base)
        for name, member in members:
            value = member(base.get(name), row, items)
            if value is not None:
                held[name] = value
        return held

    return put


def _into_list(spot: Spot) -> _Put:
    """Positions are those of the base; an item with a key is found by it, or goes to the end."""
    anew = _or_base(_list(spot))
    fixed = [(step, _putter(inner), _maker(inner)) for step, inner in spot.items]

    def put(base: Any, row: Row, items: Items) -> Any:
        if not isinstance(base, list):
            return anew(base, row, items)
        held = list(base)
        for step, put_item, make in fixed:
            at = step.index if isinstance(step, Position) else _item_with(base, step)
            if at is not None and at < len(base):
                held[at] = put_item(base[at], row, items)
            elif (value := make(row, items)) is not None:
                held.append(value)
        return held

    return put


def _item_with(base: list[Any], key: Keyed) -> int | None:
    return next((at for at, one in enumerate(base) if isinstance(one, dict) and one.get(key.member) == key.value), None)
