"""What tests run in processes of their own: `python worker.py COMMAND ARGUMENT…`. Each says `ready` before it works."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import Dataset
from holovitals_pipelines.store import warehouse
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.database import open_database
from holovitals_pipelines.store.landing import LandingZone
from holovitals_pipelines.store.tables import record_version, watermark

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VERSION_COLUMNS = ("record_id", "version", "state", "document_hash", "changed_by", "at")


def ready() -> None:
    print("ready", flush=True)


def wait_for_go() -> None:
    ready()
    sys.stdin.readline()


def upgrade(url: str) -> None:
    wait_for_go()
    database = open_database(url)
    database.upgrade()
    database.close()


def write(url: str, name: str, times: str) -> None:
    """`times` transactions, each of which reads a counter and writes it back, grown by one, beside a row of its own."""
    database = open_database(url)
    wait_for_go()
    for number in range(int(times)):
        with database.write() as transaction:
            query = sa.select(sa.func.count()).select_from(record_version)
            seen = transaction.execute(query).scalar_one()
            rows = [(name, number, "active", b"h" * 16, str(seen), NOW)]
            insert_rows(transaction, record_version, VERSION_COLUMNS, rows)
    database.close()


def die_writing(url: str) -> None:
    """Write half of a transaction, say so, and hang until killed."""
    database = open_database(url)
    with database.write() as transaction:
        rows = ((f"half-{n}", 1, "active", b"h" * 16, "dead", NOW) for n in range(30_000))
        insert_rows(transaction, record_version, VERSION_COLUMNS, rows)
        transaction.execute(
            watermark.insert().values(
                connection="epic", resource_type="Patient", mechanism="x", value=NOW, job_id="j", updated_at=NOW
            )
        )
        ready()
        signal.pause()


def land_and_die(folder: str) -> None:
    zone = LandingZone(folder)
    part = zone.write_part("epic", "job", Dataset.EXTRACT, "Patient", pa.table({"body": [b"{}"]}))
    print(part.path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def publish(url: str, folder: str, times: str) -> None:
    database = open_database(url)
    wait_for_go()
    for _ in range(int(times)):
        print(warehouse.publish(database, Path(folder)).name, flush=True)
    database.close()


def publish_and_die(url: str, folder: str, at: str) -> None:
    """Publish, and be killed when the publisher is about to do `at` for the second time."""
    database = open_database(url)
    warehouse.publish(database, Path(folder))
    original = getattr(warehouse, at)

    def die(*_: object, **__: object) -> None:
        if at == "_prune":
            original(*_, **__)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(warehouse, at, die)
    ready()
    warehouse.publish(database, Path(folder))


def hold_open(folder: str) -> None:
    """A notebook: keeps the current snapshot open, and counts its jobs at the beginning and at the end."""
    with warehouse.open_current(Path(folder)) as snapshot:
        count = "select count(*) from sync_jobs"
        print(*snapshot.execute(count).fetchall()[0], flush=True)
        wait_for_go()
        print(*snapshot.execute(count).fetchall()[0], flush=True)
    with warehouse.open_current(Path(folder)) as snapshot:
        print(*snapshot.execute(count).fetchall()[0], flush=True)


COMMANDS = {
    command.__name__: command
    for command in (upgrade, write, die_writing, land_and_die, publish, publish_and_die, hold_open)
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
