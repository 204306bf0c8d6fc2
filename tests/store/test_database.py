from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import holovitals_pipelines.store.migrations as migrations
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.store.database import Database, open_database
from holovitals_pipelines.store.tables import metadata, record_version, sync_job, sync_job_event, watermark


def add_watermark(transaction: sa.Connection, connection: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    transaction.execute(
        watermark.insert().values(
            connection=connection, resource_type="Patient", mechanism="m", value=now, job_id="j", updated_at=now
        )
    )


def connections(database: Database) -> set[str]:
    with database.read() as transaction:
        return set(transaction.execute(sa.select(watermark.c.connection)).scalars())


def test_migrations_end_at_the_tables_as_declared(database: Database) -> None:
    with database.read() as transaction:
        context = MigrationContext.configure(transaction, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrated_checks_keys_and_partial_indexes_are_those_declared(
    database: Database, database_url: str, home: Path
) -> None:
    """What alembic does not compare; `create_all` beside it says what is meant."""
    if database.dialect == "sqlite":
        engine, schema = sa.create_engine(f"sqlite:///{home}/declared.sqlite"), None
    else:
        engine, schema = sa.create_engine(database_url), "declared"
    with engine.begin() as connection:
        if schema:
            connection.execute(sa.schema.CreateSchema(schema))
        metadata.create_all(connection.execution_options(schema_translate_map={None: schema}))
        declared = facts_of(connection, schema)
    engine.dispose()
    with database.read() as transaction:
        migrated = facts_of(transaction, None)
    assert migrated == declared
    assert any("PENDING_REVIEW" in fact for fact in migrated)  # a partial index
    assert any("RETRYING" in fact for fact in migrated)  # a check


def facts_of(connection: sa.Connection, schema: str | None) -> list[str]:
    inspector = sa.inspect(connection)
    facts = []
    for table in sorted(metadata.tables):
        for index in inspector.get_indexes(table, schema):
            options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
            facts.append(f"{table} {index['name']} {index['column_names']} {bool(index['unique'])} {options}")
        for check in inspector.get_check_constraints(table, schema):
            facts.append(f"{table} {check['name']} {check['sqltext']}")
        facts.append(f"{table} {inspector.get_pk_constraint(table, schema)['constrained_columns']}")
        facts += [f"{table} {key['referred_table']}" for key in inspector.get_foreign_keys(table, schema)]
    return sorted(facts)


def test_the_program_knows_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD


def test_processes_that_upgrade_at_once_all_succeed(
    empty_database_url: str, run_together: Callable[..., list[str]]
) -> None:
    run_together(*[("upgrade", empty_database_url)] * 6)
    database = open_database(empty_database_url)
    assert connections(database) == set()
    database.close()


def test_two_processes_writing_at_once_never_see_a_locked_database(
    database: Database, database_url: str, run_together: Callable[..., list[str]]
) -> None:
    each = 300
    run_together(("write", database_url, "a", str(each)), ("write", database_url, "b", str(each)))
    with database.read() as transaction:
        query = sa.select(record_version.c.record_id, sa.func.count()).group_by(record_version.c.record_id)
        assert dict(tuple(row) for row in transaction.execute(query)) == {"a": each, "b": each}
        if database.dialect == "sqlite":
            # Every transaction counted all rows before its own: none read the past of another.
            seen = transaction.execute(sa.select(record_version.c.changed_by)).scalars()
            assert sorted(map(int, seen)) == list(range(2 * each))


def test_a_process_killed_in_the_middle_of_a_write_leaves_nothing(
    database: Database, database_url: str, start: Any
) -> None:
    with database.write() as transaction:
        add_watermark(transaction, "before")
    process = start("die_writing", database_url)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with database.write() as transaction:  # nobody is left holding a lock
        add_watermark(transaction, "after")
    assert connections(database) == {"before", "after"}
    with database.read() as transaction:
        assert transaction.execute(sa.select(sa.func.count()).select_from(record_version)).scalar() == 0


def test_an_exception_rolls_the_whole_transaction_back(database: Database) -> None:
    with pytest.raises(RuntimeError, match="later"), database.write() as transaction:
        add_watermark(transaction, "epic")
        raise RuntimeError("later")
    assert connections(database) == set()


def test_a_reader_sees_one_instant_while_others_write(database: Database) -> None:
    with database.read() as reader:
        query = sa.select(sa.func.count()).select_from(watermark)
        assert reader.execute(query).scalar() == 0
        with database.write() as writer:
            add_watermark(writer, "epic")
        assert reader.execute(query).scalar() == 0
    assert connections(database) == {"epic"}


def test_a_read_transaction_cannot_write_and_says_what_to_do(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.read() as transaction:
        add_watermark(transaction, "epic")
    assert raised.value.code == "store.read_only"
    assert "Database.write()" in raised.value.remedy
    with database.write() as transaction:  # the same pooled connection writes again
        add_watermark(transaction, "epic")


def test_a_broken_constraint_is_named_without_the_values(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.write() as transaction:
        add_watermark(transaction, "secret-marker")
        add_watermark(transaction, "secret-marker")
    assert raised.value.code == "store.constraint"
    assert "watermark" in str(raised.value)
    assert "secret-marker" not in str(raised.value)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


def test_references_are_enforced(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.write() as transaction:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        transaction.execute(sync_job_event.insert().values(job_id="nobody", at=now, kind="created"))
    assert raised.value.code == "store.constraint"


def test_a_status_outside_the_vocabulary_is_refused_by_the_database(database: Database, now: datetime) -> None:
    values = dict.fromkeys(("job_id", "connection", "provider", "type", "direction"), "x")
    with pytest.raises(StoreError), database.write() as transaction:
        transaction.execute(
            sync_job.insert().values(
                **values, priority=3, status="DREAMING", resource_types=[], request={}, created_at=now
            )
        )


def test_a_store_that_was_never_upgraded_says_so(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    with pytest.raises(StoreError) as raised, database.read():
        pass
    assert raised.value.code in ("store.missing", "store.not_current")
    assert "upgrade" in raised.value.remedy
    database.close()


def test_a_store_of_a_newer_program_is_left_alone(database: Database, database_url: str) -> None:
    with database.write() as transaction:
        transaction.execute(sa.text("update alembic_version set version_num = '9999'"))
    later = open_database(database_url)
    for attempt in (later.upgrade, later.read().__enter__):
        with pytest.raises(StoreError) as raised:
            attempt()
        assert raised.value.code == "store.too_new"
    later.close()


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "not a url hunter2", "odd+driver://hunter2"]
)
def test_a_url_that_is_neither_database_is_a_configuration_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_database(url)
    assert "hunter2" not in str(raised.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    database = open_database("postgresql://clerk:hunter2@127.0.0.1:9/holovitals?connect_timeout=1")
    with pytest.raises(StoreError) as raised, database.read():
        pass
    assert raised.value.code == "store.unreachable"
    assert "clerk@127.0.0.1:9/holovitals" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_folder_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as raised:
        open_database(f"sqlite:///{tmp_path}/absent/operational.sqlite").upgrade()
    assert raised.value.code == "store.missing"
    assert f"{tmp_path}/absent" in raised.value.remedy


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "operational.sqlite").write_bytes(b"this is not a database, it is a text file\n" * 100)
    with pytest.raises(StoreError) as raised:
        open_database(f"sqlite:///{tmp_path}/operational.sqlite").upgrade()
    assert raised.value.code == "store.damaged"


def test_sqlite_is_durable_and_private(sqlite_database: Database, home: Path) -> None:
    with sqlite_database.read() as transaction:
        pragma = {
            name: transaction.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "page_size", "busy_timeout")
        }
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "page_size": 16384,
        "busy_timeout": 60_000,
    }
    fresh = open_database(f"sqlite:///{home}/fresh.sqlite")
    fresh.upgrade()
    fresh.close()
    assert (home / "fresh.sqlite").stat().st_mode & 0o077 == 0


def test_a_forked_child_uses_connections_of_its_own(sqlite_database: Database) -> None:
    with sqlite_database.write() as transaction:
        add_watermark(transaction, "parent")
    child = os.fork()
    if child == 0:
        try:
            with sqlite_database.write() as transaction:
                add_watermark(transaction, "child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with sqlite_database.write() as transaction:
        add_watermark(transaction, "parent again")
    assert connections(sqlite_database) == {"parent", "child", "parent again"}
