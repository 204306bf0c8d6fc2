"""How much harm the wrong value could do: severity by resource type, unit, values and conflict type, from YAML.

Law: no element of the ten core types is graded by the catch-all rule (sync-protocol.md §4.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Any

from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync import escalators
from holovitals_pipelines.sync.escalators import Sides
from holovitals_pipelines.sync.format_only import format_only
from holovitals_pipelines.sync.matrix_file import Floor, MatrixFile, Rule, read_matrix
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.quantities import synonym_table
from holovitals_pipelines.sync.unit_paths import WHOLE, UnitPattern, members, places

_RANK = {severity: rank for rank, severity in enumerate(("LOW", "MEDIUM", "HIGH", "CRITICAL"))}


@dataclass(frozen=True, slots=True)
class Case:
    """What is graded: the units in conflict, and the documents around them (None: deleted or never there)."""

    resource_type: str
    conflict_type: ConflictType
    units: Sequence[Unit]
    local: Document | None
    remote: Document | None
    base: Document | None
    conflicts_on_patient: int = 1
    """Conflicts on this patient in this run, this one among them."""


@dataclass(frozen=True, slots=True)
class GradedUnit:
    severity: ConflictSeverity
    rule: str
    """The matrix rule that fired, or the escalator that raised it: names, never values."""


@dataclass(frozen=True, slots=True)
class Grade:
    severity: ConflictSeverity
    units: Mapping[str, GradedUnit] = field(default_factory=dict)
    """By unit name."""
    rule: str = ""
    """What decided the whole: the worst unit's rule, a floor, or an escalator."""
    two_person: bool = False
    """A person's decision counts only when a second person has approved it (identity)."""
    suspected_overlay: bool = False
    """So many conflicts on one patient that identities may have been mixed up: hold all of the patient's links."""


class SeverityMatrix:
    """A loaded matrix; `version` is what it calls itself and a hash of its text."""

    version: str

    def __init__(self, file: MatrixFile, version: str) -> None:
        self.version = version
        self._file = file
        self._synonyms = synonym_table(file.unit_synonyms)
        self._candidates = lru_cache(maxsize=4096)(partial(_candidates, file.rules))

    @property
    def signed_off(self) -> bool:
        """Whether a clinical-safety officer has signed this version."""
        return self._file.sign_off.status == "signed"

    def grade(self, case: Case) -> Grade:
        """Every unit's severity by the first rule that matches it, lowered where only the form differs, then raised by
        floors and escalators; the whole is as severe as its worst part. Deterministic, raises nothing."""
        ruled = {unit.name: self._ruled(case, unit) for unit in case.units}
        formal = {
            unit.name for unit in case.units if format_only(unit, self._synonyms) and not ruled[unit.name].two_person
        }
        graded = {
            name: GradedUnit(ConflictSeverity.LOW, "format-only")
            if name in formal
            else GradedUnit(rule.severity, rule.name)
            for name, rule in ruled.items()
        }
        floors = [floor for floor in self._file.floors if _floor_applies(floor, case)]
        raises = [(floor.name, floor.severity, set(graded)) for floor in floors]
        raises += [(name, ConflictSeverity.CRITICAL, names) for name, names in self._escalated(case, formal)]
        whole = max(graded.values(), key=_rank, default=GradedUnit(ConflictSeverity.LOW, "no-unit-in-conflict"))
        for rule, severity, names in raises:
            raised = GradedUnit(severity, rule)
            whole = max(whole, raised, key=_rank)
            graded |= {name: max(graded[name], raised, key=_rank) for name in names}
        return Grade(
            severity=whole.severity,
            units=graded,
            rule=whole.rule,
            two_person=any(rule.two_person for rule in ruled.values()) or any(floor.two_person for floor in floors),
            suspected_overlay=self._is_overlay(case),
        )

    @property
    def overlay_limit(self) -> int:
        """More conflicts than this on one patient in one run are held: identities may have been mixed up."""
        return self._file.escalators.overlay.conflicts_on_patient

    def _is_overlay(self, case: Case) -> bool:
        return case.conflicts_on_patient > self.overlay_limit

    def _ruled(self, case: Case, unit: Unit) -> Rule:
        sides = (case.local, case.remote, case.base)
        documents = [document for document in sides if document is not None]
        parts = _updated_elements(unit) if unit.name == WHOLE else (unit,)
        met = [self._first(case.resource_type, place, part, documents) for part in parts for place in places(part)]
        return _worst(met) if met else self._file.rules[-1]

    def _first(
        self, resource_type: str, place: tuple[str, ...], unit: Unit | None, documents: Sequence[Document]
    ) -> Rule:
        for rule, parts in self._candidates(resource_type, place):
            meant = not parts or (unit is not None and any(part.differs_within(place, unit) for part in parts))
            if meant and _holds(rule.when, documents):
                return rule
        raise AssertionError("the last rule matches everything")

    def _escalated(self, case: Case, formal: set[str]) -> Iterator[tuple[str, set[str]]]:
        """(escalator, the units it raises); an escalator of the whole case raises every unit."""
        rules, sides = self._file.escalators, Sides(case.local, case.remote, case.base)
        everything = {unit.name for unit in case.units}
        substantial = everything - formal
        if self._is_overlay(case):
            yield "overlay", everything
        if escalators.moves_patient(rules.patient_reference, sides):
            yield "patient_reference", everything
        if substantial and escalators.high_alert(rules.high_alert_drug, case.resource_type, sides):
            yield "high_alert_drug", substantial
        if substantial and escalators.severe_allergy(rules.allergy_criticality, sides):
            yield "allergy_criticality", substantial
        of_unit: Mapping[str, Callable[[Unit], bool]] = {
            "status_crossing": lambda unit: escalators.crosses_status(rules.status_crossing, unit),
            "numeric_result": lambda unit: escalators.changes_result(
                rules.numeric_result, unit, case.resource_type, sides, self._synonyms
            ),
        }
        for name, raises in of_unit.items():
            raised = {unit.name for unit in case.units if raises(unit)}
            if raised:
                yield name, raised


def _rank(graded: GradedUnit) -> int:
    return _RANK[graded.severity]


def _worst(rules: Iterable[Rule]) -> Rule:
    """The most severe; of equals one that asks for two persons."""
    return max(rules, key=lambda rule: (_RANK[rule.severity], rule.two_person))


def _candidates(
    rules: Sequence[Rule], resource_type: str, place: tuple[str, ...]
) -> tuple[tuple[Rule, tuple[UnitPattern, ...]], ...]:
    """The rules that can mean the place, in order; with those patterns, if any, that mean only parts of it."""
    found: list[tuple[Rule, tuple[UnitPattern, ...]]] = []
    for rule in rules:
        if _of_type(rule.resource, resource_type):
            patterns = [UnitPattern(text) for text in rule.units]
            parts = tuple(pattern for pattern in patterns if pattern.reaches_into(place))
            if any(pattern.text == WHOLE or pattern.covers(place) for pattern in patterns):
                found.append((rule, ()))
            elif parts:
                found.append((rule, parts))
    return tuple(found)


def _floor_applies(floor: Floor, case: Case) -> bool:
    documents = [document for document in (case.local, case.remote, case.base) if document is not None]
    return (
        case.conflict_type in floor.types
        and _of_type(floor.resource, case.resource_type)
        and _holds(floor.when, documents)
    )


def _of_type(resources: Sequence[str], resource_type: str) -> bool:
    return WHOLE in resources or resource_type in resources


def _holds(when: Mapping[str, Sequence[str]], documents: Sequence[Document]) -> bool:
    """Whether each field has one of its values in any of the documents: what one side has reported is reported."""
    return all(
        any(value in wanted for document in documents for value in _values_at(document, path.split(".")))
        for path, wanted in when.items()
    )


def _values_at(value: Any, steps: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _values_at(item, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _values_at(value[steps[0]], steps[1:])


def _updated_elements(whole: Unit) -> Iterator[Unit]:
    """What the side that kept its content had changed, element by element: that is what the delete would take."""
    kept, base = (whole.local, whole.base_local) if whole.local is not MISSING else (whole.remote, whole.base_remote)
    then = base if isinstance(base, dict) else {}
    now = kept if isinstance(kept, dict) else {}
    for element in sorted((now.keys() | then.keys()) - {"resourceType"}):
        before, after = then.get(element, MISSING), now.get(element, MISSING)
        if before != after:
            yield replace(
                whole,
                name=element.lstrip("_"),
                element=element.lstrip("_"),
                base_local=before,
                base_remote=before,
                local=after,
                remote=before,
            )


def load_matrix(text: str, place: str) -> SeverityMatrix:
    """Raises ConfigurationError naming `place` and the line."""
    file = read_matrix(text, place)
    return SeverityMatrix(file, f"{file.version}+{hashlib.sha256(text.encode()).hexdigest()[:12]}")


@cache
def default_matrix() -> SeverityMatrix:
    """The matrix this package ships."""
    return load_matrix(
        files("holovitals_pipelines.sync").joinpath("severity.yml").read_text(encoding="utf-8"), "severity.yml"
    )


def rule_of(matrix: SeverityMatrix, resource_type: str, unit: str, document: Document | None) -> tuple[str, Any]:
    """(rule name, severity) that a unit meets, without floors and escalators: for tables and tests."""
    documents = [document] if document is not None else []
    rule = _worst(matrix._first(resource_type, place, None, documents) for place in members(unit))
    return rule.name, rule.severity
