"""What the store remembers of declared connections, when several processes open it at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import ehr_connection

CLINIC = ConnectionConfig(name="clinic", provider=Provider.FHIR, base_url="https://clinic.example.org/r4")


def test_two_processes_that_open_a_new_store_at_once_both_go_on(database: Database) -> None:
    with ThreadPoolExecutor(1) as another:
        with database.write() as first:
            remember_connections(first, [CLINIC])
            second = another.submit(_remember, database)
            _await_its_turn(database)
        second.result(timeout=30)
    with database.read() as transaction:
        assert transaction.execute(sa.select(ehr_connection.c.name)).scalars().all() == ["clinic"]


def _remember(database: Database) -> None:
    with database.write() as transaction:
        remember_connections(transaction, [CLINIC])


def _await_its_turn(database: Database) -> None:
    """Until the second has looked, found nothing, and waits for the first; on SQLite it waits before it looks."""
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    end = time.monotonic() + 30
    while database.dialect == "postgresql" and time.monotonic() < end:
        with database.read() as transaction:
            if transaction.execute(sa.text(waiting)).first():
                return
        time.sleep(0.01)
