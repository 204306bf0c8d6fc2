from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.model.vocabulary import JobStatus, Stage
from holovitals_pipelines.store import errors, jobs, leases, warehouse
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.tables import (
    anti_entropy,
    link,
    outbox,
    patient_member,
    patient_proposal,
    provider_latency,
    quality_result,
    quarantine,
    standing_difference,
    sync_conflict,
    sync_conflict_field,
    sync_statistics,
    watermark,
    webhook_log,
)
from holovitals_pipelines.store.warehouse import open_current, publish
from holovitals_pipelines.store.warehouse_schema import warehouse_tables

MARKER = "Zyxmarker"
"""Stands in every place that may hold health data."""


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "warehouse"


def ask(folder: Path, question: str) -> list[tuple[Any, ...]]:
    with open_current(folder) as snapshot:
        return snapshot.execute(question).fetchall()


def finish_job(transaction: sa.Connection, job_id: str, at: datetime, seconds: float = 90.0) -> None:
    leases.begin_work(transaction, job_id, "w", timedelta(seconds=60), at)
    jobs.move(transaction, job_id, JobStatus.COMPLETED, at + timedelta(seconds=seconds))


def add_statistics(transaction: sa.Connection, job_id: str, at: datetime, created: int = 3) -> None:
    columns = [column.name for column in sync_statistics.c]
    counts = {"extracted": 10, "created": created}
    row = (
        job_id, "Patient", "epic", "epic", "FULL_SYNC", at, at,
        *(counts.get(name, 0) for name in columns[7:-4]), 1.0, 0.5, 0.25, 0.125,
    )  # fmt: skip
    insert_rows(transaction, sync_statistics, columns, [row], "update")


def add_conflicts(transaction: sa.Connection, job_id: str, now: datetime) -> None:
    """One decided by policy, one by a person, one that merged cleanly, one overdue."""
    shared = {"job_id": job_id, "connection": "epic", "resource_type": "Patient", "type": "UPDATE_UPDATE",
              "revision": 2, "detected_at": now, "rule": "patient-contacts", "policy_version": "p1 m1", "units": 1,
              "patient": f"Patient/{MARKER}", "reason": MARKER, "remote_version": MARKER,
              "decision": {"values": {"birthDate": MARKER}}, "local_document": b"d" * 16}  # fmt: skip
    by_policy = {"status": "RESOLVED", "strategy": "MERGE", "severity": "LOW", "decided_by": "policy:p1",
                 "decided_at": now + timedelta(seconds=30)}  # fmt: skip
    rows: dict[str, dict[str, Any]] = {
        "c1": by_policy,
        "c2": by_policy | {"decided_by": "dr.who", "severity": "HIGH", "strategy": "MANUAL", "reopened": 1},
        "c3": by_policy | {"units": 0, "rule": "clean_merge"},
        "c4": {"status": "PENDING_REVIEW", "severity": "CRITICAL", "due_at": now + timedelta(hours=4)},
    }
    for place, (conflict_id, values) in enumerate(rows.items()):
        named = {"conflict_id": conflict_id, "link_id": f"l{place}", "record_id": f"r{place}"}
        transaction.execute(sync_conflict.insert().values({**shared, **named, **values}))
    for revision in (1, 2):
        transaction.execute(
            sync_conflict_field.insert().values(
                conflict_id="c1", revision=revision, unit=f"telecom[phone|{MARKER}]].value", element="telecom",
                kind="conflict", severity="LOW", rule="patient-contacts", local=f'"{MARKER}"', remote=f'"{MARKER}"',
                chosen=f'"{MARKER}"', chosen_side="remote", why=MARKER,
            )
        )  # fmt: skip


def fill(database: Database, new_job: Any, now: datetime) -> str:
    """One of everything, with the marker wherever a resource's value or a vendor's id could be."""
    with database.write() as transaction:
        job_id = str(new_job(transaction).job_id)
        finish_job(transaction, job_id, now)
        add_statistics(transaction, job_id, now)
        problem = Problem("extract.not_json", "the line is not JSON", "ask the vendor", "file.ndjson", 7, "Patient")
        errors.add_errors(transaction, job_id, "epic", Stage.EXTRACT, [problem], now)
        rows = [
            (f"l{n}", "epic", kind, f"{MARKER}-{n}", f"r{n % 3}", state, "sync", now)
            for n, (kind, state) in enumerate(
                [("Patient", "active")] * 4 + [("Patient", "tombstone")] + [("Encounter", "active")]
            )
        ]
        insert_rows(transaction, link, [column.name for column in link.c], rows)
        held = {"job_id": job_id, "connection": "epic", "resource_type": "Patient", "remote_id": MARKER,
                "document_hash": b"h" * 16, "stage": "transform", "rule": "fhir.required", "message": MARKER,
                "remedy": MARKER, "source": MARKER, "path": "Patient.name", "state": "held"}  # fmt: skip
        transaction.execute(quarantine.insert(), [{**held, "at": now + timedelta(seconds=n)} for n in range(3)])
        add_conflicts(transaction, job_id, now)
        transaction.execute(
            patient_member.insert().values(
                record_id="r1", patient_key="k1", connection="epic", how="exact", decided_by="policy:identity",
                identifier_system="http://hl7.org/fhir/sid/us-ssn", at=now, state="active", document_hash=b"1",
                demographics_hash=b"2",
            )
        )  # fmt: skip
        transaction.execute(
            patient_proposal.insert().values(
                proposal_id="pp", record_id="r1", other_id="r2", grounds="splink", score=0.99,
                compared={"family": "same"}, revision=b"1", state="rejected", proposed_at=now, decided_by="steward",
                decided_at=now, reason=MARKER,
            )
        )  # fmt: skip
        transaction.execute(
            standing_difference.insert().values(
                link_id="l0", unit=f"telecom[phone|{MARKER}]].value", connection="epic", resource_type="Patient",
                record_id="r0", severity="MEDIUM", reason="read_only", since=now,
            )
        )  # fmt: skip
        transaction.execute(
            outbox.insert().values(
                intent_id="i1", link_id="l0", connection="epic", resource_type="Patient", record_id="r0",
                operation="update", document_hash=b"d" * 16, expected_version=MARKER, state="done", attempts=2,
                guarded=True, error_message=MARKER, job_id=job_id, created_at=now,
                finished_at=now + timedelta(seconds=4),
            )
        )  # fmt: skip
        transaction.execute(
            anti_entropy.insert().values(job_id=job_id, resource_type="Patient", connection="epic", compared=10,
                                         missed=2, unsent=1, absent=3, at=now)
        )  # fmt: skip
        transaction.execute(
            watermark.insert().values(connection="epic", resource_type="Patient", mechanism="last_updated",
                                      value=now, job_id=job_id, updated_at=now)
        )  # fmt: skip
        transaction.execute(
            quality_result.insert().values(job_id=job_id, connection="epic", resource_type="Patient",
                                           check_name="ids", expectation="unique", severity="ERROR", passed=True,
                                           rows=10, unexpected=0, at=now)
        )  # fmt: skip
        transaction.execute(
            provider_latency.insert().values(job_id=job_id, operation="GET Patient?{page}", connection="epic", at=now,
                                             requests=3, failures=0, retries=1, waited_seconds=0.5,
                                             received_bytes=99, p50_ms=1.0, p95_ms=2.0, max_ms=3.0)
        )  # fmt: skip
        transaction.execute(
            webhook_log.insert().values(log_id="log-1", source="athena", event_id=MARKER, event_type="PATIENT_UPDATED",
                                        status="RECEIVED", attempts=0, body_hash=b"h" * 16,
                                        body=MARKER.encode(), received_at=now)
        )  # fmt: skip
    return job_id


def test_every_table_is_filled_from_the_operational_store(
    database: Database, folder: Path, new_job: Any, now: datetime
) -> None:
    job_id = fill(database, new_job, now)
    path = publish(database, folder)
    assert path.parent == folder and (folder / "current").read_text().strip() == path.name
    questions: dict[str, list[tuple[Any, ...]]] = {
        "select job_id, resource_type, extracted, created, total_seconds from sync_statistics": [
            (job_id, "Patient", 10, 3, 1.875)
        ],
        "select job_id, status, resource_types, duration_seconds, created_at from sync_jobs": [
            (job_id, "COMPLETED", [], 90.0, now)
        ],
        "select code, line, source, severity from sync_errors": [("extract.not_json", 7, "file.ndjson", "ERROR")],
        "select connection, resource_type, records, links from record_counts order by 2": [
            ("epic", "Encounter", 1, 1),
            ("epic", "Patient", 3, 4),
        ],
        "select rule, path, state, resources, last_at - first_at from quarantine": [
            ("fhir.required", "Patient.name", "held", 3, timedelta(seconds=2))
        ],
        "select conflict_id, link_id, record_id, severity, decided_how, resolve_seconds, reopened from conflicts"
        " order by 1": [
            ("c1", "l0", "r0", "LOW", "automatic", 30.0, 0),
            ("c2", "l1", "r1", "HIGH", "person", 30.0, 1),
            ("c3", "l2", "r2", "LOW", "clean", 30.0, 0),
            ("c4", "l3", "r3", "CRITICAL", None, None, 0),
        ],
        "select conflict_id, due_in_seconds < 0, open_seconds > 0 from conflicts where open_seconds is not null": [
            ("c4", True, True)
        ],
        "select rule, policy_version, units, strategy from conflicts where conflict_id = 'c1'": [
            ("patient-contacts", "p1 m1", 1, "MERGE")
        ],
        "select element, severity, chosen_side, connection, newest from conflict_fields order by newest": [
            ("telecom", "LOW", "remote", "epic", False),
            ("telecom", "LOW", "remote", "epic", True),
        ],
        "select element, severity, reason, since from standing_differences": [("telecom", "MEDIUM", "read_only", now)],
        "select operation, state, attempts, guarded, seconds from writes": [("update", "done", 2, True, 4.0)],
        "select resource_type, compared, missed, unsent, absent from anti_entropy": [("Patient", 10, 2, 1, 3)],
        "select resource_type, value from watermarks": [("Patient", now)],
        "select passed, rows from quality_results": [(True, 10)],
        "select operation, p95_ms from provider_latency": [("GET Patient?{page}", 2.0)],
        "select source, event_type, status from webhook_events": [("athena", "PATIENT_UPDATED", "RECEIVED")],
    }
    for question, answer in questions.items():
        assert ask(folder, question) == answer, question
    assert warehouse.row_counts(folder)["record_counts"] == 2


def test_no_body_vendor_id_or_free_text_is_in_the_warehouse(
    database: Database, folder: Path, new_job: Any, now: datetime
) -> None:
    fill(database, new_job, now)
    publish(database, folder)
    with open_current(folder) as snapshot:
        for table in warehouse_tables():
            said = snapshot.execute(f'select * from "{table.name}"').fetchall()
            assert said, table.name
            assert MARKER not in repr(said), table.name
    assert MARKER.encode() not in warehouse.current_snapshot(folder).path.read_bytes()


def test_every_table_and_column_explains_itself(sqlite_database: Database, folder: Path) -> None:
    publish(sqlite_database, folder)
    silent = ask(
        folder,
        "select table_name, column_name from duckdb_columns() where not internal and coalesce(comment, '') = ''"
        " and table_name <> 'snapshot_info' union all"
        " select table_name, null from duckdb_tables() where not internal and coalesce(comment, '') = ''",
    )
    assert silent == []
    found = {name for (name,) in ask(folder, "select table_name from duckdb_tables()")}
    assert found == {table.name for table in warehouse_tables()} | {"snapshot_info"}


def test_a_second_publish_equals_one_from_scratch(
    database: Database, folder: Path, new_job: Any, now: datetime
) -> None:
    """Old rows are copied from the previous snapshot; whatever changed since takes their place."""
    long_ago = datetime.now(UTC) - timedelta(days=30)
    with database.write() as transaction:
        made = [new_job(transaction, at=long_ago).job_id for _ in range(4)]
        for job_id in made[:3]:
            finish_job(transaction, job_id, long_ago)
            add_statistics(transaction, job_id, long_ago)
    publish(database, folder)
    recently = datetime.now(UTC)
    with database.write() as transaction:
        transaction.execute(sa.text("update sync_job set status = 'FAILED' where job_id = :job"), {"job": made[0]})
        jobs.move(transaction, made[0], JobStatus.RETRYING, recently)
        add_statistics(transaction, made[1], recently, created=9)
        finish_job(transaction, made[3], recently)
        transaction.execute(  # an old row that is settled is not read again, unless everything is
            sync_statistics.update().where(sync_statistics.c.job_id == made[2]).values(created=77)
        )
    tables = ("sync_jobs", "sync_statistics")
    built_on = publish(database, folder)
    after = {name: sorted(ask(folder, f"select * exclude (created) from {name}" if name == "sync_statistics"
                              else f"select * from {name}"), key=repr) for name in tables}  # fmt: skip
    settled = ask(folder, f"select created from sync_statistics where job_id = '{made[2]}'")
    fresh = publish(database, folder, full=True)
    assert fresh != built_on
    for name in tables:
        columns = "* exclude (created)" if name == "sync_statistics" else "*"
        assert sorted(ask(folder, f"select {columns} from {name}"), key=repr) == after[name]
    assert len(after["sync_jobs"]) == 4 and len(after["sync_statistics"]) == 3
    assert settled == [(3,)]
    assert ask(folder, f"select created from sync_statistics where job_id = '{made[2]}'") == [(77,)]
    assert ask(folder, f"select created from sync_statistics where job_id = '{made[1]}'") == [(9,)]


def test_conflicts_and_writes_of_a_second_publish_equal_those_from_scratch(database: Database, folder: Path) -> None:
    """Whatever may still change is read anew: open ones, ones to be looked at afterwards, writes that wait."""
    long_ago, recently = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC)
    shared = {"job_id": "j", "connection": "epic", "resource_type": "Patient", "type": "UPDATE_UPDATE", "units": 1,
              "revision": 1, "detected_at": long_ago, "due_at": long_ago + timedelta(hours=4)}  # fmt: skip
    settled = {"status": "RESOLVED", "decided_by": "policy:p1", "decided_at": long_ago}
    rows: dict[str, dict[str, Any]] = {
        "settled": settled,
        "to review": {**settled, "post_review": "due"},
        "open": {"status": "PENDING_REVIEW"},
        "decided now": {"status": "PENDING_REVIEW"},
    }
    with database.write() as transaction:
        for name, values in rows.items():
            named = {"conflict_id": name, "link_id": name, "record_id": name}
            transaction.execute(sync_conflict.insert().values({**shared, "post_review": None, **named, **values}))
            unit = {"conflict_id": name, "revision": 1, "unit": "gender", "element": "gender", "kind": "conflict"}
            transaction.execute(sync_conflict_field.insert().values(unit))
            waits = name == "open"
            transaction.execute(
                outbox.insert().values(
                    intent_id=name, link_id=name, connection="epic", resource_type="Patient", operation="update",
                    state="pending" if waits else "done", attempts=0, created_at=long_ago,
                    finished_at=None if waits else long_ago,
                )
            )  # fmt: skip
    publish(database, folder)
    with database.write() as transaction:
        change = sync_conflict.update().where
        transaction.execute(
            change(sync_conflict.c.conflict_id == "decided now").values(
                status="RESOLVED", decided_by="dr", decided_at=recently, revision=2
            )
        )
        transaction.execute(change(sync_conflict.c.conflict_id == "to review").values(post_review="done"))
        unit = {"conflict_id": "decided now", "revision": 2, "unit": "gender", "element": "gender"}
        transaction.execute(sync_conflict_field.insert().values(unit))
        transaction.execute(
            outbox.update().where(outbox.c.intent_id == "open").values(state="done", finished_at=recently)
        )
        transaction.execute(  # settled rows are not read again, unless everything is
            change(sync_conflict.c.conflict_id == "settled").values(strategy="MERGE")
        )
    kept = "* exclude (strategy, open_seconds, due_in_seconds)"
    questions = [f"select {kept} from conflicts", "select * from conflict_fields", "select * from writes"]
    publish(database, folder)
    after = [sorted(ask(folder, question), key=repr) for question in questions]
    strategy = "select strategy from conflicts where conflict_id = 'settled'"
    assert ask(folder, strategy) == [(None,)]
    publish(database, folder, full=True)
    assert [sorted(ask(folder, question), key=repr) for question in questions] == after
    assert ask(folder, strategy) == [("MERGE",)]
    assert [len(rows) for rows in after] == [4, 5, 4]
    assert ask(folder, "select post_review from conflicts where conflict_id = 'to review'") == [("done",)]


def test_a_damaged_previous_snapshot_is_built_over(
    sqlite_database: Database, folder: Path, new_job: Any, now: datetime
) -> None:
    fill(sqlite_database, new_job, now)
    first = publish(sqlite_database, folder)
    first.write_bytes(b"damaged")
    with pytest.raises(StoreError) as raised:
        open_current(folder)
    assert raised.value.code == "warehouse.damaged"
    publish(sqlite_database, folder)
    assert ask(folder, "select count(*) from sync_jobs") == [(1,)]


def test_before_the_first_publish_people_are_told_to_sync(folder: Path) -> None:
    with pytest.raises(StoreError) as raised:
        open_current(folder)
    assert raised.value.code == "warehouse.missing"
    assert "run a sync first" in raised.value.remedy


def test_the_age_of_a_snapshot_is_the_age_of_its_data(sqlite_database: Database, folder: Path) -> None:
    before = datetime.now(UTC)
    publish(sqlite_database, folder)
    ((as_of,),) = ask(folder, "select as_of from snapshot_info")
    assert before <= as_of <= datetime.now(UTC)


def test_a_published_snapshot_cannot_be_written(sqlite_database: Database, folder: Path) -> None:
    publish(sqlite_database, folder)
    with open_current(folder) as snapshot, pytest.raises(duckdb.Error):
        snapshot.execute("delete from sync_jobs")


def test_the_newest_three_and_the_young_are_kept(
    sqlite_database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        publish(sqlite_database, folder)
    assert len(list(folder.glob("warehouse-*.duckdb"))) == 5
    monkeypatch.setattr(warehouse, "KEPT_FOR", timedelta(0))
    newest = publish(sqlite_database, folder)
    kept = sorted(path.name for path in folder.glob("warehouse-*.duckdb"))
    assert len(kept) == 3 and kept[-1] == newest.name


def test_a_notebook_that_holds_the_warehouse_open_never_blocks_publishing(
    database: Database, folder: Path, new_job: Any, start: Any
) -> None:
    publish(database, folder)
    notebook = start("hold_open", str(folder))
    assert notebook.stdout.readline() == "0\n"
    assert notebook.stdout.readline() == "ready\n"
    with database.write() as transaction:
        new_job(transaction)
    publish(database, folder)
    assert ask(folder, "select count(*) from sync_jobs") == [(1,)]  # whoever opens now sees the newer one
    out, err = notebook.communicate("go\n")
    assert notebook.returncode == 0, err
    assert out == "0\n1\n"  # the open one stays as it was; opening again shows the newer


def test_a_notebook_in_the_publishing_process_does_not_block_either(
    sqlite_database: Database, folder: Path, new_job: Any
) -> None:
    publish(sqlite_database, folder)
    with open_current(folder) as held:
        with sqlite_database.write() as transaction:
            new_job(transaction)
        publish(sqlite_database, folder)
        assert held.execute("select count(*) from sync_jobs").fetchall() == [(0,)]
        assert ask(folder, "select count(*) from sync_jobs") == [(1,)]


@pytest.mark.parametrize("at", ["_fill", "_sync_file", "sync_folder", "_write_whole", "_prune"])
def test_a_killed_publisher_leaves_a_readable_warehouse(
    sqlite_database: Database, home: Path, folder: Path, new_job: Any, start: Any, at: str
) -> None:
    process = start("publish_and_die", f"sqlite:///{home}/operational.sqlite", str(folder), at)
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert ask(folder, "select count(*) from sync_jobs") == [(0,)]
    with sqlite_database.write() as transaction:
        new_job(transaction)
    publish(sqlite_database, folder)
    assert ask(folder, "select count(*) from sync_jobs") == [(1,)]
    assert [path.name for path in folder.glob("building-*")] == []


def test_publishers_take_turns_and_share_what_they_publish(
    database: Database, database_url: str, folder: Path, run_together: Callable[..., list[str]]
) -> None:
    printed = run_together(*[("publish", database_url, str(folder), "5")] * 3)
    named = [line.split() for line in printed]
    assert [len(lines) for lines in named] == [5, 5, 5]
    for lines in named:  # nobody was handed an older snapshot than before
        numbers = [int(name.removesuffix(".duckdb").rpartition("-")[2]) for name in lines]
        assert numbers == sorted(set(numbers))
    distinct = {name for lines in named for name in lines}
    assert {path.name for path in folder.glob("warehouse-*.duckdb")} == distinct
    assert ask(folder, "select count(*) from snapshot_info") == [(1,)]


def test_a_publisher_whose_turn_does_not_come_says_who_to_look_for(sqlite_database: Database, folder: Path) -> None:
    publish(sqlite_database, folder)
    with warehouse._turn(folder, wait=0), pytest.raises(StoreError) as raised:
        publish(sqlite_database, folder, wait=0.05)
    assert raised.value.code == "warehouse.busy"


def test_a_snapshot_published_while_waiting_is_taken_only_if_its_reads_began_later(
    sqlite_database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(sqlite_database, folder)
    # Seen from a publisher that came before that build began, and from one that came during it.
    monkeypatch.setattr(warehouse, "_builds_begun", lambda _: 0)
    assert publish(sqlite_database, folder) == first
    monkeypatch.undo()
    assert publish(sqlite_database, folder) != first


def test_the_folder_is_private(sqlite_database: Database, folder: Path) -> None:
    publish(sqlite_database, folder)
    assert folder.stat().st_mode & 0o077 == 0
