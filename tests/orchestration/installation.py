"""A home of its own with its Dagster instance, and the few things a person does with them in the UI."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import report_of
from holovitals_pipelines.engine.local_records import delete_record, edit_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.settings import Settings, load_connections, save_connections
from holovitals_pipelines.store.jobs import Job, get_job, list_jobs

LAYERS = ("extract", "records", "conflicts")
"""With assets by resource type; `writeback` is one asset after them."""


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Installation:
    settings: Settings
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    @property
    def folder(self) -> Path:
        return self.settings.root

    def run(
        self,
        connection: str = "clinic",
        *assets: str,
        day: str | None = None,
        tags: Mapping[str, str] | None = None,
        full: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Materialize `assets` (`extract/Patient`, `writeback`; default: all of the connection) for today or `day`."""
        job = self.definitions.resolve_job_def(f"sync_{connection}")
        selected = [dg.AssetKey([connection, *asset.split("/")]) for asset in assets]
        extracts = not assets or any(asset.startswith("extract") for asset in assets)
        config = {f"{connection}_extract": {"config": {"full": full}}} if extracts else {}
        return job.execute_in_process(
            instance=self.instance,
            partition_key=None if tags else day or today(),
            tags=tags,
            asset_selection=selected or None,
            run_config={"ops": config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def sync(self, connection: str = "clinic") -> JobReport:
        """What `run` does, without Dagster: for tests that begin with a home that is in agreement."""
        with self.open() as home:
            return run_sync(home, SyncRequest(connection))

    def compare(self, connection: str = "clinic") -> dg.ExecuteInProcessResult:
        """What the daily schedule of the connection's comparison runs."""
        return self.definitions.resolve_job_def(f"anti_entropy_{connection}").execute_in_process(
            instance=self.instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )

    def declare(self, connection: str, block: str = "read", **changes: Any) -> None:
        """Change what connections.yaml says of the connection: how to `read` it, or what to `write` to it."""
        path = self.settings.resolved_connections_file
        declared = {c.name: c for c in load_connections(path)}
        entry = declared[connection]
        declared[connection] = entry.model_copy(update={block: getattr(entry, block).model_copy(update=changes)})
        save_connections(path, list(declared.values()))

    def edit(self, resource_type: str, identity: str, connection: str = "clinic", **elements: Any) -> None:
        """Somebody changes these elements of the record here."""
        with self.open() as home:
            mine = record_of(home, connection, resource_type, identity)
            body = json.dumps({**json.loads(mine.body), **elements}).encode()
            edit_record(home.database, mine.record_id, body, seen_version=mine.version, actor="dr")

    def remove(self, resource_type: str, identity: str, connection: str = "clinic") -> None:
        """Somebody deletes the record here."""
        with self.open() as home:
            mine = record_of(home, connection, resource_type, identity)
            delete_record(home.database, mine.record_id, seen_version=mine.version, actor="dr")

    def locally(self, resource_type: str, identity: str, connection: str = "clinic") -> dict[str, Any]:
        """The record as it is here."""
        with self.open() as home:
            held: dict[str, Any] = json.loads(record_of(home, connection, resource_type, identity).body)
        return held

    def change(self, statement: sa.Executable) -> None:
        """Behind the program's back."""
        with self.open() as home, home.database.write() as transaction:
            transaction.execute(statement)

    def jobs(self, connection: str = "clinic") -> list[Job]:
        """The newest first."""
        with self.open() as home, home.database.read() as transaction:
            return list_jobs(transaction, connection=connection)

    def job_of(self, run_id: str) -> Job:
        """By the run's tag."""
        with self.open() as home, home.database.read() as transaction:
            return get_job(transaction, self.job_id_of(run_id))

    def job_id_of(self, run_id: str) -> str:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.tags[JOB_TAG]

    def report(self, run_id: str) -> JobReport:
        with self.open() as home:
            return report_of(home, self.job_id_of(run_id))

    def count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        with self.open() as home, home.database.read() as transaction:
            query = sa.select(sa.func.count()).select_from(table).where(*where)
            return int(transaction.execute(query).scalar_one())

    def rows(self, table: sa.Table) -> list[Any]:
        with self.open() as home, home.database.read() as transaction:
            return list(transaction.execute(sa.select(table)))

    def open(self) -> Any:
        return open_home(self.settings)


def materializations(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """Metadata by asset (`clinic/extract/Patient`), as plain values."""
    return {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], Any]:
    """Check evaluations by asset and claim."""
    return {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}


def failures(result: dg.ExecuteInProcessResult) -> Iterable[str]:
    """The description of each failed step's dg.Failure."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
            yield event.step_failure_data.user_failure_data.description or ""


def files_with(text: bytes, folder: Path) -> list[Path]:
    """Files below `folder` that hold `text` anywhere."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and text in path.read_bytes()]
