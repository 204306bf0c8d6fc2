"""Who wins: policy chains by connection, resource type, unit, conflict type and severity, from a YAML file.

Law: the first row that matches decides; and no row can make a critical conflict be decided automatically.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.sync.policy_file import FileRow, PolicyFile, read_policy
from holovitals_pipelines.sync.resolvers import Resolvers, shipped_resolvers
from holovitals_pipelines.sync.unit_paths import UnitPattern


@dataclass(frozen=True, slots=True)
class Step:
    """One strategy of a chain. `option` is MERGE's (preferLocal … custom), `resolver` names CUSTOM's or custom's."""

    strategy: ResolutionStrategy
    option: str | None = None
    resolver: str | None = None
    """`name@version` of a registered resolver."""
    separator: str | None = None
    """What concatenate puts between the two texts."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a row is for; an empty tuple is anything. Names may hold `*`."""

    connections: tuple[str, ...] = ()
    resource_types: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    conflict_types: tuple[ConflictType, ...] = ()
    severities: tuple[ConflictSeverity, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeOption:
    """How MERGE makes one value of two where a unit is in conflict; the first that means the unit is taken."""

    unit: str
    option: str
    resolver: str | None = None
    separator: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A matched policy row."""

    name: str
    chain: tuple[Step, ...]
    tie: ResolutionStrategy | None = None
    """What a tie of timestamps falls through to: MANUAL, LOCAL_WINS or REMOTE_WINS. None: MANUAL where the severity is
    HIGH or CRITICAL, else REMOTE_WINS (§2.6)."""
    match: Match = field(default_factory=Match)
    merge: tuple[MergeOption, ...] = ()
    resolvers: Resolvers = field(default_factory=shipped_resolvers, compare=False, repr=False)
    """Those its steps may name."""


@dataclass(frozen=True, slots=True)
class Policy:
    version: str
    """What the file calls itself, and a hash of everything the rows were read from."""
    rows: tuple[Row, ...] = ()

    def row_for(
        self,
        *,
        connection: str,
        resource_type: str,
        unit: str,
        conflict_type: ConflictType,
        severity: ConflictSeverity,
    ) -> Row:
        """The first matching row, its MERGE steps carrying the unit's option; there is always one (the last row of the
        defaults matches everything)."""
        for row in self.rows:
            match = row.match
            if (
                _named(match.connections, connection)
                and _named(match.resource_types, resource_type)
                and _means(match.units, unit)
                and (not match.conflict_types or conflict_type in match.conflict_types)
                and (not match.severities or severity in match.severities)
            ):
                return replace(row, chain=tuple(_with_option(step, row.merge, unit) for step in row.chain))
        raise AssertionError("the last row of the defaults matches everything")


def _named(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None for pattern in patterns
    )


def _means(patterns: tuple[str, ...], unit: str) -> bool:
    return not patterns or any(UnitPattern(pattern).matches(unit) for pattern in patterns)


def _with_option(step: Step, merge: tuple[MergeOption, ...], unit: str) -> Step:
    if step.strategy is not ResolutionStrategy.MERGE or step.option is not None:
        return step
    for choice in merge:
        if UnitPattern(choice.unit).matches(unit):
            return replace(step, option=choice.option, resolver=choice.resolver, separator=choice.separator)
    return step


def load_policy(text: str, place: str, *, resolvers: Resolvers | None = None) -> Policy:
    """Rows of `text`, then the defaults; they may name `resolvers` (default: those we ship).

    Raises ConfigurationError naming `place` and the line.
    """
    known = shipped_resolvers() if resolvers is None else resolvers
    defaults = default_policy()
    file = read_policy(text, place, known, taken={row.name for row in defaults.rows})
    return Policy(_version(file, text, defaults.version), (*_rows(file, known), *defaults.rows))


@cache
def default_policy() -> Policy:
    """The rows this package ships."""
    text = files("holovitals_pipelines.sync").joinpath("policy.yml").read_text(encoding="utf-8")
    shipped = shipped_resolvers()
    file = read_policy(text, "policy.yml", shipped)
    return Policy(_version(file, text), _rows(file, shipped))


def holding_all(policy: Policy) -> Policy:
    """The policy of a job that decides nothing: every conflict is a person's."""
    return Policy(f"held+{policy.version}", (Row("the job decides nothing", (Step(ResolutionStrategy.MANUAL),)),))


def _version(file: PolicyFile, *texts: str) -> str:
    return f"{file.version}+{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:12]}"


def _rows(file: PolicyFile, resolvers: Resolvers) -> tuple[Row, ...]:
    return tuple(_row(row, resolvers) for row in file.rows)


def _row(row: FileRow, resolvers: Resolvers) -> Row:
    match = row.match
    return Row(
        name=row.name,
        chain=tuple(Step(step.strategy, resolver=step.resolver) for step in row.chain),
        tie=None if row.tie is None else ResolutionStrategy(row.tie),
        match=Match(match.connection, match.resource_type, match.unit, match.type, match.severity),
        merge=tuple(
            MergeOption(unit, choice.option, choice.resolver, choice.separator) for unit, choice in row.merge.items()
        ),
        resolvers=resolvers,
    )
