"""What raises a conflict to CRITICAL whatever its elements' rules say (sync-protocol.md §4.3); the lists are data.

Law: an escalator only raises; where sides cannot be compared for certain it raises rather than trusts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.concepts import codes, codings, dicts, element_of
from holovitals_pipelines.sync.merge import Unit
from holovitals_pipelines.sync.quantities import decimal_of, differ_by_more_than, unit_names
from holovitals_pipelines.sync.unit_paths import is_group, places

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DrugClass(_Strict):
    """A class of high-alert drugs: RxNorm codes, and names with `*` as wildcard, letter case ignored."""

    name: str
    rxnorm: tuple[str, ...] = ()
    names: Names


class HighAlertDrugs(_Strict):
    resources: Names
    classes: tuple[DrugClass, ...]


class AllergyCriticality(_Strict):
    codes: Names


class StatusCrossing(_Strict):
    """One side says it stands, the other that it has ended."""

    elements: Names
    standing: Names
    ended: Names


class NumericResult(_Strict):
    resources: Names
    percent: Decimal = Field(gt=0)


class PatientReference(_Strict):
    elements: Names


class Overlay(_Strict):
    conflicts_on_patient: int = Field(ge=1)
    """More than this many on one patient in one run."""


class Escalators(_Strict):
    high_alert_drug: HighAlertDrugs
    allergy_criticality: AllergyCriticality
    status_crossing: StatusCrossing
    numeric_result: NumericResult
    patient_reference: PatientReference
    overlay: Overlay


@dataclass(frozen=True, slots=True)
class Sides:
    """The documents around a conflict; a side that was deleted or never there has none."""

    local: Document | None
    remote: Document | None
    base: Document | None

    def __iter__(self) -> Iterator[Document]:
        return (document for document in (self.local, self.remote, self.base) if document is not None)


def high_alert(rules: HighAlertDrugs, resource_type: str, sides: Sides) -> bool:
    """Whether any side's drug is of a high-alert class."""
    if resource_type not in rules.resources:
        return False
    return any(_is_of(drug, document) for document in sides for drug in rules.classes)


def _is_of(drug: DrugClass, document: Document) -> bool:
    concepts = [document.get(name) for name in ("medicationCodeableConcept", "medicationReference", "code")]
    concepts += [held.get("code") for held in dicts(document.get("contained"))]
    coded = [coding for concept in concepts for coding in codings(concept)]
    if any("rxnorm" in str(coding.get("system", "")).lower() and coding.get("code") in drug.rxnorm for coding in coded):
        return True
    called = [coding.get("display") for coding in coded]
    called += [concept.get(key) for concept in concepts if isinstance(concept, dict) for key in ("text", "display")]
    pattern = _name_pattern(drug.names)
    return any(pattern.search(text.casefold()) for text in called if isinstance(text, str))


@lru_cache(maxsize=256)
def _name_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the names, as whole words; `*` stands for a part of a word."""
    either = "|".join(re.escape(name.casefold()).replace(r"\*", r"\w*") for name in names)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)")


def severe_allergy(rules: AllergyCriticality, sides: Sides) -> bool:
    """Whether any side calls the allergy's criticality high."""
    return any(document.get("criticality") in rules.codes for document in sides)


def crosses_status(rules: StatusCrossing, unit: Unit) -> bool:
    """Whether one side's status stands and the other's has ended."""
    for element in rules.elements:
        if (element,) in places(unit):
            local, remote = (codes(element_of(value, element)) for value in (unit.local, unit.remote))
            for one, other in ((local, remote), (remote, local)):
                if one & set(rules.standing) and other & set(rules.ended):
                    return True
    return False


def moves_patient(rules: PatientReference, sides: Sides) -> bool:
    """Whether the sides say different things about who the resource is about."""
    if sides.local is None or sides.remote is None:
        return False
    return any(_target(sides.local.get(name)) != _target(sides.remote.get(name)) for name in rules.elements)


def _target(reference: Any) -> Any:
    """What a reference points at: type and id of a literal one without server and version, else all of it."""
    literal = reference.get("reference") if isinstance(reference, dict) else None
    if not isinstance(literal, str):
        return reference
    found = re.search(r"([A-Z][A-Za-z]+)/([^/]+?)(?:/_history/[^/]+)?$", literal)
    return found.groups() if found else literal


def changes_result(
    rules: NumericResult, unit: Unit, resource_type: str, sides: Sides, synonyms: Mapping[str, str]
) -> bool:
    """Whether a numeric result differs by more than the percentage, crosses a reference limit, or changes its unit."""
    if resource_type not in rules.resources:
        return False
    ranges = [limit for document in sides for limit in dicts(document.get("referenceRange"))]
    return any(
        _result_changed(rules.percent, local, remote, [*_limits(local), *_limits(remote), *around], synonyms)
        for local, remote, around in _results(unit, ranges)
    )


def _results(unit: Unit, ranges: list[Any]) -> Iterator[tuple[Any, Any, list[Any]]]:
    """The pairs of result holders to compare: (local, remote, the reference ranges around them)."""
    if unit.element == "component":
        ours, theirs = _by_code(unit.local), _by_code(unit.remote)
        for key in ours.keys() & theirs.keys():
            yield ours[key], theirs[key], []
    elif is_group(unit.name):
        yield unit.local, unit.remote, ranges


def _by_code(value: Any) -> dict[Any, Any]:
    """Components by what they measure; a single one (the unit is one item of the list) by nothing."""
    if isinstance(value, list):
        return {codes(item.get("code")): item for item in dicts(value)}
    return {(): value}


def _result_changed(percent: Decimal, local: Any, remote: Any, ranges: list[Any], synonyms: Mapping[str, str]) -> bool:
    ours, theirs = _quantity(local), _quantity(remote)
    one, other = decimal_of(ours.get("value")), decimal_of(theirs.get("value"))
    if one is None or other is None:
        return False
    our_unit, their_unit = unit_names(ours, synonyms), unit_names(theirs, synonyms)
    if (our_unit and their_unit and not our_unit & their_unit) or ours.get("comparator") != theirs.get("comparator"):
        return True
    known = our_unit | their_unit
    return differ_by_more_than(one, other, percent) or any(
        _beyond(one, limits, known, synonyms) != _beyond(other, limits, known, synonyms) for limits in ranges
    )


def _beyond(value: Decimal, limits: Mapping[str, Any], units: frozenset[str], synonyms: Mapping[str, str]) -> int:
    """-1 below a reference range, 1 above it, 0 within; a limit in another unit limits nothing."""
    low, high = (_bound(limits.get(name), units, synonyms) for name in ("low", "high"))
    if low is not None and value < low:
        return -1
    return 1 if high is not None and value > high else 0


def _bound(limit: Any, units: frozenset[str], synonyms: Mapping[str, str]) -> Decimal | None:
    if not isinstance(limit, dict):
        return None
    named = unit_names(limit, synonyms)
    return decimal_of(limit.get("value")) if not named or not units or named & units else None


def _quantity(holder: Any) -> Mapping[str, Any]:
    if not isinstance(holder, dict):
        return {}
    quantity = holder.get("valueQuantity", {"value": holder.get("valueInteger")})
    return quantity if isinstance(quantity, dict) else {}


def _limits(holder: Any) -> list[Any]:
    return dicts(holder.get("referenceRange")) if isinstance(holder, dict) else []
