"""Connections as the API tells of them: as declared, with their secrets named and never shown; and how a trial went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from holovitals_pipelines.api.shapes.base import AnyJson, Asked, Told
from holovitals_pipelines.engine.probing import Probed
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.urls import redacted
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider

ConnectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$", examples=["clinic"])]
_DECLARED = {
    "provider": "fhir",
    "base_url": "https://ehr.example.org/fhir/r4",
    "auth": {
        "kind": "smart_backend",
        "client_id": "our-client",
        "keys": [{"env": "HOLOVITALS_SECRET_CLINIC_KEY"}],
    },
    "resource_types": ["Patient", "Observation"],
}


class ConnectionEntry(Told):
    name: ConnectionName
    provider: Provider
    base_url: str
    enabled: bool
    owner: str
    authentication: Annotated[str, Field(examples=["smart_backend"])]
    writes: bool
    incremental_cron: str | None

    @classmethod
    def of(cls, one: ConnectionConfig) -> ConnectionEntry:
        return cls(
            name=one.name,
            provider=one.provider,
            base_url=redacted(one.base_url),
            enabled=one.enabled,
            owner=one.owner,
            authentication=one.auth.kind,
            writes=one.write.enabled,
            incremental_cron=one.incremental_cron,
        )


class ConnectionDetail(ConnectionEntry):
    declared: Annotated[
        Mapping[str, AnyJson],
        Field(description="the entry of connections.yaml, every field spelled as there", examples=[_DECLARED]),
    ]

    @classmethod
    def of_declared(cls, one: ConnectionConfig) -> ConnectionDetail:
        declared = one.model_dump(mode="json", exclude_defaults=True) | {"base_url": redacted(one.base_url)}
        return cls(**ConnectionEntry.of(one).model_dump(), declared=declared)


class NewConnection(Asked):
    name: ConnectionName
    declared: Annotated[Mapping[str, AnyJson], Field(examples=[_DECLARED])]


class ChangedConnection(Asked):
    declared: Annotated[
        Mapping[str, AnyJson], Field(description="the whole entry, without its name", examples=[_DECLARED])
    ]


class FindingEntry(Told):
    check: str
    verdict: str
    code: str
    resource_type: str | None
    message: str
    remedy: str | None


class WritesOfType(Told):
    operations: Sequence[str]
    concurrency: str
    restricted: Mapping[str, str]
    finds_own_identifier: bool


class Trial(Told):
    """What came of trying a connection; nothing was changed, here or there."""

    connection: str
    works: bool
    mechanisms: Mapping[str, ChangeMechanism]
    writes: Mapping[str, WritesOfType]
    findings: Sequence[FindingEntry]

    @classmethod
    def of(cls, name: str, probed: Probed) -> Trial:
        writes = {
            one.resource_type: WritesOfType(
                operations=list(one.operations),
                concurrency=one.concurrency.value,
                restricted={element: how.value for element, how in one.restricted},
                finds_own_identifier=one.finds_own_identifier,
            )
            for one in probed.writes
        }
        findings = [
            FindingEntry(
                check=one.check.value,
                verdict=one.verdict.value,
                code=one.code,
                resource_type=one.resource_type,
                message=one.message,
                remedy=one.remedy,
            )
            for one in probed.findings
        ]
        return cls(
            connection=name,
            works=probed.works,
            mechanisms=dict(probed.mechanisms),
            writes=writes,
            findings=findings,
        )
