"""Thresholds of the quality claims: what is shipped, and what an installation's quality.yml says otherwise.

Law: a row that names a claim, a type or a range that cannot be meant is refused with its line; what is about the shape
of a batch has no threshold.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.vocabulary import ErrorSeverity
from holovitals_pipelines.model.yaml_lines import Lined, read_yaml
from holovitals_pipelines.quality.expectations import Expectation, ValueRange
from holovitals_pipelines.quality.suites import IDENTIFIERS, VOLUME, claim_names, gate_claims_for, reported_for


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Globs = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class SignOff(_Strict):
    status: Literal["unsigned", "signed"]
    role: str = "clinical-safety officer"
    by: str | None = None
    on: date | None = None


class VolumeLimits(_Strict):
    """A complete read is compared with the median of the newest `jobs` before it, where that is `at_least` rows."""

    jobs: Annotated[int, Field(ge=1, le=100)] = 5
    at_least: Annotated[int, Field(ge=1)] = 50
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    most_times: Annotated[float, Field(ge=1)] = 5.0


class ClaimRow(_Strict):
    """What is different for the claims that match; what is left out stays as it is."""

    claim: Globs
    connection: Globs = ("*",)
    resource_type: Globs = ("*",)
    tolerance: Annotated[float, Field(ge=0, le=1)] | None = None
    severity: ErrorSeverity | None = None
    holds_write_back: bool | None = None
    off: bool = False


class FileRange(_Strict):
    loinc: Annotated[str, Field(pattern=r"^\d{1,7}-\d$")]
    unit: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[!-~]+$")]
    low: float
    high: float
    name: str = ""
    source: str = ""


class CodeSystems(_Strict):
    """Code systems by their URIs; `only`: no other counts for these types, not even a shipped one."""

    resource_type: Globs
    systems: Annotated[tuple[Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)], ...], Field(min_length=1)]
    only: bool = False
    source: str = ""


class QualityFile(_Strict):
    version: str = Field(min_length=1, max_length=60)
    sign_off: SignOff = SignOff(status="unsigned")
    volume: VolumeLimits = VolumeLimits()
    claims: tuple[ClaimRow, ...] = ()
    values: tuple[FileRange, ...] = ()
    systems: tuple[CodeSystems, ...] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What claims are held to in this installation."""

    version: str
    volume: VolumeLimits
    rows: tuple[ClaimRow, ...]
    ranges: tuple[ValueRange, ...]
    systems: tuple[CodeSystems, ...] = ()

    def known_systems(self, resource_type: str) -> tuple[str, ...]:
        """The code systems that are known for the type, by their URIs; one that ends with `*` is a beginning."""
        known: dict[str, None] = {}
        for row in self.systems:
            if any(fnmatchcase(resource_type, glob) for glob in row.resource_type):
                known = dict.fromkeys((*(() if row.only else known), *row.systems))
        return tuple(known)

    def reported(self, connection: str, resource_type: str) -> tuple[Expectation, ...]:
        """The claims about rows, as this connection is held to them."""
        return self._applied(connection, resource_type, reported_for(resource_type))

    def gate(self, connection: str, resource_type: str) -> tuple[Expectation, ...]:
        """The claims about whole batches that the engine judges before it writes back."""
        return self._applied(connection, resource_type, gate_claims_for(resource_type))

    def holding(self, connection: str, resource_type: str) -> tuple[Expectation, ...]:
        """The claims that, where they fail, keep the type from being written back."""
        claims = (*self.gate(connection, resource_type), *self.reported(connection, resource_type))
        return tuple(claim for claim in claims if claim.holds_write_back)

    @property
    def names_that_may_hold(self) -> frozenset[str]:
        """Claims that hold write-back somewhere: what else failed need not be looked up."""
        globs = [glob for row in self.rows if row.holds_write_back for glob in row.claim]
        shipped = {VOLUME.name, IDENTIFIERS.name}
        return frozenset(
            name for name in claim_names() if name in shipped or any(fnmatchcase(name, glob) for glob in globs)
        )

    def _applied(self, connection: str, resource_type: str, claims: Sequence[Expectation]) -> tuple[Expectation, ...]:
        found = (self._one(connection, resource_type, claim) for claim in claims)
        return tuple(claim for claim in found if claim is not None)

    def _one(self, connection: str, resource_type: str, claim: Expectation) -> Expectation | None:
        if claim.column.kind == "in_range":
            claim = replace(claim, column=replace(claim.column, ranges=self.ranges))
        if claim.column.kind == "known_system":
            claim = replace(claim, column=replace(claim.column, systems=self.known_systems(resource_type)))
        off = False
        for row in self.rows:
            if not _matches(row, connection, resource_type, claim.name):
                continue
            off = row.off
            given = row.model_dump(include={"tolerance", "severity", "holds_write_back"}, exclude_none=True)
            claim = replace(claim, **given)
        return None if off else claim


def _matches(row: ClaimRow, connection: str, resource_type: str, claim: str) -> bool:
    named = ((row.claim, claim), (row.connection, connection), (row.resource_type, resource_type))
    return all(any(fnmatchcase(value, glob) for glob in globs) for globs, value in named)


def load_thresholds(text: str, place: str, connections: Container[str] | None = None) -> Thresholds:
    """What `text` says, over what is shipped: a range replaces that of the same code and unit, systems are added.

    Raises ConfigurationError naming `place` and the line.
    """
    file = _read(text, place, connections)
    shipped = default_thresholds()
    ranges = {(one.loinc, one.unit): one for one in (*shipped.ranges, *_ranges(file))}
    volume = file.volume if "volume" in file.model_fields_set else shipped.volume
    systems = (*shipped.systems, *file.systems)
    return Thresholds(file.version, volume, file.claims, tuple(ranges.values()), systems)


@cache
def default_thresholds() -> Thresholds:
    """What this package ships."""
    text = files("holovitals_pipelines.quality").joinpath("quality.yml").read_text(encoding="utf-8")
    file = _read(text, "quality.yml", None)
    return Thresholds(file.version, file.volume, file.claims, _ranges(file), file.systems)


def _ranges(file: QualityFile) -> tuple[ValueRange, ...]:
    return tuple(ValueRange(one.loinc, one.unit, one.low, one.high) for one in file.values)


def _read(text: str, place: str, connections: Container[str] | None) -> QualityFile:
    lined = read_yaml(
        text, place=place, code="quality.invalid", remedy="see docs/quality.md for how thresholds are written"
    )
    file = lined.validated(QualityFile)
    if file.sign_off.status == "signed" and not (file.sign_off.by and file.sign_off.on):
        raise lined.refusal(("sign_off",), "signed thresholds say by whom and on which day")
    for index, row in enumerate(file.claims):
        _check_row(row, index, lined, connections)
    for index, systems in enumerate(file.systems):
        _check_types(systems.resource_type, ("systems", index, "resource_type"), lined)
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(file.values):
        if not one.low < one.high:
            raise lined.refusal(("values", index), "low is less than high")
        if (one.loinc, one.unit) in seen:
            raise lined.refusal(("values", index), f"{one.loinc} in {one.unit} is written twice")
        seen.add((one.loinc, one.unit))
    return file


def _check_row(row: ClaimRow, index: int, lined: Lined, connections: Container[str] | None) -> None:
    known = claim_names()
    for glob in row.claim:
        if not any(fnmatchcase(name, glob) for name in known):
            raise lined.refusal(("claims", index, "claim"), f"no claim with a threshold is called {glob!r}")
    _check_types(row.resource_type, ("claims", index, "resource_type"), lined)
    for glob in row.connection:
        if connections is not None and "*" not in glob and glob not in connections:
            raise lined.refusal(("claims", index, "connection"), f"there is no connection {glob!r}")


def _check_types(globs: Globs, where: tuple[str | int, ...], lined: Lined) -> None:
    for glob in globs:
        if "*" not in glob and glob not in RESOURCE_TYPES:
            raise lined.refusal(where, f"{glob!r} is no resource type of FHIR R4")
