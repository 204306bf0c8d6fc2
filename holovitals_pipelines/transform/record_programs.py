"""Records of a shape that comes again, transformed by what is known of the shape: nothing is looked for twice.

Law: the documents are those of the rules carried out one by one (records.py), byte for byte; a record with anything
wrong, or of a shape that is new or odd, is answered None: then the rules say what it becomes.

Of a shape (document_shapes.py) it is known where each field stands; of the fields that hold anything, which rules are
left to do, and which of these have to do with each other (rule_parts.py). Of what the parts chose it is known what the
document looks like and what no rule read: both are templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Final

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.columns import ColumnType, Row
from holovitals_pipelines.transform.document_shapes import LEAVES, Shape, in_slots, leaf_at, shape_of
from holovitals_pipelines.transform.fields import conversion_of
from holovitals_pipelines.transform.item_rules import ItemMade, ItemRules, target_columns
from holovitals_pipelines.transform.json_values import as_json
from holovitals_pipelines.transform.paths import Place
from holovitals_pipelines.transform.plan import Plan
from holovitals_pipelines.transform.reading import ListRelation, RuleSetReady
from holovitals_pipelines.transform.record_back_end import RecordRules
from holovitals_pipelines.transform.row_shapes import Shape as RowShape
from holovitals_pipelines.transform.rule_parts import Part, PartOfRules, parts_of, straight_field
from holovitals_pipelines.transform.taken_places import places_taken, taken_fields
from holovitals_pipelines.transform.templates import Slot, template
from holovitals_pipelines.transform.unmapped import keep_unmapped, unmapped

MOST_SHAPES: Final = 512
"""Shapes of documents, seen or known; then it begins again."""
MOST_FORMS: Final = 128
"""What a program's documents may look like; further ones go the long way."""
SEEN: Final = 3
"""How often a shape or a form comes before it is worth a program: that costs as much as ten records."""
_PARTS, _ITEMS, _CONSTANTS = "parts", "items", "constants"
"""Arguments of a document's template, beside the leaves: what parts and items made, and what is the same for all."""

Lists = Sequence[tuple[ListRelation, ItemRules]]


@dataclass(frozen=True, slots=True)
class _Form:
    """What documents look like."""

    document: Callable[..., Document]
    rest: Callable[..., Document] | None
    """What no rule read, where that is kept."""


@dataclass(slots=True)
class _Program:
    """What is known of records of one shape. Values of fields are by number: those of leaves, then converted ones."""

    row: Row
    """Of the record that it was made of: which fields hold anything is the same for all."""
    standing: Sequence[str]
    row_shape: RowShape
    straight: Mapping[int, tuple[int, int]]
    """By target that has a field's value as it is: the number of the value, and the place of the rule."""
    converted: Sequence[tuple[int, Callable[[Any], Any]]]
    """The leaves that become values of another type."""
    parts: Sequence[tuple[Part, Callable[[Sequence[Any]], Any]]]
    """Each with what picks its fields' values."""
    forms: dict[tuple[int, ...], _Form | int | None] = field(default_factory=dict)
    """By what parts and items chose: the form, how often it was seen, or None where there is none."""


@dataclass(slots=True)
class _Known:
    """A shape of documents."""

    compared: Callable[[Sequence[Any]], Any] | None
    """What picks the values that decide what paths find."""
    programs: dict[Any, _Program | int | None] = field(default_factory=dict)
    """By these values: the program, how often they were seen, or None where there is none."""


class Programs:
    """The programs of one rule set."""

    def __init__(self, ready: RuleSetReady, rules: RecordRules, lists: Lists) -> None:
        self._ready = ready
        self._rules = rules
        self._lists = lists
        self._keeps_rest = ready.rules.options.preserve_unmapped
        self._slots = ready.assembly.of_slots()
        self._shapes: dict[Shape, _Known] = {}
        self._parts: dict[PartOfRules, Part] = {}

    def made_of(self, document: Document) -> Document | None:
        """The document that the rules make of a record, where nothing is wrong and a program knows it."""
        shape, leaves = shape_of(document)
        if shape is None:
            return None
        known = self._shapes.get(shape) or self._seen(shape, document)
        compared = None if known.compared is None else known.compared(leaves)
        program = known.programs.get(compared, 0)
        if isinstance(program, int):
            self._see_program(known, compared, program, document, leaves)
            return None
        return None if program is None else self._run(program, document, leaves)

    def _run(self, program: _Program, document: Document, leaves: list[Any]) -> Document | None:
        for number, convert in program.converted:
            value = convert(leaves[number])
            if value is None:
                return None
            leaves.append(value)
        made: list[tuple[Any, ...]] = []
        numbers: list[int] = []
        for part, values_of in program.parts:
            one = part.made_of(values_of(leaves))
            if one is None:
                return None
            made.append(one.values)
            numbers.append(one.form)
        items: list[list[tuple[Any, ...]]] = []
        for relation, rules in self._lists:
            of_list = []
            for item in relation.each.all(document):
                item_made = rules.made_of(item, document)
                if item_made.form is None:
                    return None
                of_list.append(item_made.values)
                numbers.append(item_made.form)
            items.append(of_list)
        key = tuple(numbers)
        form = program.forms.get(key, 0)
        if isinstance(form, int):
            self._see_form(program, key, form, document, leaves)
            return None
        if form is None:
            return None
        whole = form.document(leaves, made, items, program.row_shape.values)
        return keep_unmapped(whole, form.rest(leaves)) if form.rest is not None else whole

    # what is found out once

    def _seen(self, shape: Shape, document: Document) -> _Known:
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
            self._parts.clear()
        known = self._shapes[shape] = _Known(self._compared(document))
        return known

    def _compared(self, document: Document) -> Callable[[Sequence[Any]], Any] | None:
        slots = in_slots(document)
        paths = [*self._ready.record.reader.paths.values(), *self._ready.volatile]
        paths += [relation.each for relation, _ in self._lists]
        places: set[Place] = {place for path in paths for place in path.compared(document)}
        # By the resource type paths know whether their first name is that of a type.
        places |= {("resourceType",)} if "resourceType" in document else set()
        numbers = sorted({number for place in places if (number := leaf_at(slots, place)) is not None})
        return itemgetter(*numbers) if numbers else None

    def _see_program(self, known: _Known, compared: Any, seen: int, document: Document, leaves: list[Any]) -> None:
        if len(known.programs) >= MOST_SHAPES:
            known.programs.clear()
        known.programs[compared] = seen + 1 if seen + 1 < SEEN else self._program(document, leaves)

    def _program(self, document: Document, leaves: list[Any]) -> _Program | None:
        plan, reader = self._rules.plan, self._ready.record.reader
        standing: list[str] = []
        row, problems = reader.read(document, standing=standing)
        read = None if problems else self._fields(document, row, leaves)
        if read is None:
            return None
        numbers, converted = read
        shape = self._rules.shapes.worked_out(row)
        decided = [target for target in range(len(plan.targets)) if target not in shape.targets]
        if shape.errors or not all(self._rules.passes(target, shape.values[target]) for target in decided):
            return None
        straight: dict[int, tuple[int, int]] = {}
        parts = []
        for part in parts_of(plan, shape, list(numbers)):
            name = straight_field(plan, part)
            if name is not None:
                straight[part.targets[0]] = numbers[name], part.rules[0]
                continue
            values_of = itemgetter(*(numbers[field] for field in part.fields))
            if part not in self._parts:
                self._parts[part] = Part(self._rules, shape, part)
            parts.append((self._parts[part], values_of))
        return _Program(row, standing, shape, straight, converted, parts)

    def _fields(
        self, document: Document, row: Row, leaves: Sequence[Any]
    ) -> tuple[dict[str, int], list[tuple[int, Callable[[Any], Any]]]] | None:
        """The number of each field's value, and the leaves that are converted; None where a value is not one leaf."""
        numbers: dict[str, int] = {}
        converted: list[tuple[int, Callable[[Any], Any]]] = []
        slots = in_slots(document)
        for name, kind in self._rules.plan.sources.items():
            if row[name] is None:
                continue
            places = self._ready.record.reader.paths[name].places(document)
            number = leaf_at(slots, places[0]) if len(places) == 1 else None
            if number is None:
                return None
            if kind is ColumnType.STRING and type(leaves[number]) is str:
                numbers[name] = number
            else:
                numbers[name] = len(leaves) + len(converted)
                converted.append((number, conversion_of(kind)))
        return numbers, converted

    def _see_form(
        self, program: _Program, key: tuple[int, ...], seen: int, document: Document, leaves: Sequence[Any]
    ) -> None:
        if len(program.forms) >= MOST_FORMS:
            program.forms.clear()
        program.forms[key] = seen + 1 if seen + 1 < SEEN else self._form(program, document, leaves)

    def _form(self, program: _Program, document: Document, leaves: Sequence[Any]) -> _Form | None:
        plan = self._rules.plan
        chosen = list(program.row_shape.chosen)
        slots: list[Slot | None] = [
            None if value is None else Slot(_CONSTANTS, (target,))
            for target, value in enumerate(program.row_shape.values)
        ]
        for target, (number, maker) in program.straight.items():
            slots[target], chosen[target] = Slot(LEAVES, (number,)), maker
        for at, (part, values_of) in enumerate(program.parts):
            made = part.made_of(values_of(leaves))
            assert made is not None, "what was found right a moment ago is right"
            for place, (target, value, rule) in enumerate(zip(part.targets, made.values, made.chosen, strict=True)):
                slots[target], chosen[target] = None if value is None else Slot(_PARTS, (at, place)), rule
        row = _converting(plan, slots)
        items = [
            [rules.made_of(item, document) for item in relation.each.all(document)] for relation, rules in self._lists
        ]
        rows = {
            relation.id: [_item_slots(relation.plan, item, (at, place)) for place, item in enumerate(items[at])]
            for at, (relation, _) in enumerate(self._lists)
        }
        if row is None or any(one is None for of_list in rows.values() for one in of_list):
            return None
        tree = self._slots.document(
            row, {name: [one for one in found if one is not None] for name, found in rows.items()}
        )
        try:
            whole = template(tree, (LEAVES, _PARTS, _ITEMS, _CONSTANTS))
            return _Form(whole, self._rest(program, document, chosen, items) if self._keeps_rest else None)
        except RecursionError:
            return None

    def _rest(
        self, program: _Program, document: Document, chosen: Sequence[int | None], items: Sequence[Sequence[ItemMade]]
    ) -> Callable[..., Document]:
        known = taken_fields(self._rules.plan, program.standing, program.row, (), chosen)
        slots = in_slots(document)
        if "resourceType" in document:
            slots["resourceType"] = document["resourceType"]
        return template(unmapped(slots, places_taken(self._ready, document, known, items)), (LEAVES,))


def _item_slots(plan: Plan, made: ItemMade, way: tuple[int, int]) -> Row | None:
    return _converting(
        plan,
        [None if value is None else Slot(_ITEMS, (*way, place)) for place, value in enumerate(made.values)],
    )


def _converting(plan: Plan, slots: Sequence[Slot | None]) -> Row | None:
    """The slots by column, with what makes JSON of a value; None where that may make nothing of one."""
    row: dict[str, Slot | None] = {}
    for column, target, slot in zip(target_columns(plan), plan.targets, slots, strict=True):
        if slot is not None and target.type is ColumnType.JSON:
            return None
        row[column] = None if slot is None else replace(slot, convert=as_json(target.type))
    return row
