"""The rule sets that are shipped, as package data: what vendors without FHIR send becomes FHIR R4, and back.

Law: a vendor's differences are said in its rule sets; no code here knows a vendor (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from holovitals_pipelines.model.vocabulary import Direction, Provider
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables

_EXAMPLES = ".examples.yml"


@cache
def shipped_rule_sets() -> tuple[RuleSetReady, ...]:
    """All of them, by provider and file name. Read and planned once."""
    functions, tables = shipped_functions(), shipped_tables()
    return tuple(
        read_rule_set(file.read_text(encoding="utf-8"), place, functions, tables) for place, file in _rule_files()
    )


def rule_set_for(
    provider: Provider, resource_type: str, direction: Direction = Direction.INBOUND
) -> RuleSetReady | None:
    """The shipped rule set for a provider's records of a type, or None where there is none."""
    wanted = (provider, resource_type, direction)
    return next(
        (
            ready
            for ready in shipped_rule_sets()
            if (ready.rules.provider, ready.rules.resource_type, ready.rules.direction) == wanted
        ),
        None,
    )


def _rule_files() -> Iterator[tuple[str, Traversable]]:
    """Each rule set's file with its place among the others, as in `nextgen/Patient.outbound.yml`."""
    root = files("holovitals_pipelines.transform").joinpath("rule_sets")
    for folder in _named(root):
        if folder.is_dir():
            for file in _named(folder):
                if file.name.endswith(".yml") and not file.name.endswith(_EXAMPLES):
                    yield f"{folder.name}/{file.name}", file


def _named(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda entry: entry.name)
