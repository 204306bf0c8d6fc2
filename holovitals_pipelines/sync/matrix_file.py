"""The severity matrix as it is written: rules, floors, escalators, and who signed it (docs/conflicts.md).

Law: an unknown key, type or severity is refused with its line; the last rule matches everything, and no other does.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType
from holovitals_pipelines.model.yaml_lines import Lined, Path, read_yaml
from holovitals_pipelines.sync.escalators import Escalators
from holovitals_pipelines.sync.unit_paths import WHOLE, UnitPattern

RESERVED_NAMES = frozenset({"format-only", "no-unit-in-conflict", *Escalators.model_fields})
"""Rule names that a grade gives without a rule of the file."""


def one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(one_or_many), Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SignOff(_Strict):
    """`signed` needs who, in which role, and when."""

    status: Literal["unsigned", "signed"]
    role: str = "clinical-safety officer"
    by: str | None = None
    on: date | None = None


class Change(_Strict):
    version: str
    on: date
    what: str


class Rule(_Strict):
    """Severity of the units it means, on resources whose documents have one of the values at each `when` path."""

    name: Name
    resource: Listed
    units: Listed
    when: dict[str, Listed] = Field(default_factory=dict)
    severity: ConflictSeverity
    two_person: bool = False
    why: str


class Floor(_Strict):
    """No conflict of these types on these resources is less severe."""

    name: Name
    types: Annotated[tuple[ConflictType, ...], BeforeValidator(one_or_many), Field(min_length=1)]
    resource: Listed
    when: dict[str, Listed] = Field(default_factory=dict)
    severity: ConflictSeverity
    two_person: bool = False


class MatrixFile(_Strict):
    version: str = Field(min_length=1, max_length=60)
    sign_off: SignOff
    change_log: tuple[Change, ...] = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(min_length=1)
    floors: tuple[Floor, ...] = ()
    escalators: Escalators
    unit_synonyms: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()


def read_matrix(text: str, place: str) -> MatrixFile:
    """Raises ConfigurationError naming `place` and the line of everything that is wrong."""
    lined = read_yaml(
        text, place=place, code="severity.invalid", remedy="see docs/conflicts.md for how the matrix is written"
    )
    file = lined.validated(MatrixFile)
    _check_sign_off(file, lined)
    _check_names(file, lined)
    _check_types(file, lined)
    _check_units(file, lined)
    _check_last_rule(file, lined)
    return file


def _check_sign_off(file: MatrixFile, lined: Lined) -> None:
    if file.change_log[0].version != file.version:
        raise lined.refusal(("change_log", 0), "the newest entry comes first and names the version of the file")
    if file.sign_off.status == "signed" and not (file.sign_off.by and file.sign_off.on):
        raise lined.refusal(("sign_off",), "a signed matrix says by whom and on which day")


def _check_names(file: MatrixFile, lined: Lined) -> None:
    named: list[tuple[Path, str]] = [
        *((("rules", index, "name"), rule.name) for index, rule in enumerate(file.rules)),
        *((("floors", index, "name"), floor.name) for index, floor in enumerate(file.floors)),
    ]
    seen = set(RESERVED_NAMES)
    for path, name in named:
        if name in seen:
            raise lined.refusal(path, f"{name!r} is the name of another rule")
        seen.add(name)


def _check_types(file: MatrixFile, lined: Lined) -> None:
    named: list[tuple[Path, tuple[str, ...]]] = [
        *((("rules", index, "resource"), rule.resource) for index, rule in enumerate(file.rules)),
        *((("floors", index, "resource"), floor.resource) for index, floor in enumerate(file.floors)),
        (("escalators", "high_alert_drug", "resources"), file.escalators.high_alert_drug.resources),
        (("escalators", "numeric_result", "resources"), file.escalators.numeric_result.resources),
    ]
    for path, resources in named:
        for resource in resources:
            if resource != WHOLE and resource not in RESOURCE_TYPES:
                raise lined.refusal(path, f"{resource!r} is no resource type of FHIR R4")


def _check_units(file: MatrixFile, lined: Lined) -> None:
    for index, rule in enumerate(file.rules):
        if any(UnitPattern(text).names_keys for text in rule.units):
            raise lined.refusal(("rules", index, "units"), "rules mean elements, never list items by their keys")


def _check_last_rule(file: MatrixFile, lined: Lined) -> None:
    catching = [
        index
        for index, rule in enumerate(file.rules)
        if WHOLE in rule.resource and WHOLE in rule.units and not rule.when
    ]
    if catching != [len(file.rules) - 1]:
        where = catching[0] if catching else len(file.rules) - 1
        raise lined.refusal(("rules", where), "the last rule, and no other, is for resource '*' and units '*'")
