"""The rules of a list's items: what was made of an item is kept for the next one that is the same.

Law: not kept is what depends on the record around the item, and what failed: a function that ran out of time may not
the next time. Nothing is written into what is kept.

The same doctors, codes and units come again and again: keeping what was made of them halves the work of the lists.
"""

from __future__ import annotations

import marshal
from dataclasses import dataclass
from typing import Any, Final

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.paths import Place
from holovitals_pipelines.transform.plan import Plan, target_column
from holovitals_pipelines.transform.reading import ListRelation
from holovitals_pipelines.transform.record_back_end import compile_records, problem_numbers
from holovitals_pipelines.transform.taken_places import taken_fields

MOST_ITEMS: Final = 2_048
"""Items of a list's rules for which is kept what was made of them."""
LARGEST_KEPT: Final = 2_048
"""Bytes of the largest of them."""
MOST_FORMS: Final = 1_024
"""Forms of items that are told apart."""


@dataclass(frozen=True, slots=True)
class ItemMade:
    """What came of an item of a list."""

    values: tuple[Any, ...]
    """By target."""
    row: Row
    """The targets' columns, for the assembly."""
    errors: tuple[int, ...] = ()
    rejected: bool = False
    taken: tuple[Place, ...] = ()
    """Places within the item."""
    taken_of_record: tuple[Place, ...] = ()
    form: int | None = None
    """The number of the item's form: which targets have a value, and what is taken. None where something is wrong."""


class ItemRules:
    """The rules of one list."""

    def __init__(self, relation: ListRelation, *, keeps_rest: bool) -> None:
        self._relation = relation
        self._run = compile_records(relation.plan)
        self._columns = target_columns(relation.plan)
        self._keeps_rest = keeps_rest
        self._made: dict[bytes, ItemMade] = {}
        self._forms: dict[tuple[Any, ...], int] = {}

    def made_of(self, item: Any, record: Document) -> ItemMade:
        key = None if self._relation.reader.of_record else _exact_key(item)
        if key is None:
            return self._make(item, record)
        made = self._made.get(key)
        if made is None:
            made = self._make(item, record)
            if not made.errors:
                if len(self._made) >= MOST_ITEMS:
                    self._made.clear()
                self._made[key] = made
        return made

    def _make(self, item: Any, record: Document) -> ItemMade:
        plan, reader = self._relation.plan, self._relation.reader
        standing: list[str] = []
        fields, wrong = reader.read(item, record, standing=standing)
        result = self._run(fields, problem_numbers(plan, wrong))
        row = dict(zip(self._columns, result.values, strict=True))
        taken: list[Place] = []
        of_record: list[Place] = []
        if self._keeps_rest:
            known = taken_fields(plan, standing, fields, wrong, result.makers)
            taken = reader.places(item, [name for name in known if not reader.paths[name].of_record])
            others = [name for name in known if reader.paths[name].of_record]
            of_record = reader.places(item, others, record=record)
        return ItemMade(
            result.values,
            row,
            result.errors,
            result.rejected,
            tuple(taken),
            tuple(of_record),
            None
            if result.errors
            else self._form((tuple([value is not None for value in result.values]), tuple(taken), tuple(of_record))),
        )

    def _form(self, said: tuple[Any, ...]) -> int | None:
        if said not in self._forms and len(self._forms) >= MOST_FORMS:
            return None
        return self._forms.setdefault(said, len(self._forms))


def _exact_key(item: Any) -> bytes | None:
    """The item's bytes; None for one that holds what marshal does not know: our exact numbers, and what is large."""
    try:
        # Version 0 refers to nothing twice, so that equal items have equal bytes.
        key = marshal.dumps(item, 0)
    except ValueError:
        return None
    return key if len(key) <= LARGEST_KEPT else None


def target_columns(plan: Plan) -> list[str]:
    """The columns of the targets, for the assembly, in the order of a result's values."""
    return [target_column(number) for number in range(len(plan.targets))]
