"""The operational store's door: one URL, one pool, write transactions that queue and reads that see one instant.

Law: a process that writes waits for its turn instead of failing, on SQLite and on PostgreSQL alike.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.store.database_errors import (
    NOT_CURRENT_REMEDY,
    describe_url,
    is_database_error,
    store_error,
)
from holovitals_pipelines.store.migrations import HEAD

Mode = Literal["read", "write"]

BUSY_SECONDS = 60
CACHE_KIB = 64 * 1024
PAGE_BYTES = 16 * 1024
"""SQLite pages of 16 KiB: hash keys land anywhere, and with 4 KiB pages a batch rewrote twice as many bytes
(one million resources: 54 against 39 µs of CPU each)."""
CHECKPOINT_PAGES = 64 * 1024 * 1024 // PAGE_BYTES
_UPGRADE_LOCK = 0x484F4C4F  # "HOLO": the PostgreSQL advisory lock that upgrades queue on


class Database:
    """An open operational store. Use `read()` and `write()`; close it at the end.

    One Database serves many threads. A child process made by fork gets connections of its own.
    """

    def __init__(self, url: sa.URL) -> None:
        self.place = describe_url(url)
        self._path = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
        self._engine = _sqlite_engine(url) if self._path is not None else _postgres_engine(url)
        self._pid = os.getpid()
        self._known_current = False
        self._here = threading.local()

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        return "sqlite" if self._path is not None else "postgresql"

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction: committed at the end of the block, rolled back by any exception.

        On SQLite it begins IMMEDIATE, so a second writer waits here. Raises StoreError; other exceptions pass.
        """
        before = self.is_writing
        self._here.writing = True
        try:
            with self._transaction("write") as connection:
                yield connection
        finally:
            self._here.writing = before

    @property
    def is_writing(self) -> bool:
        """Whether this thread is in a write transaction; on SQLite a second one would wait for the first for ever."""
        return bool(getattr(self._here, "writing", False))

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read transaction in which every query sees the same instant. Writing in it raises StoreError.

        Keep it short on SQLite: the write-ahead log cannot shrink below the oldest open reader.
        """
        with self._transaction("read") as connection:
            yield connection

    def upgrade(self) -> None:
        """Create or migrate every table. Processes that upgrade at once queue; the later ones find nothing to do."""
        if self._path is not None:
            if not self._path.parent.is_dir():
                raise StoreError(
                    "the folder does not exist",
                    code="store.missing",
                    place=self.place,
                    remedy=f"create {self._path.parent}, or correct the database URL",
                )
            self._path.touch(mode=0o600, exist_ok=True)
        with self._transaction("read", check=False) as connection:
            found = _revision(connection)
        if found != HEAD:
            self._migrate()
        self._known_current = True

    def _migrate(self) -> None:
        from holovitals_pipelines.store.migrations.run import upgrade  # Alembic takes a quarter of a second to import

        with self._transaction("write", check=False) as connection:
            if self.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            found = _revision(connection)  # another process may have been faster
            if found is not None and found > HEAD:
                raise self._too_new(found)
            if found != HEAD:
                upgrade(connection)

    def require_file(self) -> Path:
        """The store's file. Raises StoreError for PostgreSQL, which has tools of its own to copy it."""
        if self._path is None:
            raise StoreError(
                "a PostgreSQL is copied by its own tools",
                code="store.not_a_file",
                place=self.place,
                remedy="pg_dump --format=custom; then say --database-dumped, and the rest is copied",
            )
        return self._path

    def copy_to(self, target: Path) -> None:
        """Copy a SQLite store to a new file as it is at one instant, while others read and write. Raises StoreError."""
        path = self.require_file()
        target.touch(mode=0o600, exist_ok=False)
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                damage = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise store_error(error, self.place) from None
        if damage != "ok":
            raise StoreError(
                "the copy of the store is not whole",
                code="store.damaged",
                place=self.place,
                remedy="check the disk; if it is well, restore the newest backup that can be restored",
            )

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, mode: Mode, *, check: bool = True) -> Iterator[sa.Connection]:
        if os.getpid() != self._pid:
            self._engine.dispose(close=False)  # the parent's connections must not be used, nor closed, by the child
            self._pid = os.getpid()
        if self._path is not None and not self._path.exists():
            raise StoreError("there is no such file", code="store.missing", place=self.place, remedy=NOT_CURRENT_REMEDY)
        try:
            with self._engine.connect() as connection:
                if self.dialect == "postgresql" and mode == "read":
                    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                connection.execution_options(**{_MODE: mode})
                with connection.begin():
                    if check and not self._known_current:
                        self._check_current(connection)
                    yield connection
        except BaseException as error:
            if isinstance(error, Exception) and is_database_error(error):
                raise store_error(error, self.place) from None
            raise

    def _check_current(self, connection: sa.Connection) -> None:
        found = _revision(connection)
        if found is None or found < HEAD:
            said = (
                "the store has no tables yet"
                if found is None
                else f"the store is at revision {found}, {HEAD} is needed"
            )
            raise StoreError(said, code="store.not_current", place=self.place, remedy=NOT_CURRENT_REMEDY)
        if found > HEAD:
            raise self._too_new(found)
        self._known_current = True

    def _too_new(self, found: str) -> StoreError:
        return StoreError(
            f"the store is at revision {found}, and this program knows only {HEAD}",
            code="store.too_new",
            place=self.place,
            remedy="use the newer program that upgraded it, or restore a backup",
        )


def open_database(url: str) -> Database:
    """Open `sqlite:///path` or `postgresql://…`. Nothing is read or created yet: `upgrade()` does that.

    Raises ConfigurationError for a URL that is neither.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise _bad_url() from None
    if backend in ("postgres", "postgresql"):
        return Database(parsed.set(drivername="postgresql+psycopg2"))
    if backend != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise _bad_url()
    return Database(parsed.set(drivername="sqlite+pysqlite"))


def _bad_url() -> ConfigurationError:
    return ConfigurationError(
        "the database URL is neither sqlite:///path nor postgresql://user@host/name",
        code="settings.database_url",
        place="HOLOVITALS_DATABASE_URL",
        remedy="correct it, or leave it out to use SQLite in the home folder",
    )


_MODE = "holovitals_mode"


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        # None: the driver begins nothing by itself; every transaction is begun below, in the mode asked for.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _switch_to_wal(cursor)
        for pragma in (
            "synchronous = full",
            "foreign_keys = on",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = memory",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {CHECKPOINT_PAGES * PAGE_BYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get(_MODE) == "write"
        # By the driver itself: SQLAlchemy's way costs more than both statements.
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(f"PRAGMA query_only = {'off' if writing else 'on'}")
        # A transaction that begins as a reader and then writes fails at once when another wrote in between; one that
        # begins IMMEDIATE waits.
        driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """The one statement whose lock SQLite does not wait for: several processes may be creating the same file."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _postgres_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"},
    )


def _revision(connection: sa.Connection) -> str | None:
    """The revision the store is at; None for an empty one. Revisions are numbered so that they sort."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("select version_num from alembic_version")).scalar()
    return found
