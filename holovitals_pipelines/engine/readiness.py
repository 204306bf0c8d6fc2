"""Whether this installation can do its work now: what is looked at before traffic is let through.

Law: every check that says no says what to do about it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.worker_heartbeat import any_beat, live_workers
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.settings import load_connections
from holovitals_pipelines.store.migrations import HEAD


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    name: str
    ok: bool
    message: str
    remedy: str | None = None


def check_readiness(home: Home) -> tuple[ReadinessCheck, ...]:
    """In the order in which one would mend them."""
    return (_disk(home), _database(home), _connections(home), *_workers(home))


def _disk(home: Home) -> ReadinessCheck:
    try:
        free = shutil.disk_usage(home.settings.root).free
    except OSError as error:
        return ReadinessCheck(
            "disk", False, f"the home folder cannot be looked at ({error.strerror})", "check that its volume is there"
        )
    least = home.settings.api_least_free_bytes
    if free < least:
        return ReadinessCheck(
            "disk", False, f"{free >> 20:,} MiB are free, {least >> 20:,} are wanted", "make room on the home's volume"
        )
    return ReadinessCheck("disk", True, f"{free >> 20:,} MiB are free")


def _database(home: Home) -> ReadinessCheck:
    try:
        with home.database.read() as transaction:
            found = transaction.execute(sa.text("select version_num from alembic_version")).scalar()
    except HoloVitalsError as error:
        return ReadinessCheck("database", False, error.message, error.remedy)
    if found != HEAD:
        return ReadinessCheck(
            "database", False, f"the store is at revision {found}, this program at {HEAD}", "restart this process"
        )
    return ReadinessCheck("database", True, f"it answers, and is at revision {HEAD}")


def _connections(home: Home) -> ReadinessCheck:
    try:
        declared = load_connections(home.settings.resolved_connections_file)
    except HoloVitalsError as error:
        return ReadinessCheck("connections", False, "the connections file cannot be read", error.remedy)
    return ReadinessCheck("connections", True, f"{len(declared)} are declared")


def _workers(home: Home) -> tuple[ReadinessCheck, ...]:
    """Nothing is said where no worker was started: jobs can be run by Dagster alone, or on another machine."""
    living = live_workers(home.settings)
    if living:
        return (ReadinessCheck("worker", True, f"{len(living)} at work"),)
    if any_beat(home.settings):
        said = "the warm worker is silent: jobs wait for Dagster's own queue"
        return (ReadinessCheck("worker", False, said, "start it again: holovitals worker"),)
    return ()
