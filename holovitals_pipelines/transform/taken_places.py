"""What the rules took of a record: everything else is the rest, which is kept (unmapped.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.columns import Row
from holovitals_pipelines.transform.fields import FieldProblem
from holovitals_pipelines.transform.paths import Place
from holovitals_pipelines.transform.plan import Plan
from holovitals_pipelines.transform.reading import RuleSetReady

if TYPE_CHECKING:
    from holovitals_pipelines.transform.item_rules import ItemMade


def taken_fields(
    plan: Plan, standing: Sequence[str], row: Row, problems: Sequence[FieldProblem], makers: Sequence[int | None]
) -> list[str]:
    """The fields, of those for which anything stands there, whose values are in the targets, and those that hold
    nothing. One that was read for nothing (its rule was not applied, yielded no value or failed) is not taken: its
    value belongs to the rest."""
    wrong = {problem.field for problem in problems}
    used = set[str]().union(*(plan.rules[maker].fields for maker in makers if maker is not None))
    return [name for name in standing if name in used or (row[name] is None and name not in wrong)]


def places_taken(
    ready: RuleSetReady, document: Document, fields: Sequence[str], items: Sequence[Sequence[ItemMade]]
) -> list[Place]:
    """Where in the record stands what is not kept: the values of these fields, what the items' rules took of each
    list, and what is volatile."""
    taken = ready.record.reader.places(document, fields)
    taken += [place for path in ready.volatile for place in path.places(document)]
    for relation, of_list in zip(ready.lists, items, strict=True):
        at = relation.each.places(document)
        for index, made in enumerate(of_list):
            taken += [at[index] + place for place in made.taken]
            taken += made.taken_of_record
    return taken
