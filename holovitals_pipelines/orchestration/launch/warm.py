"""The warm lane: one process with everything loaded that takes jobs from the queue and does each as a Dagster run.

Law: the same step, tags and history as in every other lane. A run that is terminated ends alone; the worker goes on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import dagster as dg

from holovitals_pipelines.engine.connection_files import following_file
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import claim_next
from holovitals_pipelines.engine.job_sweep import sweep
from holovitals_pipelines.engine.notifications import deliver_due
from holovitals_pipelines.engine.sync import publish_statistics
from holovitals_pipelines.engine.webhooks.processing import coalesce, settle
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.vocabulary import Lane
from holovitals_pipelines.orchestration.queued_job import queued_job, tags_of
from holovitals_pipelines.orchestration.run_ends import end_job_of, give_back_unbegun
from holovitals_pipelines.orchestration.run_links import PROCESS_TAG, end_lost_runs, has_live_run
from holovitals_pipelines.store.jobs import Job

SECONDS_BETWEEN_SWEEPS = 1.0
SECONDS_TO_TELL = 5.0
"""For a notification under way when the worker ends; it is sent again where that was too short."""
SECONDS_TO_STATISTICS = 2.0
"""After the last job, if nothing else comes; …"""
SECONDS_TO_STATISTICS_AT_THE_LATEST = 30.0


class WarmLane:
    """Takes jobs of the connections it serves, one after the other."""

    def __init__(
        self, home: Home, dagster_home: Path, connections: Sequence[str] = (), lane: Lane | None = Lane.WORKER
    ) -> None:
        """`lane` None: full syncs too, where Dagster's daemon does not run. Raises ConfigurationError for a connection
        that is not declared."""
        for name in connections:
            home.connection(name)
        self._home = following_file(home)
        self._served = tuple(connections)
        os.environ["DAGSTER_HOME"] = str(dagster_home)
        self._instance = dg.DagsterInstance.get()
        self._lane = lane
        self._jobs: dict[str, dg.JobDefinition] = {}
        self._name = worker_name()
        self._swept_at = 0.0
        self._telling: threading.Thread | None = None
        self._unpublished_since: float | None = None
        self._worked_at = 0.0

    def turn(self) -> bool:
        """One look at inbox and queue; the job whose turn it is is done. False when there was none."""
        settle(self._home)
        coalesce(self._home)
        self._sweep()
        self._notify()
        job = claim_next(self._home_served(), self._name, lane=self._lane)
        if job is None:
            self._publish_when_quiet()
            return False
        self._run(job)
        return True

    def finish(self) -> None:
        """What is left to do when the worker ends: events of jobs that have ended, and the statistics."""
        settle(self._home)
        if self._telling is not None:
            self._telling.join(SECONDS_TO_TELL)
        if self._unpublished_since is not None:
            self._publish()

    def recover(self) -> None:
        """Find the jobs of workers that are gone, and end their runs."""
        sweep(self._home, has_live_run=has_live_run(self._instance))
        end_lost_runs(self._instance)

    def _home_served(self) -> Home:
        """For claiming only: events and lost jobs are those of all connections."""
        if not self._served:
            return self._home
        known = self._home.connections
        return replace(self._home, connections={name: known[name] for name in self._served if name in known})

    def _notify(self) -> None:
        """Beside the jobs: they do not wait for whoever is told of them."""
        if self._home.settings.notify_url is None or (self._telling is not None and self._telling.is_alive()):
            return
        self._telling = threading.Thread(target=self._tell, name="notifications", daemon=True)
        self._telling.start()

    def _tell(self) -> None:
        with suppress(HoloVitalsError):  # without a secret they wait, and `holovitals doctor` tells why
            deliver_due(self._home)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < SECONDS_BETWEEN_SWEEPS:
            return
        self._swept_at = time.monotonic()
        swept = sweep(self._home, has_live_run=has_live_run(self._instance))
        if swept.given_back or swept.recovered or swept.ended:
            end_lost_runs(self._instance)

    def _run(self, job: Job) -> None:
        run_id = str(uuid4())
        try:
            with suppress(dg.DagsterExecutionInterruptedError, KeyboardInterrupt):  # the run's, not the worker's
                self._job_of(job.connection).execute_in_process(
                    instance=self._instance,
                    run_id=run_id,
                    tags={**tags_of(job), PROCESS_TAG: self._name, "holovitals/lane": "worker"},
                    run_config={
                        "ops": {f"{job.connection}_queued_job": {"config": {"job": job.job_id, "publish": False}}},
                        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    },
                    raise_on_error=False,
                )
        finally:
            run = self._instance.get_run_by_id(run_id)
            if run is None:
                give_back_unbegun(self._home, job, run_id)
            else:
                end_job_of(self._home, run)  # it may have been terminated between two results
            self._worked_at = time.monotonic()
            self._unpublished_since = self._unpublished_since or self._worked_at

    def _job_of(self, connection: str) -> dg.JobDefinition:
        if connection not in self._jobs:
            opened = dg.ResourceDefinition.hardcoded_resource(_Opened(self._home))
            provider = self._home.connection(connection).provider.value
            self._jobs[connection] = queued_job(connection, provider, opened)
        return self._jobs[connection]

    def _publish_when_quiet(self) -> None:
        if self._unpublished_since is None:
            return
        now = time.monotonic()
        late = now - self._unpublished_since > SECONDS_TO_STATISTICS_AT_THE_LATEST
        if late or now - self._worked_at > SECONDS_TO_STATISTICS:
            self._publish()

    def _publish(self) -> None:
        publish_statistics(self._home)
        self._unpublished_since = None


class _Opened:
    """A home that is open already, where a step asks to have it opened."""

    def __init__(self, home: Home) -> None:
        self._home = home

    @contextmanager
    def open(self) -> Iterator[Home]:
        yield self._home
