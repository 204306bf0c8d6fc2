"""Signing the log's head, verifying log and records against it, and the log as FHIR Provenance."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.auditing import AuditReport, audit_folder, images_of, list_entries, sign_head, verify
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.provenance_export import Exported, export_provenance
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.fhir.validation import explain
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.audit import Entry, append
from holovitals_pipelines.store.audit.chain import COLUMNS, hash_entry
from holovitals_pipelines.store.audit.log import stream_entries
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.tables import audit_log, record, sync_conflict

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def change(number: int) -> Entry:
    return Entry("pull", "clinic", f"r{number}", connection="clinic", after_document=b"d" * 16, after_version=1)


def log(home: Home, *made: Entry) -> None:
    with home.database.write() as transaction:
        append(transaction, made, at=AT)


def codes(report: AuditReport) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.fixture
def signed(opened: Home) -> Home:
    """Twelve entries, and heads of the fourth, the eighth and the twelfth."""
    for start in (0, 4, 8):
        log(opened, *(change(start + number) for number in range(4)))
        sign_head(opened)
    return opened


# signing


def test_a_head_names_the_newest_entry_and_is_signed_once(opened: Home) -> None:
    assert sign_head(opened) is None and not list(audit_folder(opened).glob("head*")), "an empty log has no head"
    log(opened, change(1), change(2))
    head = sign_head(opened)
    assert head is not None and (head.seq, head.count) == (2, 2)
    assert sign_head(opened) == head, "nothing new, nothing written"
    log(opened, change(3))
    later = sign_head(opened)
    assert later is not None and (later.seq, later.count, later.previous) == (3, 3, head.digest())
    report = verify(opened)
    assert (report.intact, report.entries, report.heads, report.unsigned) == (True, 3, 2, 0)


def test_heads_signed_at_once_follow_one_another(opened: Home) -> None:
    def work(number: int) -> None:
        log(opened, change(number))
        sign_head(opened)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(24)))
    report = verify(opened)
    assert report.intact and report.newest_head is not None and report.newest_head.seq == 24
    assert report.unsigned == 0


def test_entries_after_the_newest_head_are_counted_as_unsigned(signed: Home) -> None:
    log(signed, change(50), change(51))
    report = verify(signed)
    assert report.intact and report.unsigned == 2


# A41: the five attacks


def edit(transaction: sa.Connection) -> None:
    transaction.execute(audit_log.update().where(audit_log.c.seq == 6).values(actor="somebody else"))


def delete(transaction: sa.Connection) -> None:
    transaction.execute(audit_log.delete().where(audit_log.c.seq == 6))


def swap(transaction: sa.Connection) -> None:
    for seq, moved in ((6, -1), (9, 6), (-1, 9)):
        transaction.execute(audit_log.update().where(audit_log.c.seq == seq).values(seq=moved))


def cut(transaction: sa.Connection) -> None:
    transaction.execute(audit_log.delete().where(audit_log.c.seq > 10))


def rehash(transaction: sa.Connection) -> None:
    """The sixth entry is another one, and all hashes from there on fit."""
    rows = [cells for batch in stream_entries(transaction) for cells in batch]
    previous = None
    for cells in rows:
        told = dict(zip(COLUMNS, cells, strict=True)) | {"previous_entry": previous}
        if told["seq"] == 6:
            told["actor"] = "somebody else"
        previous = hash_entry(tuple(told[name] for name in COLUMNS[:-1]))
        told["entry_hash"] = previous
        transaction.execute(audit_log.update().where(audit_log.c.seq == told["seq"]).values(told))


ATTACKS = {
    edit: (["audit.entry_edited"], 6),
    delete: (["audit.entries_missing"], 6),
    swap: (["audit.link_broken", "audit.entry_edited"] * 2, 6),
    cut: (["audit.tail_cut"], 11),
    rehash: (["audit.rewritten"], 8),
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a41_each_of_five_attacks_on_the_log_is_found(signed: Home, attack: Callable[[sa.Connection], None]) -> None:
    assert verify(signed).intact
    with signed.database.write() as transaction:
        attack(transaction)
    report = verify(signed)
    expected, seq = ATTACKS[attack]
    assert not report.intact and report.findings[0].seq == seq
    assert set(codes(report)) == set(expected)


@pytest.mark.parametrize("attack", [cut, rehash], ids=lambda attack: attack.__name__)
def test_a41_what_no_chain_can_show_is_shown_by_the_head_and_never_signed_over(
    signed: Home, attack: Callable[[sa.Connection], None]
) -> None:
    with signed.database.write() as transaction:
        attack(transaction)
    log(signed, *(change(number) for number in range(5)))
    heads = (audit_folder(signed) / "heads.jsonl").read_bytes()
    with pytest.raises(StoreError) as raised:
        sign_head(signed)
    assert raised.value.code == "audit.head_disagrees"
    assert (audit_folder(signed) / "heads.jsonl").read_bytes() == heads
    assert codes(verify(signed)) == ["audit.rewritten"], "also after the log has grown past its old end"


def test_a_log_with_damage_everywhere_gives_the_first_findings_and_their_number(opened: Home) -> None:
    log(opened, *(change(number) for number in range(500)))
    sign_head(opened)
    with opened.database.write() as transaction:
        transaction.execute(audit_log.update().values(actor="x"))
    report = verify(opened)
    assert report.finding_count == 500 and len(report.findings) == 100


# heads that were tampered with


def test_a_tampered_heads_file_and_a_missing_one_are_told_apart(signed: Home) -> None:
    path = audit_folder(signed) / "heads.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1].replace('"seq":8', '"seq":7'), lines[2]]) + "\n")
    assert codes(verify(signed)) == ["audit.head_forged"]
    path.unlink()
    assert codes(verify(signed)) == ["audit.heads_missing"]
    path.write_bytes(b"")
    assert codes(verify(signed)) == ["audit.heads_missing"]
    with pytest.raises(StoreError) as raised:
        sign_head(signed)
    assert raised.value.code == "audit.heads_missing" and path.read_bytes() == b""


def test_a_log_that_was_never_signed_is_not_called_intact(opened: Home) -> None:
    assert verify(opened).intact, "nothing was logged yet"
    log(opened, change(1))
    assert codes(verify(opened)) == ["audit.never_signed"]


def test_after_a_restore_heads_begin_anew_and_the_old_ones_are_kept(signed: Home) -> None:
    with signed.database.write() as transaction:
        cut(transaction)
    head = sign_head(signed, begin_anew=True)
    assert head is not None and (head.seq, head.count, head.previous) == (10, 10, None)
    assert verify(signed).intact
    [kept] = audit_folder(signed).glob("heads-until-*.jsonl")
    assert codes(verify(signed, heads_file=kept)) == ["audit.tail_cut"]


def test_a_copy_kept_elsewhere_shows_what_was_signed_anew_with_another_key(signed: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(audit_folder(signed), elsewhere)
    with signed.database.write() as transaction:
        rehash(transaction)
    shutil.rmtree(audit_folder(signed))
    sign_head(signed)
    assert verify(signed).intact, "who owns store and heads can make both fit"
    [key] = elsewhere.glob("*.pub.pem")
    assert codes(verify(signed, heads_file=elsewhere / "heads.jsonl", key_files=[key])) == ["audit.rewritten"]
    assert codes(verify(signed, key_files=[key])) == ["audit.head_key_unknown"]
    assert codes(verify(signed, heads_file=elsewhere / "absent.jsonl", key_files=[key])) == ["audit.heads_missing"]


# records

PATIENT = b'{"resourceType":"Patient","id":"x","name":[{"family":"MARKER"}]}'
OTHER = b'{"resourceType":"Patient","id":"x","name":[{"family":"MARKER2"}]}'
THIRD = b'{"resourceType":"Patient","id":"x","name":[{"family":"MARKER3"}]}'


def store(home: Home, record_id: str, body: bytes, version: int, state: str = "active") -> None:
    row = (record_id, "Patient", "clinic", version, state, content_hash(body), b"h" * 16, 1, "clinic", AT)
    with home.database.write() as transaction:
        put_documents(transaction, [(content_hash(b), b) for b in (PATIENT, OTHER, THIRD)])
        insert_rows(transaction, record, [column.name for column in record.columns], [row])


def test_records_are_compared_with_the_log_when_asked_for(opened: Home) -> None:
    store(opened, "r0", PATIENT, 1)
    store(opened, "r1", PATIENT, 1)
    log(opened, Entry("pull", "clinic", "r1", after_document=content_hash(OTHER), after_version=1))
    sign_head(opened)
    assert verify(opened).intact and verify(opened).before_the_log is None
    report = verify(opened, records=True)
    assert codes(report) == ["audit.record_differs"] and "r1" in report.findings[0].message
    assert report.before_the_log == 1
    assert "MARKER" not in str(report)


def test_images_are_the_exact_bodies_before_and_after(opened: Home) -> None:
    store(opened, "r1", OTHER, 2)
    before, after = content_hash(PATIENT), content_hash(OTHER)
    log(
        opened,
        Entry("pull", "clinic", "r1", after_document=before, after_version=1),
        Entry("edit", "ann", "r1", before_document=before, before_version=1, after_document=after, after_version=2),
    )
    assert images_of(opened, 1) == (None, PATIENT)
    assert images_of(opened, 2) == (PATIENT, OTHER)
    assert [told.seq for told in list_entries(opened)] == [2, 1]
    assert [told.seq for told in list_entries(opened, since_seq=0)] == [1, 2]


# provenance


def exported(home: Home, since_seq: int = 0) -> tuple[Exported, list[dict[str, object]]]:
    out = io.BytesIO()
    told = export_provenance(home, out, since_seq=since_seq)
    lines = out.getvalue().splitlines()
    for line in lines:
        assert explain(line, "Provenance") == ()
    return told, [json.loads(line) for line in lines]


def add_conflict(home: Home) -> None:
    conflict = {
        "conflict_id": "c1",
        "link_id": "l1",
        "job_id": "j1",
        "connection": "clinic",
        "resource_type": "Patient",
        "record_id": "r1",
        "type": "update_update",
        "status": "RESOLVED",
        "revision": 1,
        "local_document": content_hash(PATIENT),
        "remote_document": content_hash(OTHER),
        "detected_at": AT,
    }
    with home.database.write() as transaction:
        transaction.execute(sync_conflict.insert().values(conflict))


def test_every_change_of_a_record_is_a_provenance_that_our_own_validation_accepts(opened: Home) -> None:
    store(opened, "r1", THIRD, 3, state="deleted")
    add_conflict(opened)
    one, two, three = map(content_hash, (PATIENT, OTHER, THIRD))
    log(
        opened,
        Entry("pull", "clinic", "r1", connection="clinic", after_document=one, after_version=1, job_id="j1"),
        Entry("hold", "policy:7", "r1", conflict_id="c1", cause="critical"),
        Entry(
            "resolve", "policy:7", "r1", connection="clinic", conflict_id="c1", before_document=one, before_version=1,
            after_document=three, after_version=2, cause="merged", policy_version="7",
        ),
        Entry("push", "clinic", "r1", before_document=three, before_version=2, after_document=three, after_version=2),
        Entry("delete", "ann", "r1", before_document=three, before_version=2, after_version=3),
    )  # fmt: skip
    told, (created, resolved, deleted) = exported(opened)
    assert told == Exported(3, 5)

    def operation(resource: dict) -> str:  # type: ignore[type-arg]
        return resource["activity"]["coding"][0]["code"]

    assert [operation(one) for one in (created, resolved, deleted)] == ["CREATE", "UPDATE", "DELETE"]
    assert [one["target"] for one in (created, resolved, deleted)] == [
        [{"reference": f"Patient/r1/_history/{version}", "type": "Patient"}] for version in (1, 2, 3)
    ]
    assert created["recorded"] == "2026-03-01T12:30:15.123456+00:00" and "entity" not in created
    assert [one["agent"][0]["who"]["identifier"]["value"] for one in (created, resolved, deleted)] == [
        "clinic",
        "7",
        "ann",
    ]
    assert [one["agent"][0]["who"]["type"] for one in (created, resolved, deleted)] == [
        "Device", "Device", "Practitioner",
    ]  # fmt: skip
    local, remote = resolved["entity"]
    assert local["role"] == remote["role"] == "revision"
    assert local["what"]["reference"] == "Patient/r1/_history/1" and local["what"]["display"] == "local side"
    assert remote["what"]["identifier"]["value"] == two.hex() and remote["what"]["display"] == "vendor's side"
    [extension] = resolved["extension"]
    reasons = {member["url"]: member["valueString"] for member in extension["extension"]}
    assert extension["url"] == "https://holovitals.org/fhir/StructureDefinition/audit-entry"
    assert reasons.items() >= {"action": "resolve", "cause": "merged", "policyVersion": "7", "conflict": "c1"}.items()
    assert "MARKER" not in json.dumps([created, resolved, deleted])


def test_an_export_goes_on_where_the_last_one_ended(opened: Home) -> None:
    store(opened, "r1", PATIENT, 1)
    log(opened, *(Entry("pull", "clinic", "r1", after_document=bytes([n]) * 16, after_version=n) for n in range(1, 7)))
    first, made = exported(opened)
    again, same = exported(opened, since_seq=4)
    nothing, none = exported(opened, since_seq=first.last_seq)
    assert (again, same) == (Exported(2, 6), made[4:]), "one entry is one resource, with one id, every time"
    assert (nothing, none) == (Exported(0, 6), [])


def test_a_change_whose_record_is_gone_fails_the_export_instead_of_being_passed_over(opened: Home) -> None:
    log(opened, change(1))
    with pytest.raises(StoreError) as raised:
        export_provenance(opened, io.BytesIO())
    assert raised.value.code == "audit.record_unknown" and "entry 1" in raised.value.message
