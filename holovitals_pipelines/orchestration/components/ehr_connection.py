"""The one place where a connection's assets are built: extract, records and conflicts by resource type, write-back.

Write-back is one asset a connection, because what it needs is the connection's: the vendor's pool, the job, the order
of types (a new patient goes out before the patient's observations).
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from holovitals_pipelines.engine.anti_entropy import mark_unsent, note_comparison
from holovitals_pipelines.engine.attachments import fetch_attachments
from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.reconcile import reconcile
from holovitals_pipelines.engine.transform import transform
from holovitals_pipelines.engine.write_back import write_back
from holovitals_pipelines.fhir.resource_types import PROCESSING_ORDER
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import Dataset, JobType, Priority, Provider, Stage
from holovitals_pipelines.orchestration.agreement_results import comparison_result, write_back_result
from holovitals_pipelines.orchestration.asset_specs import ConnectionAssets
from holovitals_pipelines.orchestration.backlog_checks import backlog_checks
from holovitals_pipelines.orchestration.catching_up import (
    commit_what_failed,
    read_and_transform_what_failed,
    read_what_failed,
)
from holovitals_pipelines.orchestration.executors import fans_out, step_executor
from holovitals_pipelines.orchestration.freshness import freshness_of
from holovitals_pipelines.orchestration.layer_results import (
    READ_IS_COMPLETE,
    block,
    breaks_its_structure,
    conflicts_result,
    extract_result,
    has_sound_structure,
    records_result,
)
from holovitals_pipelines.orchestration.missed_days import MissedDays
from holovitals_pipelines.orchestration.partitions import first_days, landing_days
from holovitals_pipelines.orchestration.quality_checks import quality_checks, structural_specs
from holovitals_pipelines.orchestration.queued_job import queued_job
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.orchestration.run_history import history_of
from holovitals_pipelines.orchestration.run_tags import PRIORITY_TAG, TYPE_TAG, connection_tags
from holovitals_pipelines.orchestration.steps import finish, finish_if_last, session_of_run, stage_of_run
from holovitals_pipelines.providers.catalogue import usual_types
from holovitals_pipelines.settings import Settings, load_connections

RETRIES = dg.RetryPolicy(max_retries=2, delay=15, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For a vendor that cannot be asked right now; every other failure says that a retry would not help (steps.py)."""


class ExtractConfig(dg.Config):
    """How to read. Left alone: changes since the watermark, or everything where there is no watermark yet."""

    full: bool = Field(default=False, description="read everything again, whatever the watermarks say")
    job: str | None = Field(
        default=None,
        description="the id of a job that waits, as `holovitals sync NAME --patient ID --queue` prints it: what that "
        "one names is read, and nothing else",
    )


class EhrConnection(dg.Component, dg.Model, dg.Resolvable):
    """One connection to an EHR: extracts, validated records and conflict sets, a key a resource type; and write-back.

    `<connection>/writeback` and `<connection>/anti_entropy` are of the whole connection, not of a resource type and not
    shared between connections: the vendor's pool and the job are the connection's. They have no partitions, for what
    goes out has no landing day.

    Where and how to reach the vendor is declared in `connections.yaml` under the same name; this declares what shall be
    seen in Dagster.
    """

    connection: str = Field(
        description="the connection's name in connections.yaml; also the assets' first key part and group"
    )
    provider: str = Field(
        default="fhir", description="the vendor: " + ", ".join(provider.value for provider in Provider)
    )
    format: str | None = Field(default=None, description="FHIR_R4: the FHIR interface of a vendor with another one")
    resource_types: list[str] | None = Field(default=None, description="default: the types such a provider usually has")
    owner: str = Field(default="team:data-eng", description="Dagster owner of the assets")
    incremental_cron: str | None = Field(default="*/15 * * * *", description="when to sync; null for no schedule")
    full_cron: str | None = Field(default=None, description="when to read everything again; null for no schedule")
    anti_entropy_cron: str | None = Field(
        default="30 2 * * *", description="when to compare both sides in full; null for no schedule"
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        settings = Settings()
        declared = load_connections(settings.resolved_connections_file)
        paused = any(entry.name == self.connection and not entry.enabled for entry in declared)
        return dg.Definitions() if paused else self.definitions(first_days(settings).get(self.connection))

    def definitions(self, first_day: date | None = None) -> dg.Definitions:
        """`first_day`: since when the connection is known here; default: today."""
        types = self.types()
        settings = Settings()
        assets = ConnectionAssets(
            self.connection,
            self.provider,
            self.format,
            self.owner,
            landing_days(first_day),
            freshness_of(self.incremental_cron or self.full_cron),
            settings,
        )
        statistics = dg.AssetSelection.assets(["sync_statistics"])
        job = self._job(
            f"sync_{self.connection}",
            dg.AssetSelection.groups(self.connection) | statistics,
            f"Extract, validate and reconcile all {self.connection} offers, write back what is to be written, then "
            "publish the statistics.",
        )
        comparison = self._job(
            f"anti_entropy_{self.connection}",
            dg.AssetSelection.assets([self.connection, "anti_entropy"]) | statistics,
            f"Compare everything {self.connection} holds with what is held here, bring in what differs, count what "
            "incremental syncs had missed.",
        )
        return dg.Definitions(
            assets=[
                self._extract(types, assets),
                self._records(types, assets),
                self._conflicts(types, assets),
                self._write_back(types, assets),
                self._anti_entropy(types, assets),
            ],
            asset_checks=[
                *quality_checks(self.connection, types, by_type=fans_out()),
                backlog_checks(self.connection),
            ],
            jobs=[job, comparison, queued_job(self.connection, self.provider)],
            schedules=[*self._schedules(job), *self._comparing(comparison)],
        )

    def _job(self, name: str, selection: dg.AssetSelection, says: str) -> Any:
        return dg.define_asset_job(
            name,
            selection=selection,
            description=says,
            tags=connection_tags(self.connection, self.provider),
            executor_def=step_executor(),
        )

    def types(self) -> list[str]:
        """The resource types in processing order."""
        wanted = self.resource_types or list(usual_types(Provider(self.provider), self.format))
        order = {name: place for place, name in enumerate(PROCESSING_ORDER)}
        return sorted(wanted, key=lambda name: (order.get(name, len(order)), name))

    def _extract(self, types: list[str], assets: ConnectionAssets) -> dg.AssetsDefinition:
        connection, offered, days = self.connection, types, assets.days
        specs = assets.extract(types)
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
            with (
                home.open() as opened,
                stage_of_run(context, opened, connection, offered, config.full, config.job) as session,
            ):
                missed = MissedDays(session, days)
                extract(session, session.open_vendor())
                for name in _selected(context, offered):
                    yield extract_result(session, name)
                    yield from missed.filled("extract", name)
                finish_if_last(context, session, Stage.EXTRACT)

        return extract_layer

    def _records(self, types: list[str], assets: ConnectionAssets) -> dg.AssetsDefinition:
        connection, offered, days = self.connection, types, assets.days
        specs = assets.records(types)

        @dg.multi_asset(
            name=f"{connection}_records", specs=specs, check_specs=structural_specs(connection, types), can_subset=True,
            pool=connection, backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def records_layer(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered) as session:
                missed = MissedDays(session, days)
                read_what_failed(context, session)
                blocked: list[str] = []
                for name in _selected(context, offered):
                    if session.has_input(Dataset.EXTRACT, name):
                        transform(session, name)
                    result = records_result(session, name)
                    if breaks_its_structure(result):
                        blocked.append(name)
                    yield result
                    yield from missed.filled("records", name)
                block(session, blocked)
                finish_if_last(context, session, Stage.TRANSFORM)

        return records_layer

    def _conflicts(self, types: list[str], assets: ConnectionAssets) -> dg.AssetsDefinition:
        connection, offered, days = self.connection, types, assets.days
        specs = assets.conflicts(types)

        @dg.multi_asset(
            name=f"{connection}_conflicts", specs=specs, can_subset=True, pool=connection,
            backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def conflicts_layer(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered) as session:
                missed = MissedDays(session, days)
                read_and_transform_what_failed(context, session)
                history = history_of(session)
                for name in _selected(context, offered):
                    if session.has_input(Dataset.RECORDS, name):
                        reconcile(session, name)
                    yield conflicts_result(session, name, history)
                    yield from missed.filled("conflicts", name)
                finish_if_last(context, session, Stage.RECONCILE)

        return conflicts_layer

    def _write_back(self, types: list[str], assets: ConnectionAssets) -> dg.AssetsDefinition:
        connection, offered = self.connection, types
        spec = assets.write_back(types)

        @dg.multi_asset(name=f"{connection}_writeback", specs=[spec], pool=connection, retry_policy=RETRIES)
        def write_back_layer(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            with home.open() as opened, stage_of_run(context, opened, connection, offered) as session:
                commit_what_failed(context, session)
                write_back(session)
                fetch_attachments(session)
                yield write_back_result(session)
                finish_if_last(context, session, Stage.WRITE_BACK)

        return write_back_layer

    def _anti_entropy(self, types: list[str], assets: ConnectionAssets) -> dg.AssetsDefinition:
        connection, offered = self.connection, types
        spec = assets.anti_entropy()

        @dg.multi_asset(name=f"{connection}_anti_entropy", specs=[spec], pool=connection)
        def compare_both_sides(context: dg.AssetExecutionContext, home: HomeResource) -> Iterator[Any]:
            request = SyncRequest(connection, JobType.FULL_SYNC, tuple(offered), priority=Priority.LOW)
            with home.open() as opened, session_of_run(context, opened, request) as session:
                unsent = mark_unsent(opened, connection)
                extract(session, session.open_vendor())
                for name in session.landed_types():
                    transform(session, name)
                block(session, [name for name in session.landed_types() if not has_sound_structure(session, name)])
                for name in session.landed_types():
                    reconcile(session, name)
                write_back(session)
                fetch_attachments(session)
                report = finish(session)
                yield comparison_result(connection, report, note_comparison(opened, report, unsent))

        return compare_both_sides

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
                tags={
                    TYPE_TAG: JobType.FULL_SYNC.value if kind == "full" else JobType.INCREMENTAL_SYNC.value,
                    PRIORITY_TAG: Priority.NORMAL.name,
                    "dagster/priority": "0",
                },
            )

        return tick

    def _comparing(self, job: Any) -> list[dg.ScheduleDefinition]:
        if not self.anti_entropy_cron:
            return []

        @dg.schedule(
            name=f"anti_entropy_{self.connection}",
            job=job,
            cron_schedule=self.anti_entropy_cron,
            execution_timezone="UTC",
            description=f"Everything {self.connection} holds against what is here: what events and watermarks missed.",
        )
        def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
            return dg.RunRequest(
                run_key=context.scheduled_execution_time.isoformat(),
                tags={TYPE_TAG: JobType.FULL_SYNC.value, PRIORITY_TAG: Priority.LOW.name, "dagster/priority": "-10"},
            )

        return [tick]


def _selected(context: dg.AssetExecutionContext, offered: list[str]) -> list[str]:
    chosen = {key.path[-1] for key in context.selected_asset_keys}
    return [name for name in offered if name in chosen]
