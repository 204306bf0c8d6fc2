"""What a person chose for the units of a conflict, checked before it is stored.

Law: a stored decision has one choice for each unit in conflict, and can be carried out on the values it was made on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holovitals_pipelines.engine.conflict_view import ShownConflict
from holovitals_pipelines.fhir.exact import Number, read_document, read_value, write_document
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.fhir.validation import Issue, check_structure, explain
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ErrorSeverity, ResolutionStrategy
from holovitals_pipelines.model.writing import Document, WriteCapability
from holovitals_pipelines.store.conflicts import StoredUnit
from holovitals_pipelines.sync.groups import CHOICE_OF, escaped
from holovitals_pipelines.sync.merge import Unit, UnitKind, merge
from holovitals_pipelines.sync.policy import Row, Step
from holovitals_pipelines.sync.resolution import ConflictView, Resolved, resolve
from holovitals_pipelines.sync.unit_paths import WHOLE, members
from holovitals_pipelines.sync.units import MISSING
from holovitals_pipelines.sync.verdicts import from_json

EVERYTHING = WriteCapability(create=True, update=True, delete=True)
"""For merges that are to show what a record will hold: what a vendor can take does not matter there."""

_SIDES = {ResolutionStrategy.LOCAL_WINS: "local", ResolutionStrategy.REMOTE_WINS: "remote"}
_BY_TIME = (ResolutionStrategy.LAST_WRITE_WINS, ResolutionStrategy.FIRST_WRITE_WINS)
_BY_UNIT = (ResolutionStrategy.MANUAL, ResolutionStrategy.MERGE)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to hold of one unit: a side's value, or a value of the person's own (`value`, JSON text; None removes)."""

    side: str
    """`local`, `remote` or `value`."""
    value: str | None = None


def checked_choices(
    shown: ShownConflict, strategy: ResolutionStrategy, choices: Mapping[str, Choice], now: datetime
) -> dict[str, Choice]:
    """The choice for each unit in conflict, by unit name. Raises StoreError (`conflict.undecidable`).

    Messages name units by their element only: the name of a list's item can hold what identifies a person.
    """
    units = shown.open_units
    if not units:
        raise undecidable(
            shown, "nobody has compared its units yet", f"sync first: holovitals sync {shown.conflict.connection}"
        )
    if choices and strategy not in _BY_UNIT:
        raise undecidable(
            shown, f"{strategy.value} speaks for every unit: it takes no choices", "choose unit by unit with MANUAL"
        )
    if strategy in _SIDES:
        chosen = {unit.unit: Choice(_SIDES[strategy]) for unit in units}
    elif strategy in _BY_TIME:
        side = _side_by_time(shown, strategy, now)
        chosen = {unit.unit: Choice(side) for unit in units}
    elif strategy in _BY_UNIT:
        chosen = _by_unit(shown, units, choices)
    else:
        raise undecidable(shown, f"{strategy.value} is not a person's strategy", "choose unit by unit with MANUAL")
    if WHOLE not in chosen:
        _try_out(shown, chosen)
    return chosen


def undecidable(shown: ShownConflict, message: str, remedy: str) -> StoreError:
    place = f"conflict {shown.conflict.conflict_id}"
    return StoreError(message, code="conflict.undecidable", place=place, remedy=remedy)


# by unit


def _by_unit(shown: ShownConflict, units: Sequence[StoredUnit], choices: Mapping[str, Choice]) -> dict[str, Choice]:
    known = {unit.unit: unit for unit in units}
    missing = [_element(unit) for name, unit in known.items() if name not in choices]
    unknown = len(choices.keys() - known.keys())
    if missing:
        raise undecidable(
            shown,
            f"no choice is given for {_listed(missing)}",
            "give one choice for each unit in conflict, named as the conflict shows it",
        )
    if unknown:
        raise undecidable(
            shown,
            f"{unknown} of the choices name no unit in conflict; those are in {_listed([_element(u) for u in units])}",
            "name units exactly as the conflict shows them",
        )
    for name, choice in choices.items():
        _check_choice(shown, known[name], choice)
    return {name: choices[name] for name in known}


def _check_choice(shown: ShownConflict, unit: StoredUnit, choice: Choice) -> None:
    if choice.side not in ("local", "remote", "value"):
        raise undecidable(
            shown, f"the choice for {_element(unit)} is none of local, remote, value", "correct the choice"
        )
    if choice.side != "value":
        return
    if unit.unit == WHOLE:
        raise undecidable(
            shown, "a whole resource can only be local's or remote's", "choose a side, then edit the record"
        )
    if choice.value is None:
        return
    try:
        value = read_value(choice.value)
    except MalformedResource:
        value = MISSING  # raised below: the text must not get into a traceback
    if value is MISSING:
        raise undecidable(
            shown,
            f"the value chosen for {_element(unit)} is not JSON",
            "write text with its quotes: 'value:\"text\"'; to leave the element out choose remove",
        )
    kinds = {_kind(from_json(text)) for text in (unit.base_local, unit.base_remote, unit.local, unit.remote) if text}
    if value is not None and _kind(value) not in kinds:
        said = " or ".join(sorted(kinds))
        raise undecidable(
            shown,
            f"the value chosen for {_element(unit)} is {_kind(value)}, where the sides hold {said}",
            "write the value in the form the conflict shows the sides' values in",
        )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | Number):  # a Number is a str too
        return "a number"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _element(unit: StoredUnit) -> str:
    return "the whole resource" if unit.unit == WHOLE else unit.element or "an unnamed element"


def _listed(elements: Sequence[str]) -> str:
    return ", ".join(sorted(set(elements)))


# by time


def _side_by_time(shown: ShownConflict, strategy: ResolutionStrategy, now: datetime) -> str:
    remedy = "choose LOCAL_WINS, REMOTE_WINS or MANUAL"
    if shown.conflict.severity == ConflictSeverity.CRITICAL:
        later = _written(shown, ResolutionStrategy.LAST_WRITE_WINS, now)
        told = f" (written later: {later})" if later else ""
        raise undecidable(shown, f"times do not decide a critical conflict{told}", remedy)
    side = _written(shown, strategy, now)
    if side is None:
        raise undecidable(shown, "the sides' times are not known, or too close to tell", remedy)
    return side


def _written(shown: ShownConflict, strategy: ResolutionStrategy, now: datetime) -> str | None:
    """`local` or `remote`, by the kernel's own rule for times (§2.6); None where they have no order."""
    conflict = shown.conflict
    view = ConflictView(
        conflict.connection,
        conflict.resource_type,
        ConflictType(conflict.type),
        ConflictSeverity.HIGH,
        Unit(WHOLE, WHOLE, UnitKind.CONFLICT, MISSING, MISSING, MISSING, MISSING),
        None,
        None,
        None,
        conflict.local_updated,
        conflict.remote_updated,
        now,
    )
    by_a_person = Row("a person's", (Step(strategy),), tie=ResolutionStrategy.MANUAL)
    answer = resolve(view, by_a_person)
    return answer.side if isinstance(answer, Resolved) else None


# what would come of it


def _try_out(shown: ShownConflict, chosen: Mapping[str, Choice]) -> None:
    """Merge as the decider will, so that a decision it would have to refuse is refused now."""
    if shown.local is None or shown.remote is None:
        return
    plain = {unit.unit: from_json(unit.local) for unit in shown.open_units}
    made = _merged(shown, {**plain, **{name: _value(shown, name, choice) for name, choice in chosen.items()}})
    untouched = _merged(shown, plain)
    reached = {place[0] for unit in shown.open_units for place in members(unit.unit)}
    strays = [
        name
        for name in {**made, **untouched}
        if _step(name) not in reached and made.get(name, MISSING) != untouched.get(name, MISSING)
    ]
    if strays:
        raise undecidable(
            shown, "a chosen value reaches into other elements", "give only the members that the conflict shows"
        )
    own = any(choice.side == "value" for choice in chosen.values())
    already = {(i.path, i.rule) for body in (shown.local, shown.remote) for i in _errors(shown, body, own)}
    broken = [i for i in _errors(shown, write_document(made), own) if (i.path, i.rule) not in already]
    if broken:
        said = f"the outcome would not be valid: {broken[0].path}: {broken[0].message}"
        raise undecidable(shown, said, "choose what gives a valid resource")


def _step(member: str) -> str:
    """A top-level member as unit names begin with it."""
    bare = member.removeprefix("_")
    return CHOICE_OF.get(bare) or escaped(bare)


def _merged(shown: ShownConflict, choices: Mapping[str, Any]) -> Document:
    base_local, base_remote, local, remote = (
        read_document(body) if body is not None else None
        for body in (shown.base_local, shown.base_remote, shown.local, shown.remote)
    )
    assert local is not None and remote is not None
    merged = merge(
        shown.conflict.resource_type,
        base_local=base_local,
        base_remote=base_remote,
        local=local,
        remote=remote,
        capability=EVERYTHING,
        choices=choices,
    )
    return merged.local


def _value(shown: ShownConflict, name: str, choice: Choice) -> Any:
    unit = next(unit for unit in shown.open_units if unit.unit == name)
    texts = {"local": unit.local, "remote": unit.remote, "value": choice.value}
    return from_json(texts[choice.side])


def _errors(shown: ShownConflict, body: bytes, thorough: bool) -> list[Issue]:
    judge = explain if thorough else check_structure
    issues = judge(body, shown.conflict.resource_type)
    return [issue for issue in issues if issue.severity is ErrorSeverity.ERROR]
