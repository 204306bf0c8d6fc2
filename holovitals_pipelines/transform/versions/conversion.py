"""From a resource of FHIR STU3 or DSTU2 to the same of R4, by the tables of its version.

Law: every value of the source is in the result: in R4's element, in the cross-version extension that HL7 defines for
what R4 dropped, or, where no extension can hold it, in the one extension of the unmapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from holovitals_pipelines.fhir.resource_types import RESOURCE_TYPES
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.unmapped import UNMAPPED, keep_unmapped
from holovitals_pipelines.transform.versions import dstu2, stu3
from holovitals_pipelines.transform.versions.changes import Changes, apply
from holovitals_pipelines.transform.versions.common import Substitute
from holovitals_pipelines.transform.versions.systems import system_in_r4
from holovitals_pipelines.transform.versions.target import ABSENT, Member, Report, Target


@dataclass(frozen=True, slots=True)
class Converted:
    """The resource in R4, and what could not be converted as (code, path): never values."""

    document: Document
    findings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Version:
    resources: Mapping[str, Changes]
    datatypes: Mapping[str, Changes]
    """What changes in values of extensions, by data type."""
    renamed: Mapping[str, str]
    """Resource types with another name in R4."""
    extension_base: str
    missing: Mapping[str, tuple[Substitute, ...]]


_VERSIONS = {
    SourceFormat.FHIR_STU3: _Version(stu3.RESOURCES, stu3.DATATYPES, {}, stu3.EXTENSION, stu3.MISSING),
    SourceFormat.FHIR_DSTU2: _Version(dstu2.RESOURCES, dstu2.DATATYPES, dstu2.RENAMED, dstu2.EXTENSION, dstu2.MISSING),
}

CONVERTED_TYPES: Mapping[SourceFormat, frozenset[str]] = MappingProxyType(
    {source_format: frozenset(version.resources) for source_format, version in _VERSIONS.items()}
)
"""The resource types that are converted, by the names that their version has for them."""


def to_r4(document: Document, source_format: SourceFormat) -> Converted:
    """The resource in R4; the source stays as it is. Elements that already have R4's name and form are left alone.

    Raises ConfigurationError for types outside `CONVERTED_TYPES` and for other formats; nothing of the source is used
    up by that.
    """
    version = _VERSIONS.get(source_format)
    if version is None:
        raise ConfigurationError(
            f"{source_format} is no older version of FHIR",
            code="version.unsupported_format",
            remedy="Set the connection's format to FHIR_STU3 or FHIR_DSTU2, or leave it out.",
        )
    resource_type = document.get("resourceType")
    resource_type = resource_type if type(resource_type) is str else ""
    if resource_type not in version.resources:
        raise ConfigurationError(
            "there is no conversion to FHIR R4 for this resource type",
            code="version.unsupported_type",
            place=f"{source_format} {resource_type}" if resource_type in _NAMED else str(source_format),
            remedy="Leave the type out of the connection's resources; docs/fhir-versions.md lists what is converted.",
        )
    report = Report(version.extension_base)
    made = _convert(_with_datatypes(document, version, report, resource_type), version, report, resource_type)
    return Converted(_with_rest(made, report), tuple(report.findings))


def _with_rest(made: Document, report: Report) -> Document:
    """With the unmapped rest in its extension; one that the source brought along is kept within it."""
    if not report.rest:
        return made
    extensions = made.get("extension", [])
    if type(extensions) is not list:
        report.keep("extension", extensions)
        made, extensions = {**made, "extension": []}, []
    earlier = [item for item in extensions if type(item) is dict and item.get("url") == UNMAPPED]
    if earlier:
        report.keep(UNMAPPED, earlier)
    return keep_unmapped(made, report.rest)


_NAMED = RESOURCE_TYPES | frozenset(dstu2.RENAMED)
"""Type names that a message may repeat; another may be anything."""


def _convert(source: Document, version: _Version, report: Report, place: str) -> Document:
    resource_type = source["resourceType"]

    def contained(target: Target, member: Member) -> None:
        _contained(target, member, version)

    changes = {**version.resources[resource_type], "contained": contained}
    made = apply(changes, Target(place, source, report))
    made["resourceType"] = version.renamed.get(resource_type, resource_type)
    for missing in version.missing.get(resource_type, ()):
        if not any(name in made or f"_{name}" in made for name in missing.names):
            made[missing.member] = missing.value()
            report.find(ABSENT, f"{place}.{missing.names[0]}")
    return made


def _contained(target: Target, member: Member, version: _Version) -> None:
    """Resources within are converted too. Unlike the outer one they may be of any type, and stay as they are then."""
    if type(member.value) is not list:
        target.put(member.name, member.value, member.companion)
        return
    for index, inner in enumerate(member.value):
        place = f"{member.place}[{index}]"
        name = inner.get("resourceType") if type(inner) is dict else None
        if name in version.resources:
            target.put("contained", [_convert(inner, version, target.report, f"{place}/{name}")])
            continue
        target.report.find("version.unsupported_type", place)
        if name in RESOURCE_TYPES:
            target.put("contained", [inner])
        else:
            target.leave(Member(member.name, inner, None, place))


def _with_datatypes(value: Any, version: _Version, report: Report, place: str) -> Any:
    """With the changes that concern codings and extensions wherever they stand."""
    if type(value) is list:
        return [_with_datatypes(item, version, report, f"{place}[{index}]") for index, item in enumerate(value)]
    if type(value) is not dict:
        return value
    made = {name: _with_datatypes(inner, version, report, f"{place}.{name}") for name, inner in value.items()}
    system = made.get("system")
    if type(system) is str:
        made["system"] = system_in_r4(system)
    return _extension(made, version, report, place) if type(made.get("url")) is str else made


def _extension(extension: Document, version: _Version, report: Report, place: str) -> Document:
    made: Document = {}
    for name, value in extension.items():
        changes = version.datatypes.get(name.removeprefix("value")) if name.startswith("value") else None
        if changes is not None and type(value) is dict:
            made[name] = apply(changes, Target(f"{place}.{name}", value, report))
        elif name == "valueMoney" and type(value) is dict and "currency" not in value:
            # It was a Quantity before R4, whose unit may be no currency.
            made["valueQuantity"] = value
        else:
            made[name] = value
    return made
