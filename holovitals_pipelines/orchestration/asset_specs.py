"""What a connection's assets are called, what they are kept in, whose they are, and what their pages say.

Law: a key, a kind, a group and a description follow from connection, layer and resource type, and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from holovitals_pipelines.model.vocabulary import Provider, SourceFormat
from holovitals_pipelines.orchestration.links import links_of
from holovitals_pipelines.orchestration.run_tags import PROVIDER_TAG
from holovitals_pipelines.settings import Settings

COMPARISONS = "anti_entropy"
"""The group of the full comparisons: materializing a connection's own group is the ordinary sync, no more."""

_SENT_AS = {
    Provider.ALLSCRIPTS: "json",
    Provider.ATHENAHEALTH: "json",
    Provider.NEXTGEN: "json",
    Provider.MEDITECH: "hl7v2",
}
"""What vendors send that have an interface other than FHIR; the kind that its assets show."""

_EXTRACT = """One row is one {name} exactly as {connection} sent it. Immutable Parquet parts in the landing zone; stale
when the vendor changes anything.

**Materialize today's partition** for the ordinary sync: what has changed since the last complete read. With the
config `full: true` everything is read.

**Backfill an earlier day** to ask {connection} once more for what it says was changed on that day. No watermark moves:
the next ordinary sync leaves nothing out for it. Days without a sync need none: the next sync reads their changes, and
fills them."""

_RECORDS = """One row is one {name} of {connection} whose bytes are new and that passed validation, canonical and
hashed. Refused ones are in quarantine with path, rule and remedy.

**Today's partition** takes what this run, or else the newest one, has extracted.

**Backfill earlier days without their extract** to transform all that has landed since the newest complete read again,
with the rules of now. No vendor is called; whatever days are chosen, it is done once."""

_CONFLICTS = """One row is one {name} that changed both here and at {connection} since they last agreed: merged or
decided by policy where that is allowed, held for a person where not. Everything else of the batch is committed to the
operational store.

Open ones are decided in notebook 04, or by `holovitals conflicts`."""

_WRITE_BACK = """One row is one write to {connection}, of any type: sent under the version it was decided on, and read
back. Records that changed here, at another vendor, or by a person's decision are read and decided again first. Nothing
is written unless the connection allows it; stale when a record changes here."""

_ANTI_ENTROPY = """One row is one resource type whose ids and hashes were compared with everything {connection} holds.
What differs is brought into agreement by the same job; `missed` counts what incremental reads would not have found."""


@dataclass(frozen=True, slots=True)
class ConnectionAssets:
    """The specs of one connection's assets."""

    connection: str
    provider: str
    format: str | None
    owner: str
    days: dg.DailyPartitionsDefinition
    fresh: dg.FreshnessPolicy | None
    settings: Settings

    def extract(self, types: list[str]) -> list[dg.AssetSpec]:
        return self._layer("extract", types, None, _EXTRACT, {"extract", self._sent_as, "parquet"})

    def records(self, types: list[str]) -> list[dg.AssetSpec]:
        return self._layer("records", types, "extract", _RECORDS, {"records", "fhir", "parquet"}, fresh=True)

    def conflicts(self, types: list[str]) -> list[dg.AssetSpec]:
        return self._layer("conflicts", types, "records", _CONFLICTS, {"conflicts", "fhir", self._store})

    def write_back(self, types: list[str]) -> dg.AssetSpec:
        upstream = [dg.AssetKey([self.connection, "conflicts", name]) for name in types]
        return self._whole("writeback", self.connection, upstream, _WRITE_BACK)

    def anti_entropy(self) -> dg.AssetSpec:
        upstream = [dg.AssetKey([self.connection, "writeback"])]
        return self._whole("anti_entropy", COMPARISONS, upstream, _ANTI_ENTROPY)

    def _layer(
        self, layer: str, types: list[str], upstream: str | None, row: str, kinds: set[str], *, fresh: bool = False
    ) -> list[dg.AssetSpec]:
        """`kinds` name the layer too: Dagster's graph shows the last part of a key only."""
        links = links_of(layer, self.settings)
        return [
            dg.AssetSpec(
                [self.connection, layer, name],
                deps=[dg.AssetKey([self.connection, upstream, name])] if upstream else [],
                group_name=self.connection,
                owners=[self.owner],
                kinds=kinds,
                tags={PROVIDER_TAG: self.provider, "holovitals/layer": layer, "fhir/resource": name},
                description=row.format(name=name, connection=self.connection),
                metadata=links,
                partitions_def=self.days,
                freshness_policy=self.fresh if fresh else None,
            )
            for name in types
        ]

    def _whole(self, name: str, group: str, upstream: list[dg.AssetKey], row: str) -> dg.AssetSpec:
        """An asset of the whole connection; what goes out has no landing day."""
        return dg.AssetSpec(
            [self.connection, name],
            deps=upstream,
            group_name=group,
            owners=[self.owner],
            kinds={name, self._sent_as},
            tags={PROVIDER_TAG: self.provider, "holovitals/layer": name},
            description=row.format(connection=self.connection),
            metadata=links_of(name, self.settings),
        )

    @property
    def _sent_as(self) -> str:
        native = self.format != SourceFormat.FHIR_R4
        return next((kind for provider, kind in _SENT_AS.items() if native and provider == self.provider), "fhir")

    @property
    def _store(self) -> str:
        return store_kind(self.settings)


def store_kind(settings: Settings) -> str:
    """What the operational store is kept in, as Dagster knows it by its picture."""
    return "sqlite" if settings.resolved_database_url.startswith("sqlite") else "postgresql"
