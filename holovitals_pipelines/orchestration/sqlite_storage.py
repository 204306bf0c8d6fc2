"""Dagster's SQLite storage with a connection that stays: the stock one opens and closes a database for every event.

Law: what is stored, and where, is Dagster's own; an instance can go back to the stock classes at any time.

Each opening compiles every statement anew, and each closing writes the whole log into the database and waits for the
disk, several times an event; a demo stores thousands. Commits do not wait for the disk either: in WAL mode a crash of
the program loses nothing; a power cut may lose the last events of the history, but no record, for those are in the
operational store.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory, _runs_directory
from sqlalchemy.pool import QueuePool

_BUSY_SECONDS = 60.0
"""As in the stock classes: writers of several processes wait for one another."""


class SqliteStorage(DagsterSqliteStorage):
    """Named in dagster.yaml as `storage: custom`; the files below `base_dir` are those of the stock class."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        with _alone(Path(base_dir)):
            super().__init__(base_dir, inst_data)
            self._run_storage = _RunStorage.from_local(_runs_directory(base_dir))
            self._event_log_storage = _EventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteStorage:
        return cls.from_local(inst_data=inst_data, **config_value)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: two that create the same new databases would each stamp them, and spoil them for good."""
    with (folder / ".opening").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _EventLogStorage(SqliteEventLogStorage):
    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._tables: set[str] = set()

    def has_table(self, table_name: str) -> bool:
        """Asked before every check's result is stored, each time by opening the database anew."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = _engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection


class _RunStorage(SqliteRunStorage):
    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        with _engine(self._conn_string).connect() as connection, connection.begin():
            yield connection


def _engine(address: str) -> sa.Engine:
    return _engine_of(address, os.getpid())  # a forked child must not use, nor close, its parent's connections


@lru_cache(maxsize=32)
def _engine_of(address: str, process: int) -> sa.Engine:
    """Keeps a connection: whoever closes the last one of a file waits until its log is written into it."""
    engine = sa.create_engine(
        address, poolclass=QueuePool, pool_size=1, max_overflow=64, connect_args={"timeout": _BUSY_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def _relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
