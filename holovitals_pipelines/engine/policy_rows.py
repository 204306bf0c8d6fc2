"""A person's decision as a rule: the rows that would decide the same from now on, shown, then added to policy.yml.

Law: nothing is written that the policy loader refuses, that another row would overrule, or that was not shown as it is;
no row decides a critical conflict. Whatever the file held before stays in it, byte for byte.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from holovitals_pipelines.engine.conflict_view import ShownConflict
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.store.conflicts import StoredUnit
from holovitals_pipelines.sync.policy import Policy, default_policy, load_policy
from holovitals_pipelines.sync.unit_paths import WHOLE, members

_WINS = {"local": ResolutionStrategy.LOCAL_WINS, "remote": ResolutionStrategy.REMOTE_WINS}
_FOR_ALL = (
    ResolutionStrategy.LOCAL_WINS,
    ResolutionStrategy.REMOTE_WINS,
    ResolutionStrategy.LAST_WRITE_WINS,
    ResolutionStrategy.FIRST_WRITE_WINS,
)
_NEW_FILE = 'version: "1"\nrows:\n'


@dataclass(frozen=True, slots=True)
class ProposedRows:
    """What would be added to `file`, as it would be written; `code` stands for the file and these rows."""

    file: Path
    rows: tuple[Mapping[str, Any], ...]
    text: str
    code: str


def propose_rows(
    home: Home, shown: ShownConflict, strategy: ResolutionStrategy, sides: Mapping[str, str], *, actor: str
) -> ProposedRows:
    """The rows that make this decision a rule. `sides`: `local` or `remote` by unit, where it was made unit by unit.

    Raises ConfigurationError: `policy.critical`, `policy.no_rule`, `policy.overruled`, `policy.not_appended`,
    `policy.invalid`; StoreError (`actor.invalid`).
    """
    _refuse_critical(shown)
    with home.database.read() as transaction:
        person = person_named(transaction, actor)
    file = _file(home)
    before = _text(file)
    rows = _rows(shown, _strategies(shown, strategy, sides), taken=_names(before, file))
    text = _written(rows, person, shown)
    _checked(before, text, rows, shown, file)
    return ProposedRows(file, rows, text, _code(before, text))


def add_rows(
    home: Home,
    shown: ShownConflict,
    strategy: ResolutionStrategy,
    sides: Mapping[str, str],
    *,
    actor: str,
    code: str,
) -> ProposedRows:
    """Write the rows that were shown under `code`; conflicts found from now on follow them.

    Raises what `propose_rows` raises, and ConfigurationError (`policy.changed`) when the file, or the conflict, has
    changed since they were shown.
    """
    proposed = propose_rows(home, shown, strategy, sides, actor=actor)
    if proposed.code != code:
        raise ConfigurationError(
            "the policy, or what would be added to it, has changed since it was shown",
            code="policy.changed",
            place=str(proposed.file),
            remedy="look at the rows again, then confirm",
        )
    _replace(proposed.file, _appended(_text(proposed.file), proposed.text))
    return proposed


def _refuse_critical(shown: ShownConflict) -> None:
    graded = {shown.conflict.severity, *(unit.severity for unit in shown.open_units)}
    if ConflictSeverity.CRITICAL.value in graded:
        raise _refusal(
            shown, "policy.critical", "CRITICAL conflicts are decided by people, never by a policy", "decide each one"
        )


def _refusal(shown: ShownConflict, code: str, message: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, code=code, place=f"conflict {shown.conflict.conflict_id}", remedy=remedy)


# rows


def _strategies(
    shown: ShownConflict, strategy: ResolutionStrategy, sides: Mapping[str, str]
) -> dict[ResolutionStrategy, list[StoredUnit]]:
    """The units in conflict, by what decides them from now on."""
    units = shown.open_units
    if not units:
        raise _refusal(shown, "policy.no_rule", "it has no unit in conflict", "decide one that has")
    if strategy in _FOR_ALL:
        return {strategy: list(units)}
    found: dict[ResolutionStrategy, list[StoredUnit]] = defaultdict(list)
    for unit in units:
        side = sides.get(unit.unit)
        if side not in _WINS:
            raise _refusal(
                shown,
                "policy.no_rule",
                f"a value of one's own for {unit.element or 'a unit'} is no rule for others",
                "choose local or remote for each unit, or write the rows by hand (docs/conflicts.md)",
            )
        found[_WINS[side]].append(unit)
    patterns = [{unit_pattern(unit) for unit in group} for group in found.values()]
    if len(patterns) > 1 and set.intersection(*patterns):
        raise _refusal(
            shown,
            "policy.no_rule",
            "items of one list are decided differently, and a row means all of them",
            "write the rows by hand (docs/conflicts.md)",
        )
    return dict(found)


def unit_pattern(unit: StoredUnit) -> str:
    """As a row names it: without the keys of list items, which hold content."""
    return WHOLE if unit.unit == WHOLE else ".".join(members(unit.unit)[0])


def _rows(
    shown: ShownConflict, decided: Mapping[ResolutionStrategy, Sequence[StoredUnit]], taken: set[str]
) -> tuple[Mapping[str, Any], ...]:
    conflict = shown.conflict
    rows: list[Mapping[str, Any]] = []
    for strategy, units in decided.items():
        patterns = sorted({unit_pattern(unit) for unit in units})
        severities = sorted({unit.severity or conflict.severity or "HIGH" for unit in units})
        by_time = strategy in (ResolutionStrategy.LAST_WRITE_WINS, ResolutionStrategy.FIRST_WRITE_WINS)
        named = _free_name(conflict.resource_type, patterns, strategy, taken | {str(row["name"]) for row in rows})
        match = {
            "connection": conflict.connection,
            "resource_type": conflict.resource_type,
            "unit": patterns,
            "type": ConflictType(conflict.type).value,
            "severity": severities,
        }
        chain = [strategy.value, ResolutionStrategy.MANUAL.value]
        rows.append({"name": named, "match": match, "chain": chain} | ({"tie": "MANUAL"} if by_time else {}))
    return tuple(rows)


def _free_name(resource_type: str, patterns: Sequence[str], strategy: ResolutionStrategy, taken: set[str]) -> str:
    words = f"{resource_type} {' '.join(patterns)} {strategy.value}".replace("*", "all")
    usual = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:54].strip("-")
    numbered = (usual if number == 1 else f"{usual}-{number}" for number in range(1, 1000))
    return next(name for name in numbered if name not in taken)


# the file


def _file(home: Home) -> Path:
    return home.settings.policy_file or home.settings.root / "policy.yml"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _names(text: str, file: Path) -> set[str]:
    policy = load_policy(text, str(file)) if text else default_policy()
    return {row.name for row in policy.rows}


def _written(rows: Sequence[Mapping[str, Any]], person: str, shown: ShownConflict) -> str:
    """As YAML, at the depth of the rows of a file. Reasons stay with the conflict: they may name a patient."""
    origin = f"  # added by {person}, from conflict {shown.conflict.conflict_id}\n"
    listed = yaml.safe_dump(list(map(dict, rows)), sort_keys=False, default_flow_style=None, width=100)
    return origin + "".join(f"  {line}\n" for line in listed.splitlines())


def _appended(before: str, added: str) -> str:
    if not before:
        return _NEW_FILE + added
    first = re.search(r"^( *)- ", before[before.find("\nrows:") + 1 :], re.MULTILINE)
    depth = len(first[1]) if first is not None else 2
    moved = "".join(f"{' ' * depth}{line[2:]}\n" for line in added.splitlines())
    return before + ("" if before.endswith("\n") else "\n") + moved


def _checked(before: str, added: str, rows: Sequence[Mapping[str, Any]], shown: ShownConflict, file: Path) -> None:
    """Whether the file with the rows says what it said before, then the rows, and these decide."""
    after = _appended(before, added)
    try:
        said, was = yaml.safe_load(after), yaml.safe_load(before) if before else {"version": "1"}
        appended = said == {**was, "rows": [*(was.get("rows") or []), *map(dict, rows)]}
    except yaml.YAMLError:
        appended = False
    if not appended:
        raise ConfigurationError(
            "rows cannot be added at the end of this file",
            code="policy.not_appended",
            place=str(file),
            remedy="let `rows:` be the last key, with a row a line; or add them by hand",
        )
    policy = load_policy(after, str(file))
    for row in rows:
        _refuse_overruled(policy, row, shown, file)


def _refuse_overruled(policy: Policy, row: Mapping[str, Any], shown: ShownConflict, file: Path) -> None:
    patterns = set(row["match"]["unit"])
    for unit in shown.open_units:
        if unit_pattern(unit) not in patterns:
            continue
        decides = policy.row_for(
            connection=shown.conflict.connection,
            resource_type=shown.conflict.resource_type,
            unit=unit.unit,
            conflict_type=ConflictType(shown.conflict.type),
            severity=ConflictSeverity(unit.severity or shown.conflict.severity or "HIGH"),
        )
        if decides.name != row["name"]:
            raise ConfigurationError(
                f"the row {decides.name!r} comes first and decides these conflicts",
                code="policy.overruled",
                place=str(file),
                remedy="change that row",
            )


def _code(before: str, added: str) -> str:
    return hashlib.sha256(f"{before}\0{added}".encode()).hexdigest()[:16]


def _replace(file: Path, text: str) -> None:
    """In one step, so that a job never reads half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            Path(name).chmod(file.stat().st_mode & 0o777)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
