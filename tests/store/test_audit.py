"""The log itself: what an entry's hash covers, one chain whoever appends, signed heads, and states rebuilt from it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.audit import (
    Entry,
    LoggedEntry,
    RecordFinding,
    append,
    check_against_store,
    entries,
    entry,
    last,
    replay,
)
from holovitals_pipelines.store.audit.chain import COLUMNS, hash_entry
from holovitals_pipelines.store.audit.findings import Finding
from holovitals_pipelines.store.audit.heads import HEADS, Head, append_head, newest_head, read_heads, signing
from holovitals_pipelines.store.audit.keys import public_keys
from holovitals_pipelines.store.audit.log import stream_stored
from holovitals_pipelines.store.audit.verification import check_chain
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.database import Database, open_database
from holovitals_pipelines.store.tables import audit_log, record

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
EVERYTHING = Entry(
    action="resolve",
    actor='Zoë \\ "quoted"\t\u2028\x7f',
    record_id="r" * 32,
    link_id="l" * 32,
    connection="clinic",
    conflict_id="c" * 36,
    before_document=b"\x00" * 16,
    after_document=b"\xff" * 16,
    before_version=3,
    after_version=4,
    cause="reason.code",
    job_id="j" * 36,
    policy_version="2026-03",
    detail={"units": ["name", "telecom"], "counts": {"b": 2, "a": 10**15}, "two_person": True, "none": None},
)


def pulled(number: int, **more: Any) -> Entry:
    return Entry("pull", "clinic", f"r{number:04}", after_document=bytes([number % 251]) * 16, after_version=1, **more)


def log(database: Database, made: Iterable[Entry], at: datetime = AT) -> int:
    with database.write() as transaction:
        return append(transaction, made, at=at)


def findings(database: Database, heads: Iterable[Head] = ()) -> list[Finding]:
    with database.read() as transaction:
        return list(check_chain(stream_stored(transaction), heads))


def codes(database: Database, heads: Iterable[Head] = ()) -> list[tuple[str, int | None]]:
    return [(found.code, found.seq) for found in findings(database, heads)]


# one entry


def test_entries_come_back_as_they_were_logged(database: Database) -> None:
    assert log(database, [EVERYTHING, Entry("hold", "ann")], AT.astimezone(UTC) + timedelta(hours=2)) == 2
    with database.read() as transaction:
        first, second = entries(transaction)
        assert entry(transaction, 1) == first and last(transaction) == second
    for name in ("action", "actor", "record_id", "detail", "before_document", "after_version", "policy_version"):
        assert getattr(first, name) == getattr(EVERYTHING, name)
    assert (first.seq, first.previous_entry, second.previous_entry) == (1, None, first.entry_hash)
    assert len(first.entry_hash) == 32 and first.at == AT + timedelta(hours=2)
    assert findings(database) == []


def test_the_hash_can_be_computed_by_anybody_from_the_documented_form(database: Database) -> None:
    log(database, [Entry("pull", "clinic", "r1", after_document=b"\xab" * 16, after_version=1), EVERYTHING])
    with database.read() as transaction:
        first, second = entries(transaction)
    nothing = "null"
    text = (
        f'[1,"2026-03-01T12:30:15.123456+00:00","clinic","pull",{nothing},"r1",{nothing},{nothing},{nothing},'
        f'"{"ab" * 16}",{nothing},1,{nothing},{nothing},{nothing},{nothing},{nothing}]'
    )
    assert first.entry_hash == sha256(b"holovitals-audit-1\n" + text.encode()).digest()
    cells = [getattr(second, name) for name in COLUMNS[:-1]]
    plain = [c.hex() if isinstance(c, bytes) else c.isoformat() if isinstance(c, datetime) else c for c in cells]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert second.entry_hash == sha256(b"holovitals-audit-1\n" + text.encode()).digest()


def test_an_entry_that_is_not_there_is_named_by_its_number(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.read() as transaction:
        entry(transaction, 7)
    assert raised.value.code == "audit.entry_unknown" and "7" in raised.value.message


def test_details_hold_names_and_counts_never_measured_values(database: Database) -> None:
    for detail in ({"dose": 1.5}, {"doses": [{"value": 0.5}]}):
        with pytest.raises(ValueError, match="names and counts"):
            log(database, [Entry("edit", "ann", detail=detail)])
    assert log(database, []) == 0


def test_entries_are_found_by_what_they_tell_of(database: Database) -> None:
    told = [pulled(1), pulled(2, conflict_id="c2", job_id="j"), pulled(1, link_id="l", connection="clinic")]
    log(database, told)
    with database.read() as transaction:
        assert [e.seq for e in entries(transaction, record_id="r0001")] == [1, 3]
        assert [e.seq for e in entries(transaction, record_id="r0001", since_seq=1)] == [3]
        assert [e.seq for e in entries(transaction, conflict_id="c2", job_id="j")] == [2]
        assert [e.seq for e in entries(transaction, link_id="l", connection="clinic")] == [3]
        assert [e.seq for e in entries(transaction, newest_first=True, limit=2)] == [3, 2]


# one chain


def test_entries_of_concurrent_transactions_form_one_chain_without_gaps(database_url: str) -> None:
    workers, rounds = 4, 12
    together = threading.Barrier(workers)

    def work(number: int) -> list[int]:
        database = open_database(database_url)
        together.wait()
        made = [log(database, [pulled(number), pulled(number)]) for _ in range(rounds)]
        database.close()
        return made

    with ThreadPoolExecutor(workers) as pool:
        returned = [seq for made in pool.map(work, range(workers)) for seq in made]
    database = open_database(database_url)
    assert sorted(returned) == list(range(2, 2 * workers * rounds + 1, 2)), "each was told its own last number"
    assert findings(database) == []
    with database.read() as transaction:
        newest = last(transaction)
    assert newest is not None and newest.seq == 2 * workers * rounds
    database.close()


def test_a_transaction_that_fails_leaves_no_gap(database: Database) -> None:
    log(database, [pulled(1)])
    with pytest.raises(RuntimeError), database.write() as transaction:
        append(transaction, [pulled(2)], at=AT)
        raise RuntimeError
    with database.write() as transaction:
        assert [append(transaction, [pulled(3)], at=AT), append(transaction, [pulled(4)], at=AT)] == [2, 3]
    assert findings(database) == []


def test_a_chain_longer_than_any_batch_is_whole(database: Database) -> None:
    assert log(database, (pulled(number) for number in range(21_000))) == 21_000
    assert findings(database) == []


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_an_edit_of_any_column_is_found(database: Database, column: str) -> None:
    log(database, [EVERYTHING, EVERYTHING, EVERYTHING])
    others = {str: "x", bytes: b"\x01" * 16, int: 99, datetime: AT + timedelta(microseconds=1), dict: {}}
    with database.read() as transaction:
        other = others[type(getattr(entry(transaction, 2), column))]
    for value in (None, other) if audit_log.c[column].nullable else (other,):
        with database.write() as transaction:
            before = entry(transaction, 2)
            transaction.execute(audit_log.update().where(audit_log.c.seq == 2).values({column: value}))
        assert ("audit.entry_edited", 2) in codes(database)
        with database.write() as transaction:
            transaction.execute(
                audit_log.update().where(audit_log.c.seq == 2).values({column: getattr(before, column)})
            )
        assert findings(database) == []


@pytest.mark.parametrize(
    ("column", "stored"),
    [
        ("at", "yesterday"),
        ("at", "2026-03-01T12:30:15.123456"),
        ("detail", '{"half'),
        ("detail", '{"a": 1e999}'),
        ("detail", '{"a": "\\ud800"}'),
        ("detail", b"\xff"),
        ("before_version", 9e999),
        ("before_version", "MARKER"),
        ("before_document", 9e999),
        ("before_document", 16),
        ("seq", "MARKER"),
    ],
)
def test_what_only_sqlite_lets_into_a_column_is_found_and_stops_nothing(
    sqlite_database: Database, column: str, stored: object
) -> None:
    log(sqlite_database, [Entry("hold", "ann", detail={"a": None}) for _ in range(3)])
    with sqlite_database.write() as transaction:
        transaction.exec_driver_sql(f"UPDATE audit_log SET {column} = ? WHERE seq = 2", (stored,))
    told = codes(sqlite_database)
    assert ("audit.entry_edited", None if column == "seq" else 2) in told


short = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
name = st.one_of(st.none(), short)
image = st.one_of(st.none(), st.binary(min_size=16, max_size=16))
version = st.one_of(st.none(), st.integers(1, 10**6))
counts = st.recursive(
    st.one_of(short, st.booleans(), st.none(), st.integers(-(2**53), 2**53)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=6,
)
instant = st.timedeltas(timedelta(0), timedelta(days=30_000)).map(lambda later: AT + later)
any_entry = st.builds(
    Entry, short, short, name, name, name, name, image, image, version, version, name, name, name,
    st.one_of(st.none(), st.dictionaries(short, counts, max_size=3)),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(any_entry, min_size=1, max_size=5), at=instant)
def test_whatever_is_logged_reads_back_to_the_same_hash(database: Database, made: list[Entry], at: datetime) -> None:
    log(database, made, at)
    assert findings(database) == []


@given(one=any_entry, other=any_entry)
def test_different_entries_have_different_hashes(one: Entry, other: Entry) -> None:
    def cells(made: Entry) -> tuple[Any, ...]:
        return (1, AT, *(getattr(made, column) for column in COLUMNS[2:-2]), None)

    same = json.dumps(cells(one), default=repr, sort_keys=True) == json.dumps(
        cells(other), default=repr, sort_keys=True
    )
    assert (hash_entry(cells(one)) == hash_entry(cells(other))) is same


# heads


def sign(database: Database, folder: Path) -> Head:
    with signing(folder) as key, database.read() as transaction:
        newest = last(transaction)
        assert newest is not None
        after = newest_head(folder / HEADS, public_keys(folder))
        return append_head(
            folder, key, seq=newest.seq, entry_hash=newest.entry_hash, count=newest.seq, at=AT, after=after
        )


@pytest.fixture
def folder(home: Path, sqlite_database: Database) -> Path:
    """Three signed heads, of entries 2, 4 and 6."""
    for number in range(3):
        log(sqlite_database, [pulled(number), pulled(number)])
        sign(sqlite_database, home / "audit")
    return home / "audit"


def judged(folder: Path) -> tuple[list[int], list[str]]:
    file = read_heads(folder / HEADS, public_keys(folder))
    return [head.seq for head in file.heads], [found.code for found in file.findings]


def test_heads_and_keys_are_kept_for_the_owner_only_and_beside_each_other(folder: Path) -> None:
    assert judged(folder) == ([2, 4, 6], [])
    assert (folder / HEADS).stat().st_mode & 0o777 == 0o600
    assert (folder / "head-signing.pem").stat().st_mode & 0o777 == 0o600
    [public] = folder.glob("head-*.pub.pem")
    told = [json.loads(line) for line in (folder / HEADS).read_text().splitlines()]
    assert {line["key_id"] for line in told} == {public.name.removeprefix("head-").removesuffix(".pub.pem")}
    assert set(told[0]) == {"seq", "entry_hash", "at", "count", "previous", "key_id", "signature"}


@pytest.mark.parametrize("member", ["seq", "entry_hash", "at", "count", "previous", "signature"])
def test_a_head_of_which_anything_was_changed_is_forged(folder: Path, member: str) -> None:
    lines = (folder / HEADS).read_text().splitlines()
    told = json.loads(lines[1])
    changed = {"seq": 3, "count": 3, "at": "2026-03-01T12:30:15+00:00"}.get(member, "00" * 32)
    lines[1] = json.dumps(told | {member: changed})
    (folder / HEADS).write_text("\n".join(lines) + "\n")
    assert judged(folder) == ([2, 6], ["audit.head_forged"])


def test_a_head_taken_out_of_the_file_is_missed(folder: Path) -> None:
    lines = (folder / HEADS).read_text().splitlines(keepends=True)
    (folder / HEADS).write_text(lines[0] + lines[2])
    assert judged(folder) == ([2, 6], ["audit.heads_removed"])
    (folder / HEADS).write_text(lines[1] + lines[2])
    assert judged(folder) == ([4, 6], ["audit.heads_removed"])


def test_half_a_line_of_a_power_failure_hides_no_later_head(folder: Path, sqlite_database: Database) -> None:
    with (folder / HEADS).open("ab") as file:
        file.write(b'{"seq":8,"entry_ha')
    log(sqlite_database, [pulled(9)])
    sign(sqlite_database, folder)
    assert judged(folder) == ([2, 4, 6, 7], ["audit.head_unreadable"])


def test_a_head_by_a_key_nobody_kept_proves_nothing(folder: Path) -> None:
    [public] = folder.glob("head-*.pub.pem")
    public.unlink()
    assert judged(folder) == ([], ["audit.head_key_unknown"] * 3)


def test_a_replaced_key_leaves_its_heads_provable(folder: Path, sqlite_database: Database) -> None:
    (folder / "head-signing.pem").unlink()
    log(sqlite_database, [pulled(9)])
    sign(sqlite_database, folder)
    assert judged(folder) == ([2, 4, 6, 7], []) and len(public_keys(folder)) == 2


def test_a_file_that_is_no_key_is_refused_without_quoting_it(folder: Path) -> None:
    (folder / "head-signing.pem").write_text("SECRET")
    with pytest.raises(StoreError) as raised, signing(folder):
        raise AssertionError("never reached")
    assert raised.value.code == "audit.key_unreadable" and "SECRET" not in str(raised.value)


def test_of_two_heads_that_differ_the_first_is_told_with_the_last_that_agreed(
    folder: Path, sqlite_database: Database
) -> None:
    heads = read_heads(folder / HEADS, public_keys(folder)).heads
    false = [heads[0], replace(heads[1], entry_hash=b"0" * 32), replace(heads[2], entry_hash=b"1" * 32)]
    [found] = findings(sqlite_database, false)
    assert (found.code, found.seq) == ("audit.rewritten", 4) and "after entry 2" in found.message


# states


def test_replaying_the_log_rebuilds_every_record(database: Database) -> None:
    a, b, c = (bytes([n]) * 16 for n in range(3))
    log(
        database,
        [
            Entry("pull", "clinic", "r2", after_document=a, after_version=1),
            Entry("pull", "clinic", "r1", after_document=a, after_version=1),
            Entry("hold", "policy:1", "r1", cause="critical"),
            Entry("edit", "ann", "r1", before_document=a, before_version=1, after_document=b, after_version=2),
            Entry("delete", "clinic", "r2", before_document=a, before_version=1, after_version=2),
            Entry("pull", "clinic", "R3", before_document=c, before_version=7, after_document=a, after_version=8),
            Entry("pull", "clinic", "r2", before_version=2, after_document=c, after_version=3),
        ],
    )
    with database.read() as transaction:
        told = [(one.record_id, one.document, one.version, one.untrue) for one in replay(transaction)]
    assert told == [("R3", a, 8, ()), ("r1", b, 2, ()), ("r2", c, 3, ())]


def test_an_untrue_before_image_is_told_with_its_entry(database: Database) -> None:
    a, b, c = (bytes([n]) * 16 for n in range(3))
    log(
        database,
        [
            Entry("pull", "clinic", "r1", after_document=a, after_version=1),
            Entry("edit", "ann", "r1", before_document=b, before_version=1, after_document=c, after_version=2),
            Entry("edit", "ann", "r1", before_document=c, before_version=3, after_document=a, after_version=4),
            Entry("edit", "ann", "r1", before_document=a, before_version=4, after_document=b, after_version=5),
        ],
    )
    with database.read() as transaction:
        [told] = replay(transaction)
    assert told.untrue == (2, 3)


def store_record(
    database: Database, record_id: str, document: bytes, version: int, state: str = "active", at: datetime = AT
) -> None:
    columns = [column.name for column in record.columns]
    row = (record_id, "Patient", "clinic", version, state, document, document, 1, "clinic", at)
    with database.write() as transaction:
        insert_rows(transaction, record, columns, [row])


def test_records_that_differ_from_the_log_are_listed_and_older_ones_apart(database: Database) -> None:
    a, b = b"a" * 16, b"b" * 16
    told = [Entry("pull", "clinic", f"r{n}", after_document=a, after_version=1) for n in range(1, 7)]
    gone = [Entry("delete", "clinic", f"r{n}", before_document=a, before_version=1, after_version=2) for n in (5, 6)]
    log(database, told + gone)
    store_record(database, "r0", a, 1, at=AT - timedelta(days=1))
    store_record(database, "r1", a, 1)
    store_record(database, "r2", b, 1)
    store_record(database, "r3", a, 2)
    store_record(database, "r5", a, 2, state="deleted")
    store_record(database, "r6", a, 2)
    store_record(database, "r9", a, 1, at=AT + timedelta(seconds=1))
    with database.read() as transaction:
        found = list(check_against_store(transaction))
    assert found == [
        RecordFinding("r0", "before_the_log"),
        RecordFinding("r2", "differs"),
        RecordFinding("r3", "differs"),
        RecordFinding("r4", "missing"),
        RecordFinding("r6", "differs"),
        RecordFinding("r9", "unlogged"),
    ]


def test_without_a_log_every_record_is_older_than_it(database: Database) -> None:
    store_record(database, "r1", b"a" * 16, 1)
    with database.read() as transaction:
        assert list(check_against_store(transaction)) == [RecordFinding("r1", "before_the_log")]


def test_the_log_says_which_columns_it_has() -> None:
    assert set(COLUMNS) == {column.name for column in audit_log.columns}
    assert tuple(LoggedEntry.__dataclass_fields__) == COLUMNS


def test_reading_the_log_needs_no_right_to_write(database: Database) -> None:
    with pytest.raises(StoreError), database.read() as transaction:
        append(transaction, [pulled(1)], at=AT)
    with database.read() as transaction:
        assert transaction.execute(sa.select(sa.func.count()).select_from(audit_log)).scalar() == 0
