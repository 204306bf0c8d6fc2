"""Records that are alike, by program, against the rules one by one: every shipped rule set, and what comes out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import yaml

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.vocabulary import Direction
from holovitals_pipelines.transform.document_shapes import in_slots, leaf_at, shape_of
from holovitals_pipelines.transform.item_rules import ItemRules
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.record_back_end import compile_records
from holovitals_pipelines.transform.record_programs import SEEN, Programs
from holovitals_pipelines.transform.records import Transformed, compile_rule_set, interpret_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.shipped_rule_sets import shipped_rule_sets
from holovitals_pipelines.transform.tables import shipped_tables
from holovitals_pipelines.transform.templates import Slot, template

Json = dict[str, Any]
PICKING = """
ruleSet: test/picking
version: 1.0.0
provider: fhir
resourceType: Patient
sourceFormat: FHIR_R4
options: {preserveUnmapped: true, includeMetadata: false}
source:
  id: id
  record_number: "numbers.where(kind = 'MR').value"
  active: {path: active, type: boolean}
rules:
  - {id: id_, type: FIELD_MAPPING, source: id, target: id, required: true}
  - {id: number, type: FIELD_MAPPING, source: record_number, target: "identifier[0].value"}
  - {id: active_, type: FIELD_MAPPING, source: active, target: active}
"""


def examples(ready: RuleSetReady) -> list[Json]:
    outbound = ".outbound" if ready.rules.direction is Direction.OUTBOUND else ""
    file = FOLDER.joinpath(ready.name.split("/")[0], f"{ready.rules.resource_type}{outbound}.examples.yml")
    found = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else []
    return [read_document(json.dumps(one["source"], default=str).encode()) for one in found]


def varied(value: Any, chance: random.Random, texts: list[str]) -> Any:
    """The same members and items, now and then with other values: another's, an odd one, a blank, nothing."""
    if isinstance(value, dict):
        return {name: varied(inner, chance, texts) for name, inner in value.items()}
    if isinstance(value, list):
        return [varied(item, chance, texts) for item in value]
    if type(value) is not str or chance.random() > 0.15:
        return value
    return chance.choice([chance.choice(texts), value + "7", value.lower(), " ", "", None, 7, True])


def texts_of(value: Any) -> Iterator[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from [one] if type(one) is str else texts_of(one)


def said(made: Transformed) -> tuple[bytes, list[Any], bool]:
    found = [(one.problem.place, one.problem.code, one.group, one.item) for one in made.findings]
    return write_document(made.document), found, made.rejected


def by_program(ready: RuleSetReady) -> Programs:
    lists = [(one, ItemRules(one, keeps_rest=ready.rules.options.preserve_unmapped)) for one in ready.lists]
    return Programs(ready, compile_records(ready.record.plan), lists)


@cache
def picking() -> RuleSetReady:
    return read_rule_set(PICKING, "rules.yml", shipped_functions(), shipped_tables())


FOLDER = files("holovitals_pipelines.transform").joinpath("rule_sets")
SHIPPED = sorted(
    f"{provider.name}/{one.name}"
    for provider in FOLDER.iterdir()
    if provider.is_dir()
    for one in provider.iterdir()
    if one.name.endswith(".yml") and ".examples." not in one.name
)


@pytest.mark.parametrize("place", SHIPPED)
def test_a_program_makes_what_the_rules_make(place: str) -> None:
    ready = read_rule_set(FOLDER.joinpath(place).read_text("utf-8"), place, shipped_functions(), shipped_tables())
    transform, interpret = compile_rule_set(ready), interpret_rule_set(ready)
    chance = random.Random(ready.name)
    for source in examples(ready)[:6]:
        texts = [*texts_of(source), "MR"]
        # First as it is, until there is a program; then with other values, each until there is one for them.
        for document in [source, *(varied(source, chance, texts) for _ in range(12))]:
            expected = said(interpret(document))
            for _ in range(2 * SEEN + 1):
                assert said(transform(document)) == expected


def test_most_shipped_rule_sets_have_programs_for_their_examples() -> None:
    known = []
    for ready in shipped_rule_sets():
        for source in examples(ready)[:1]:
            programs = by_program(ready)
            made = [programs.made_of(source) for _ in range(2 * SEEN + 1)]
            assert made[: SEEN - 1] == [None] * (SEEN - 1)
            known.append(made[-1] is not None)
    assert sum(known) > len(known) * 2 // 3


def test_what_a_criterion_picks_is_not_what_it_picked_for_others_of_the_shape() -> None:
    programs = by_program(picking())
    one = {"id": "1", "numbers": [{"kind": "MR", "value": "417"}, {"kind": "SS", "value": "9"}]}
    other = {"id": "2", "numbers": [{"kind": "SS", "value": "8"}, {"kind": "MR", "value": "418"}]}
    for _ in range(2 * SEEN):
        programs.made_of(one), programs.made_of(other)
    assert [made and made["identifier"] for made in map(programs.made_of, (one, other))] == [
        [{"value": "417"}], [{"value": "418"}],
    ]  # fmt: skip


def test_what_has_anything_wrong_is_left_to_the_rules() -> None:
    ready = picking()
    programs, transform = by_program(ready), compile_rule_set(ready)
    for _ in range(2 * SEEN):
        assert transform({"id": "1", "active": True}).findings == ()
        programs.made_of({"id": "1", "active": True})
    assert programs.made_of({"id": "1", "active": True}) == {"resourceType": "Patient", "id": "1", "active": True}
    for wrong in ({"id": "1", "active": "yes"}, {"id": " ", "active": True}):
        for _ in range(2 * SEEN + 1):
            assert programs.made_of(wrong) is None
            assert transform(wrong).rejected


def test_shapes_tell_apart_what_rules_may_tell_apart() -> None:
    values: list[Any] = ["x", " ", None, 1, True, False, {}, [], ["x"], [" "], [None], [{}], [["x"]], {"a": "x"}]
    shapes = [shape_of({"a": value, "b": "y"})[0] for value in values]
    assert len(set(shapes)) == len(values)
    assert shape_of({"a": "x"}) == (shape_of({"a": "z"})[0], ["x"])
    assert shape_of({"a": ["x"] * 5_000})[0] is None
    slots = in_slots({"a": [{"b": "x"}, {"b": "y"}], "c": None, "d": 1})
    assert [leaf_at(slots, place) for place in (("a", 1, "b"), ("d",), ("a", 0))] == [1, 2, None]


def test_a_template_holds_texts_as_texts() -> None:
    odd = "'\"\\\n{0}); __import__('os').abort() #"
    tree = {odd: [odd, Slot("leaves", (1,)), {"n": Slot("leaves", (0,), int)}], "e": {}}
    make = template(tree, ("leaves",))
    assert make(["7", odd]) == {odd: [odd, odd, {"n": 7}], "e": {}}
    assert make(["7", odd]) is not make(["7", odd])
