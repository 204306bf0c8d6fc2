"""Turns what a database driver says into a StoreError that names the place and the remedy.

Law: no parameter, no value and no password of a URL gets into the text; drivers quote all three.
"""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from holovitals_pipelines.model.errors import StoreError

_UNREACHABLE = ("08", "28", "57P", "3D")
"""SQLSTATE prefixes: connection failures, refused log-ins, a server that shuts down or starts, no such database."""


def describe_url(url: sa.URL) -> str:
    """The database a person would recognise, without password or query: `postgresql://user@host/name`, or a path."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database or ':memory:'}"
    host = url.host or url.query.get("host") or "localhost"
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    # A password with an unescaped @ is parsed as if its rest were the host: nothing before the last @ is shown.
    place = f"{user}{host}{port}/{url.database or ''}"
    return f"{url.get_backend_name()}://{place if place.count('@') < 2 else place.rpartition('@')[2]}"


def store_error(error: Exception, place: str) -> StoreError:
    """What to raise in place of a driver's or SQLAlchemy's exception."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(origin, sqlite3.Error):
        return _sqlite(origin, place)
    state = getattr(origin, "pgcode", None)
    if hasattr(origin, "pgerror"):
        return _postgres(origin, state, place)
    return StoreError(
        f"the statement could not be run ({type(origin).__name__})",
        code="store.refused",
        place=place,
        remedy="this is a defect of the program: report it with the traceback",
    )


def _sqlite(origin: sqlite3.Error, place: str) -> StoreError:
    said = str(origin)  # SQLite names tables and columns, never values
    if "locked" in said or "busy" in said:
        return StoreError(
            "another process has held the write lock for more than a minute",
            code="store.locked",
            place=place,
            remedy="find the process that keeps a transaction open (lsof on the file) and end it, then run again",
        )
    if "no such table" in said or "no such column" in said:
        return StoreError(said, code="store.not_current", place=place, remedy=NOT_CURRENT_REMEDY)
    if isinstance(origin, sqlite3.IntegrityError):
        return StoreError(
            said,
            code="store.constraint",
            place=place,
            remedy="this is a defect of the program: report it with the traceback",
        )
    if "not a database" in said or "malformed" in said:
        return StoreError(
            f"the file is damaged or is not a SQLite database ({said})",
            code="store.damaged",
            place=place,
            remedy="restore the file from a backup; the landing zone allows replaying what came after it",
        )
    if "readonly" in said:
        return StoreError(
            said,
            code="store.read_only",
            place=place,
            remedy="write inside Database.write(), and check that the file and its folder are writable",
        )
    if "full" in said or "disk I/O" in said:
        return StoreError(said, code="store.disk", place=place, remedy="free space on the volume, then run again")
    if "unable to open" in said:
        return StoreError(
            said,
            code="store.missing",
            place=place,
            remedy="create the folder, and check its permissions and the database URL",
        )
    return StoreError(
        said if isinstance(origin, sqlite3.OperationalError) else type(origin).__name__,
        code="store.refused",
        place=place,
        remedy="this is a defect of the program: report it with the traceback",
    )


def _postgres(origin: object, state: str | None, place: str) -> StoreError:
    diagnosis = getattr(origin, "diag", None)
    named = [
        f"{word} {value}"
        for word in ("constraint", "table", "column")
        if diagnosis is not None and (value := getattr(diagnosis, f"{word}_name", None))
    ]
    detail = ", ".join([type(origin).__name__, *([f"SQLSTATE {state}"] if state else []), *named])
    if state is None or state.startswith(_UNREACHABLE):
        return StoreError(
            f"the database cannot be reached or refuses the log-in ({detail})",
            code="store.unreachable",
            place=place,
            remedy="check that the server runs and that host, name, user and password of the database URL are right",
        )
    if state in ("42P01", "42703"):
        return StoreError(
            f"a table or column is missing ({detail})", code="store.not_current", place=place, remedy=NOT_CURRENT_REMEDY
        )
    if state == "25006":
        return StoreError(
            "a read transaction cannot write",
            code="store.read_only",
            place=place,
            remedy="write inside Database.write()",
        )
    if state in ("40P01", "55P03"):
        return StoreError(
            f"the database gave up waiting for a lock ({detail})", code="store.locked", place=place, remedy="run again"
        )
    if state.startswith("53"):
        return StoreError(
            f"the server is out of resources ({detail})",
            code="store.disk",
            place=place,
            remedy="free disk space, memory or connections on the server, then run again",
        )
    return StoreError(
        f"the database refused a statement ({detail})",
        code="store.constraint" if state.startswith("23") else "store.refused",
        place=place,
        remedy="this is a defect of the program: report it with the traceback",
    )


NOT_CURRENT_REMEDY = "bring the store up to date with Database.upgrade(), as every command does when it opens a home"


def is_database_error(error: BaseException) -> bool:
    """Whether `error` comes from SQLAlchemy or from a driver it wraps (raw cursors raise those unwrapped)."""
    if isinstance(error, SQLAlchemyError | sqlite3.Error):
        return True
    return type(error).__module__.startswith("psycopg2")
