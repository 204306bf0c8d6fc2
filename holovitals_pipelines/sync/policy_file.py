"""Policy rows as they are written (docs/conflicts.md).

Law: a row that could not do what it says is refused with its line: unknown names, steps that are never reached, and
automatic decisions of critical conflicts.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.model.yaml_lines import Lined, Path, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _step(value: Any) -> Any:
    return {"strategy": value} if isinstance(value, str) else value


def _option(value: Any) -> Any:
    return {"option": value} if isinstance(value, str) else value


_Globs = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class FileMatch(_Strict):
    connection: _Globs = ()
    resource_type: _Globs = ()
    unit: _Globs = ()
    type: Annotated[tuple[ConflictType, ...], BeforeValidator(_listed), Field(min_length=1)] = ()
    severity: Annotated[tuple[ConflictSeverity, ...], BeforeValidator(_listed), Field(min_length=1)] = ()


class FileStep(_Strict):
    strategy: ResolutionStrategy
    resolver: str | None = None


class FileOption(_Strict):
    option: Literal["preferLocal", "preferRemote", "concatenate", "average", "max", "min", "custom"]
    resolver: str | None = None
    separator: str | None = None


class FileRow(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
    match: FileMatch = FileMatch()
    chain: Annotated[tuple[Annotated[FileStep, BeforeValidator(_step)], ...], Field(min_length=1)]
    tie: Literal["MANUAL", "LOCAL_WINS", "REMOTE_WINS"] | None = None
    merge: dict[str, Annotated[FileOption, BeforeValidator(_option)]] = Field(default_factory=dict)


class PolicyFile(_Strict):
    version: str = Field(min_length=1, max_length=60)
    rows: tuple[FileRow, ...] = ()


def read_policy(text: str, place: str, known: Container[str], taken: Container[str] = ()) -> PolicyFile:
    """`known` are the registered resolvers, `taken` the row names that are in use already.

    Raises ConfigurationError naming `place` and the line.
    """
    lined = read_yaml(
        text, place=place, code="policy.invalid", remedy="see docs/conflicts.md for how a policy is written"
    )
    file = lined.validated(PolicyFile)
    names: set[str] = set()
    for index, row in enumerate(file.rows):
        path: Path = ("rows", index)
        if row.name in taken or row.name in names:
            raise lined.refusal((*path, "name"), f"{row.name!r} is the name of another row")
        names.add(row.name)
        _check_match(row, (*path, "match"), lined)
        _check_chain(row, (*path, "chain"), lined, known)
        _check_merge(row, (*path, "merge"), lined, known)
    return file


def _check_match(row: FileRow, path: Path, lined: Lined) -> None:
    for name in row.match.resource_type:
        if "*" not in name and name not in RESOURCE_TYPES:
            raise lined.refusal((*path, "resource_type"), f"{name!r} is no resource type of FHIR R4")


def _check_chain(row: FileRow, path: Path, lined: Lined, known: Container[str]) -> None:
    strategies = [step.strategy for step in row.chain]
    for index, step in enumerate(row.chain):
        custom = step.strategy is ResolutionStrategy.CUSTOM
        _check_resolver(step.resolver, custom, (*path, index), lined, known)
        if ResolutionStrategy.MANUAL in strategies[:index]:
            raise lined.refusal((*path, index), "MANUAL ends a chain; this step is never reached")
    automatic = set(strategies) != {ResolutionStrategy.MANUAL}
    if automatic and ConflictSeverity.CRITICAL in row.match.severity:
        raise lined.refusal(path, "CRITICAL conflicts are decided by people: their chain is [MANUAL]")


def _check_merge(row: FileRow, path: Path, lined: Lined, known: Container[str]) -> None:
    if row.merge and all(step.strategy is not ResolutionStrategy.MERGE for step in row.chain):
        raise lined.refusal(path, "the chain has no MERGE step that these options could serve")
    for unit, choice in row.merge.items():
        _check_resolver(choice.resolver, choice.option == "custom", (*path, unit), lined, known)
        if (choice.option == "concatenate") != bool(choice.separator):
            raise lined.refusal((*path, unit), "concatenate, and no other option, names a separator")


def _check_resolver(resolver: str | None, wanted: bool, path: Path, lined: Lined, known: Container[str]) -> None:
    if wanted != (resolver is not None):
        message = "name the resolver, as name@version" if wanted else "only CUSTOM and custom name a resolver"
        raise lined.refusal(path, message)
    if resolver is not None and resolver not in known:
        raise lined.refusal(path, f"no resolver {resolver!r} is registered")
