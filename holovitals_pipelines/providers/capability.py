"""What a FHIR server says of itself, and a clear word when it is not FHIR R4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.json_patch import MEDIA_TYPE as JSON_PATCH

_NUMBERS = {SourceFormat.FHIR_R4: "4.0", SourceFormat.FHIR_STU3: "3.0", SourceFormat.FHIR_DSTU2: "1.0"}
"""What `fhirVersion` begins with."""
_RELEASES = {"0": "DSTU2", "1": "DSTU2", "3": "STU3", "4.3": "R4B", "5": "R5", "6": "R6"}


class _Named(msgspec.Struct):
    name: str = ""
    code: str = ""
    definition: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    type: str = ""
    versioning: str = ""
    conditional_create: bool = False
    interaction: list[_Named] = []
    search_param: list[_Named] = []
    operation: list[_Named] = []


class _Rest(msgspec.Struct, rename="camel"):
    mode: str = "server"
    resource: list[_Resource] = []
    search_param: list[_Named] = []
    operation: list[_Named] = []


class _Head(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    fhir_version: str | None = None


class _Statement(msgspec.Struct, rename="camel"):
    software: _Named | None = None
    instantiates: list[str] = []
    patch_format: list[str] = []
    rest: list[_Rest] = []


@dataclass(frozen=True, slots=True)
class TypeCapability:
    """What one resource type offers; `versioning` is the statement's own word, empty where it has none."""

    searchable: bool
    readable: bool
    search_params: frozenset[str]
    creatable: bool = False
    updatable: bool = False
    patchable: bool = False
    """By JSON Patch; other formats of patches are not spoken here."""
    deletable: bool = False
    conditional_create: bool = False
    versioning: str = ""


@dataclass(frozen=True, slots=True)
class Capability:
    """`exports` holds the levels at which $export is offered: `system`, `patient`, `group`."""

    software: str
    types: Mapping[str, TypeCapability]
    exports: frozenset[str]


def read_capability(answer: Answer, *, place: str, release: SourceFormat = SourceFormat.FHIR_R4) -> Capability:
    """A server's CapabilityStatement (DSTU2: Conformance). Raises ConfigurationError when it is not `release`'s."""
    if answer.looks_like_html():
        raise _refuse("the server answered a web page where its FHIR CapabilityStatement should be", place)
    try:
        # The head alone first: older releases shape the rest otherwise, and are to be named, not called broken.
        head = msgspec.json.decode(answer.body, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _refuse("the server's answer is not a FHIR CapabilityStatement", place) from None
    version = head.fhir_version or ""
    if head.resource_type not in ("CapabilityStatement", "Conformance"):
        raise _refuse("the server answered JSON, but not a FHIR CapabilityStatement", place)
    if (head.resource_type == "Conformance") is not (release is SourceFormat.FHIR_DSTU2) or not version.startswith(
        _NUMBERS[release]
    ):
        spoken = _RELEASES.get(version[:3]) or _RELEASES.get(version[:1]) or ("R4" if version[:1] == "4" else None)
        told = f"FHIR {spoken or 'no release it names'} ({_printable(version) or 'version not given'})"
        raise _refuse(f"the server speaks {told}, not {release.removeprefix('FHIR_')}", place, spoken)
    try:
        statement = msgspec.json.decode(answer.body, type=_Statement)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _refuse("the server's CapabilityStatement is not shaped as FHIR R4 says", place) from None
    rest = next((part for part in statement.rest if part.mode == "server"), None)
    if rest is None:
        raise _refuse("the server's CapabilityStatement describes no REST server", place)
    everywhere = frozenset(param.name for param in rest.search_param)
    patches = JSON_PATCH in statement.patch_format
    return Capability(
        software=statement.software.name if statement.software else "",
        types={
            resource.type: _type_capability(resource, everywhere, patches=patches)
            for resource in rest.resource
            if resource.type
        },
        exports=_export_levels(rest) or _presumed_levels(statement),
    )


def _type_capability(resource: _Resource, everywhere: frozenset[str], *, patches: bool) -> TypeCapability:
    interactions = {interaction.code for interaction in resource.interaction}
    return TypeCapability(
        searchable="search-type" in interactions,
        readable="read" in interactions,
        search_params=everywhere | {param.name for param in resource.search_param},
        creatable="create" in interactions,
        updatable="update" in interactions,
        patchable=patches and "patch" in interactions,
        deletable="delete" in interactions,
        conditional_create=resource.conditional_create,
        versioning=resource.versioning,
    )


def _export_levels(rest: _Rest) -> frozenset[str]:
    levels: set[str] = set()
    if any(_is_export(operation) for operation in rest.operation):
        levels.add("system")
    for resource in rest.resource:
        if resource.type in ("Patient", "Group") and any(_is_export(operation) for operation in resource.operation):
            levels.add(resource.type.lower())
    # Some servers list all three in one place; the definition tells them apart.
    definitions = {operation.definition.rsplit("/", 1)[-1].partition("|")[0] for operation in rest.operation}
    levels |= {level for level in ("patient", "group") if f"{level}-export" in definitions}
    if "system" in levels and definitions & {"patient-export", "group-export"} and "export" not in definitions:
        levels.discard("system")
    return frozenset(levels)


def _presumed_levels(statement: _Statement) -> frozenset[str]:
    # Servers may say that they do Bulk Data without saying at which level: then asking is how to find out.
    bulk = any(canonical.partition("|")[0].endswith("/bulk-data") for canonical in statement.instantiates)
    return frozenset({"system", "patient", "group"}) if bulk else frozenset()


def _is_export(operation: _Named) -> bool:
    return operation.name.lstrip("$").removeprefix("patient-").removeprefix("group-") == "export"


def _printable(version: str) -> str:
    return "".join(character for character in version[:20] if character.isalnum() or character in ".-")


def _refuse(message: str, place: str, spoken: str | None = None) -> ConfigurationError:
    remedy = "set base_url to the vendor's FHIR R4 base: the address whose /metadata answers fhirVersion 4.0.1"
    if spoken in ("STU3", "DSTU2"):
        remedy += f"; where there is none, format: FHIR_{spoken} reads this one (docs/fhir-versions.md)"
    return ConfigurationError(message, code="fhir.not_r4", place=place, remedy=remedy)
