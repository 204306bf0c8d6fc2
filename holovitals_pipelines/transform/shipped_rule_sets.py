"""The rule sets that are shipped, as package data: what vendors without FHIR send becomes FHIR R4, and back.

Law: a vendor's differences are said in its rule sets; no code here knows a vendor (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables

_EXAMPLES = ".examples.yml"
_FOLDER = files("holovitals_pipelines.transform").joinpath("rule_sets")


@cache
def shipped_rule_sets() -> tuple[RuleSetReady, ...]:
    """All of them, by provider and file name. Read and planned once."""
    functions, tables = shipped_functions(), shipped_tables()
    return tuple(read_rule_set(text, place, functions, tables) for place, text in _rule_texts())


def rule_set_for(
    provider: Provider,
    resource_type: str,
    direction: Direction = Direction.INBOUND,
    *,
    source_format: SourceFormat | None = None,
) -> RuleSetReady | None:
    """The shipped rule set for a provider's records of a type, or None where there is none.

    Without a `source_format`: for what the provider's own interface sends, which is never C-CDA.
    """
    return next(
        (
            ready
            for ready in shipped_rule_sets()
            if (ready.rules.provider, ready.rules.resource_type, ready.rules.direction)
            == (provider, resource_type, direction)
            and _is_of(ready.rules.source_format, source_format)
        ),
        None,
    )


def _is_of(found: SourceFormat, wanted: SourceFormat | None) -> bool:
    return found is not SourceFormat.CDA if wanted is None else found is wanted


@dataclass(frozen=True, slots=True)
class AsWritten:
    text: str
    """Comments and all."""
    examples: str | None


@cache
def shipped_as_written() -> Mapping[str, AsWritten]:
    """By `name@version`: the files of each shipped rule set, for whoever begins a version of their own with one."""
    found: dict[str, AsWritten] = {}
    for ready, (place, text) in zip(shipped_rule_sets(), _rule_texts(), strict=True):
        examples = _FOLDER.joinpath(f"{place.removesuffix('.yml')}{_EXAMPLES}")
        held = examples.read_text(encoding="utf-8") if examples.is_file() else None
        found[ready.name] = AsWritten(text, held)
    return found


@cache
def _rule_texts() -> tuple[tuple[str, str], ...]:
    return tuple((place, file.read_text(encoding="utf-8")) for place, file in _rule_files())


def _rule_files() -> Iterator[tuple[str, Traversable]]:
    """Each rule set's file with its place among the others, as in `nextgen/Patient.outbound.yml`."""
    for folder in _named(_FOLDER):
        if folder.is_dir():
            for file in _named(folder):
                if file.name.endswith(".yml") and not file.name.endswith(_EXAMPLES):
                    yield f"{folder.name}/{file.name}", file


def _named(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda entry: entry.name)
