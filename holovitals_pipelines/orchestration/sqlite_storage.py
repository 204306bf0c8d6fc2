"""Dagster's SQLite storage with one engine a database: the stock one makes a new engine for every event it stores.

Law: what is stored, and where, is Dagster's own; an instance can go back to the stock classes at any time.

A new engine has an empty cache of compiled statements, so each event costs 10 ms and more; a demo stores thousands.
Commits do not wait for the disk: in WAL mode a crash of the program loses nothing, a power cut may lose the last
events of the history, and no record, which are in the operational store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage, _event_logs_directory, _runs_directory
from sqlalchemy.pool import NullPool

_BUSY_SECONDS = 60.0
"""As in the stock classes: writers of several processes wait for one another."""


class SqliteStorage(DagsterSqliteStorage):
    """Named in dagster.yaml as `storage: custom`; the files below `base_dir` are those of the stock class."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = _RunStorage.from_local(_runs_directory(base_dir))
        self._event_log_storage = _EventLogStorage(_event_logs_directory(base_dir))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> SqliteStorage:
        return cls.from_local(inst_data=inst_data, **config_value)


class _EventLogStorage(SqliteEventLogStorage):
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


@lru_cache(maxsize=64)
def _engine(address: str) -> sa.Engine:
    """Keeps no connection open: a forked child shares none, and a deleted run's file is let go."""
    engine = sa.create_engine(address, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine
