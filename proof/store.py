"""The operational store of schedules: the real one, emptied between them, in memory where the system offers that.

Law: every schedule begins with an empty store at the current revision, and a job that holds the connections.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from holovitals_pipelines.store.tables import metadata, sync_job
from proof.faults import CrashingDatabase, Failpoints
from proof.world import JOB

_MEMORY = Path("/dev/shm")


@contextmanager
def store_folder() -> Iterator[Path]:
    """A folder for stores, in memory where the system offers that; gone at the end."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="holovitals-proof-", dir=place) as folder:
        yield Path(folder)


def open_store(folder: Path) -> CrashingDatabase:
    """A store of this process alone."""
    database = CrashingDatabase(sa.make_url(f"sqlite+pysqlite:///{folder}/{os.getpid()}.sqlite"))
    database.failpoints = Failpoints.none()
    database.upgrade()
    with database.write() as transaction:
        transaction.execute(
            sync_job.insert().values(
                job_id=JOB, connection="v0", provider="fhir", type="FULL_SYNC", direction="BIDIRECTIONAL",
                priority=3, status="PROCESSING", resource_types=[], request={}, attempt=1, fence=1,
                created_at=datetime(2026, 1, 1, tzinfo=UTC), cancel_requested=False,
            )
        )  # fmt: skip
    return database


def empty(database: CrashingDatabase) -> None:
    database.failpoints = Failpoints.none()
    with database.write() as transaction:
        for table in reversed(metadata.sorted_tables):
            if table is not sync_job:
                transaction.exec_driver_sql(f'DELETE FROM "{table.name}"')
