"""Runs a connection's jobs in this process, on the installation's own Dagster instance: it shows in the UI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import report_of
from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.orchestration.assembly import assemble
from holovitals_pipelines.orchestration.run_ends import end_job_of
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.settings import Settings


class RunInProcess:
    """Holds the loaded definitions and the instance; each call is one Dagster run."""

    def __init__(self, dagster_home: Path) -> None:
        os.environ["DAGSTER_HOME"] = str(dagster_home)
        self._instance = dg.DagsterInstance.get()
        self._definitions = assemble()

    def sync(self, settings: Settings, connection: str, *, full: bool) -> JobReport:
        """Run `sync_<connection>` for today's partition and report its job. Raises JobError when no job was made."""
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        config = {"ops": {f"{connection}_extract": {"config": {"full": full}}}}
        return self._run(settings, connection, f"sync_{connection}", config, partition_key=today)

    def compare(self, settings: Settings, connection: str) -> JobReport:
        """Run `anti_entropy_<connection>` and report its job. Raises JobError when no job was made."""
        return self._run(settings, connection, f"anti_entropy_{connection}", {})

    def _run(
        self,
        settings: Settings,
        connection: str,
        name: str,
        config: Mapping[str, Any],
        partition_key: str | None = None,
    ) -> JobReport:
        job = self._definitions.resolve_job_def(name)
        run_id = str(uuid4())
        try:
            job.execute_in_process(
                instance=self._instance,
                run_id=run_id,
                partition_key=partition_key,
                # The event log has everything; a terminal wants the summary.
                run_config={**config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        finally:
            run = self._instance.get_run_by_id(run_id)
            if run is not None:
                with open_home(settings) as home:
                    end_job_of(home, run)  # Ctrl-C may have come between two results of a step
        job_id = run.tags.get(JOB_TAG) if run else None
        if job_id is None:
            raise JobError(
                "the run ended before its job began",
                code="dagster.run_without_job",
                place=f"connection {connection}, run {run_id}",
                remedy="is another job at work on the connection? Otherwise see the run's failed step: holovitals ui",
            )
        with open_home(settings) as home:
            return report_of(home, job_id)
