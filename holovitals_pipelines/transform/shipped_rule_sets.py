"""The rule sets that are shipped, as package data: what vendors without FHIR send becomes FHIR R4, and back.

Law: a vendor's differences are said in its rule sets; no code here knows a vendor (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from holovitals_pipelines.model.plug_ins import PlugIn, plugged_in
from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables

_EXAMPLES = ".examples.yml"
_FOLDER = files("holovitals_pipelines.transform").joinpath("rule_sets")


def shipped_rule_sets() -> tuple[RuleSetReady, ...]:
    """All of them, by provider and file name. Reading and planning all takes seconds; one, milliseconds."""
    return tuple(ready for place, _ in _rule_files() if (ready := _read(place)) is not None)


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
    ready = _read(place_of(provider, resource_type, direction, source_format))
    if ready is None or ready.rules.provider is not provider or not _is_of(ready.rules.source_format, source_format):
        return None
    return ready


def place_of(provider: Provider, resource_type: str, direction: Direction, source_format: SourceFormat | None) -> str:
    """Where such a rule set lies: by its name it is found without reading the others."""
    folder = "cda" if source_format is SourceFormat.CDA else provider.value
    outbound = ".outbound" if direction is Direction.OUTBOUND else ""
    return f"{folder}/{resource_type}{outbound}.yml"


@cache
def _read(place: str) -> RuleSetReady | None:
    ours = _FOLDER.joinpath(place)
    file = ours if ours.is_file() else _of_plug_in(place)
    if file is None or not file.is_file():
        return None
    return read_rule_set(file.read_text(encoding="utf-8"), place, shipped_functions(), shipped_tables())


def _of_plug_in(place: str) -> Traversable | None:
    """The file of a vendor that an installed package brings; its folder is a package of that vendor's alone."""
    provider, _, name = place.partition("/")
    entry = plugged_in(PlugIn.RULE_SETS).get(provider)
    return files(entry.value).joinpath(name) if entry is not None else None


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
    for ready, (place, file) in zip(shipped_rule_sets(), _rule_files(), strict=True):
        examples = _FOLDER.joinpath(f"{place.removesuffix('.yml')}{_EXAMPLES}")
        held = examples.read_text(encoding="utf-8") if examples.is_file() else None
        found[ready.name] = AsWritten(file.read_text(encoding="utf-8"), held)
    return found


def _rule_files() -> Iterator[tuple[str, Traversable]]:
    """Each rule set's file with its place among the others, as in `nextgen/Patient.outbound.yml`."""
    for folder in _named(_FOLDER):
        if folder.is_dir():
            for file in _named(folder):
                if file.name.endswith(".yml") and not file.name.endswith(_EXAMPLES):
                    yield f"{folder.name}/{file.name}", file


def _named(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda entry: entry.name)
