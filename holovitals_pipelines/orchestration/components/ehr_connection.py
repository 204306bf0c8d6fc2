"""The one place where a connection's assets are built: extract, records and conflicts, one key a resource type."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.reconcile import reconcile
from holovitals_pipelines.engine.vendors import vendor_adapter
from holovitals_pipelines.engine.transform import transform
from holovitals_pipelines.fhir.resource_types import PROCESSING_ORDER
from holovitals_pipelines.model.vocabulary import Dataset, Provider, Stage
from holovitals_pipelines.orchestration.catching_up import read_and_transform_what_failed, read_what_failed
from holovitals_pipelines.orchestration.layer_results import (
    READ_IS_COMPLETE,
    block,
    breaks_its_structure,
    conflicts_result,
    extract_result,
    records_result,
)
from holovitals_pipelines.orchestration.partitions import LANDING_DAYS
from holovitals_pipelines.orchestration.quality_checks import quality_checks, structural_specs
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.steps import finish_if_last, stage_of_run
from holovitals_pipelines.providers.catalogue import usual_types
from holovitals_pipelines.settings import Settings, load_connections


class ExtractConfig(dg.Config):
    """How to read. Left alone: changes since the watermark, or everything where there is no watermark yet."""

    full: bool = Field(default=False, description="read everything again, whatever the watermarks say")


class EhrConnection(dg.Component, dg.Model, dg.Resolvable):
    """One connection to an EHR: extracts, validated records and conflict sets, a key a resource type.

    Where and how to reach the vendor is declared in `connections.yaml` under the same name; this declares what shall be
    seen in Dagster.
    """

    connection: str = Field(
        description="the connection's name in connections.yaml; also the assets' first key part and group"
    )
    provider: str = Field(
        default="fhir", description="the vendor: " + ", ".join(provider.value for provider in Provider)
    )
    resource_types: list[str] | None = Field(default=None, description="default: the types such a provider usually has")
    owner: str = Field(default="team:data-eng", description="Dagster owner of the assets")
    incremental_cron: str | None = Field(default="*/15 * * * *", description="when to sync; null for no schedule")

    full_cron: str | None = Field(default=None, description="when to read everything again; null for no schedule")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        declared = load_connections(Settings().resolved_connections_file)
        paused = any(entry.name == self.connection and not entry.enabled for entry in declared)
        return dg.Definitions() if paused else self.definitions()

    def definitions(self) -> dg.Definitions:
        types = self.types()
        job = dg.define_asset_job(
            f"sync_{self.connection}",
            selection=dg.AssetSelection.groups(self.connection) | dg.AssetSelection.assets(["sync_statistics"]),
            description=f"Extract, validate and reconcile all {self.connection} offers, then publish the statistics.",
            tags={"holovitals/connection": self.connection, "holovitals/provider": self.provider},
            executor_def=dg.in_process_executor,
        )
        return dg.Definitions(
            assets=[self._extract(types), self._records(types), self._conflicts(types)],
            asset_checks=[quality_checks(self.connection, types)],
            jobs=[job],
            schedules=self._schedules(job),
        )

    def types(self) -> list[str]:
        """The resource types in processing order."""
        wanted = self.resource_types or list(usual_types(Provider(self.provider)))
        order = {name: place for place, name in enumerate(PROCESSING_ORDER)}
        return sorted(wanted, key=lambda name: (order.get(name, len(order)), name))

    def _specs(
        self, layer: str, types: list[str], upstream: str | None, row: str, kinds: set[str]
    ) -> list[dg.AssetSpec]:
        """`kinds` name the layer too: Dagster's graph shows the last part of a key only."""
        return [
            dg.AssetSpec(
                [self.connection, layer, name],
                deps=[dg.AssetKey([self.connection, upstream, name])] if upstream else [],
                group_name=self.connection,
                owners=[self.owner],
                kinds=kinds,
                tags={"holovitals/provider": self.provider, "fhir/resource": name},
                description=row.format(name=name, connection=self.connection),
                partitions_def=LANDING_DAYS,
            )
            for name in types
        ]

    def _extract(self, types: list[str]) -> dg.AssetsDefinition:
        connection, offered = self.connection, types
        specs = self._specs(
            "extract", types, None,
            "One row is one {name} exactly as {connection} sent it. Immutable Parquet parts in the landing zone; "
            "stale when the vendor changes anything.",
            {"extract", "fhir", "parquet"},
        )  # fmt: skip
        checks = [
            dg.AssetCheckSpec(READ_IS_COMPLETE, asset=spec.key, description="The vendor's answer was read to its end.")
            for spec in specs
        ]

        @dg.multi_asset(
            name=f"{connection}_extract", specs=specs, check_specs=checks, can_subset=True, pool=connection,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def extract_layer(
            context: dg.AssetExecutionContext, config: ExtractConfig, home: HomeResource
        ) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered, config.full) as session:
                extract(session, vendor_adapter(session.connection))
                for name in _selected(context, offered):
                    yield extract_result(session, name)
                finish_if_last(context, session, Stage.EXTRACT)

        return extract_layer

    def _records(self, types: list[str]) -> dg.AssetsDefinition:
        connection, offered = self.connection, types
        specs = self._specs(
            "records", types, "extract",
            "One row is one {name} of {connection} whose bytes are new and that passed validation, canonical and "
            "hashed. Refused ones are in quarantine with path, rule and remedy.",
            {"records", "fhir", "parquet"},
        )  # fmt: skip

        @dg.multi_asset(
            name=f"{connection}_records", specs=specs, check_specs=structural_specs(connection, types), can_subset=True,
            pool=connection, backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def records_layer(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered, False) as session:
                read_what_failed(context, session)
                blocked: list[str] = []
                for name in _selected(context, offered):
                    if session.has_input(Dataset.EXTRACT, name):
                        transform(session, name)
                    result = records_result(session, name)
                    if breaks_its_structure(result):
                        blocked.append(name)
                    yield result
                block(session, blocked)
                finish_if_last(context, session, Stage.TRANSFORM)

        return records_layer

    def _conflicts(self, types: list[str]) -> dg.AssetsDefinition:
        connection, offered = self.connection, types
        specs = self._specs(
            "conflicts", types, "records",
            "One row is one {name} that changed both here and at {connection} since they last agreed. "
            "Everything else of the batch is committed to the operational store.",
            {"conflicts", "sql"},
        )  # fmt: skip

        @dg.multi_asset(
            name=f"{connection}_conflicts", specs=specs, can_subset=True, pool=connection,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def conflicts_layer(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered, False) as session:
                read_and_transform_what_failed(context, session)
                for name in _selected(context, offered):
                    if session.has_input(Dataset.RECORDS, name):
                        reconcile(session, name)
                    yield conflicts_result(session, name)
                finish_if_last(context, session, Stage.RECONCILE)

        return conflicts_layer

    def _schedules(self, job: Any) -> list[dg.ScheduleDefinition]:
        changes = f"Changes at {self.connection} since the last complete read, into today's partition."
        everything = f"Everything {self.connection} holds, to find what incremental reads cannot see."
        return [
            self._schedule(job, kind, cron, says)
            for kind, cron, says in (
                ("incremental", self.incremental_cron, changes),
                ("full", self.full_cron, everything),
            )
            if cron
        ]

    def _schedule(self, job: Any, kind: str, cron: str, says: str) -> dg.ScheduleDefinition:
        @dg.schedule(
            name=f"{kind}_{self.connection}", job=job, cron_schedule=cron, execution_timezone="UTC", description=says
        )
        def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
            when = context.scheduled_execution_time
            return dg.RunRequest(
                run_key=when.isoformat(),
                partition_key=when.strftime("%Y-%m-%d"),
                run_config={"ops": {f"{self.connection}_extract": {"config": {"full": kind == "full"}}}},
                tags={"dagster/priority": "0"},
            )

        return tick


def _selected(context: dg.AssetExecutionContext, offered: list[str]) -> list[str]:
    chosen = {key.path[-1] for key in context.selected_asset_keys}
    return [name for name in offered if name in chosen]
