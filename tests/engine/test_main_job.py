"""The main job on a vendor that is a folder: what comes in is what is stored, and every resource is accounted for."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import cancel
from holovitals_pipelines.engine.jobs import end_job, open_session, recent_reports
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.engine.reconcile import reconcile
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.engine.transform import transform
from holovitals_pipelines.model.errors import JobError, StoreError
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, Stage
from holovitals_pipelines.store.documents import get_document
from holovitals_pipelines.store.tables import (
    link,
    quarantine,
    record,
    record_version,
    shadow,
    sync_conflict,
    sync_statistics,
    watermark,
)
from tests.engine.conftest import Sync, Vendor, observation, patient


def count(home: Home, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    with home.database.read() as transaction:
        return transaction.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()


def family_in(body: bytes) -> str:
    family: str = json.loads(body)["name"][0]["family"]
    return family


def test_a_first_sync_creates_a_record_a_link_and_two_equal_shadows_for_each_resource(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(250)])
    vendor.holds("Observation", [observation(n) for n in range(250)])

    report = sync()

    assert report.status is JobStatus.COMPLETED
    assert {name: o.created for name, o in report.outcomes.items()} == {"Observation": 250, "Patient": 250}
    assert report.total.unaccounted == 0
    assert count(opened, record) == count(opened, link) == count(opened, shadow) == 500
    assert count(opened, shadow, shadow.c.local_hash != shadow.c.remote_hash) == 0


def test_the_json_that_came_in_is_the_json_that_is_stored(opened: Home, vendor: Vendor, sync: Sync) -> None:
    exact = (
        b'{"resourceType":"Patient","id":"p1","_birthDate":{"extension":[{"url":"http://x/y","valueDecimal":1.00}]},'
        b'"birthDate":"1970-01-01","contained":[{"resourceType":"Organization","id":"c"}],"name":[{"family":"\\u00c5"}],'
        b'"notInFhir":{"kept":[1e2,0.10]},"gender":"female"}'
    )
    vendor.holds("Patient", [exact])

    sync()

    assert record_of(opened, "clinic", "Patient", "p1").body == exact


def test_a_second_sync_of_unchanged_data_changes_nothing_and_says_so(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(n) for n in range(120)])
    sync()
    before = _everything(opened)

    report = sync()

    total = report.total
    assert (total.extracted, total.unchanged, total.created, total.updated, total.conflicts) == (120, 120, 0, 0, 0)
    assert _everything(opened) == before


def test_other_meta_order_or_narrative_is_unchanged_content(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, meta={"versionId": "1"})])
    sync()
    respelled = {"id": "p1", **patient(1, meta={"versionId": "2"}), "text": {"status": "generated", "div": "<div/>"}}
    vendor.holds("Patient", [respelled])

    report = sync()

    assert (report.total.unchanged, report.total.updated) == (1, 0)
    stored = record_of(opened, "clinic", "Patient", "p1")
    assert (stored.version, json.loads(stored.body)) == (1, respelled)


def test_a_change_of_a_decimals_digits_is_a_change(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Observation", [observation(1, "5.4")])
    sync()
    vendor.holds("Observation", [observation(1, "5.40")])

    assert sync().total.updated == 1


def test_the_vendors_change_becomes_the_next_version_and_the_one_before_is_kept(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "Before")])
    sync()
    vendor.holds("Patient", [patient(1, "After")])

    report = sync()

    assert report.total.updated == 1
    now = record_of(opened, "clinic", "Patient", "p1")
    assert now.version == 2 and json.loads(now.body)["name"] == [{"family": "After"}]
    with opened.database.read() as transaction:
        kept = transaction.execute(sa.select(record_version)).one()
        before = json.loads(get_document(transaction, bytes(kept.document_hash)))
    assert kept.version == 1 and before["name"] == [{"family": "Before"}]


def test_when_both_sides_changed_neither_is_overwritten_and_a_conflict_is_recorded(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "Agreed"), patient(2, "Agreed")])
    sync()
    mine = record_of(opened, "clinic", "Patient", "p1")
    ours = json.dumps(patient(1, "Local")).encode()
    edit_record(opened.database, mine.record_id, ours, seen_version=1, actor="dr")
    vendor.holds("Patient", [patient(1, "Remote"), patient(2, "Agreed")])

    report = sync()

    assert (report.total.conflicts, report.total.updated, report.total.unchanged) == (1, 0, 1)
    assert record_of(opened, "clinic", "Patient", "p1").body == ours
    with opened.database.read() as transaction:
        conflict = transaction.execute(sa.select(sync_conflict)).one()
        sides = {
            name: json.loads(get_document(transaction, bytes(getattr(conflict, f"{name}_document"))))["name"][0][
                "family"
            ]
            for name in ("base_local", "base_remote", "local", "remote")
        }
    assert conflict.severity == "HIGH"
    assert sides == {"base_local": "Agreed", "base_remote": "Agreed", "local": "Local", "remote": "Remote"}
    assert (conflict.type, conflict.status, conflict.revision) == ("UPDATE_UPDATE", "PENDING_REVIEW", 1)

    assert sync().total.conflicts == 0, "the same reading again is nothing new"
    vendor.holds("Patient", [patient(1, "Remote again"), patient(2, "Agreed")])
    assert sync().total.conflicts == 1
    with opened.database.read() as transaction:
        assert transaction.execute(sa.select(sync_conflict.c.revision)).scalars().all() == [2]


def test_an_edit_made_while_the_batch_is_being_committed_is_a_conflict_and_not_overwritten(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n, "Agreed") for n in range(250)])
    sync()
    vendor.holds("Patient", [patient(n, "Remote") for n in range(250)])
    last = record_of(opened, "clinic", "Patient", "p249")
    ours = json.dumps(patient(249, "Local")).encode()

    class Editor:
        """Edits the last record when the first batch is committed: after all of them were compared."""

        edited = False

        def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
            if stage is Stage.RECONCILE and not self.edited:
                self.edited = True
                edit_record(opened.database, last.record_id, ours, seen_version=1, actor="dr")

        def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
            return

    report = sync(progress=Editor())

    assert (report.total.updated, report.total.conflicts, report.total.unaccounted) == (249, 1, 0)
    assert record_of(opened, "clinic", "Patient", "p249").body == ours
    assert count(opened, sync_conflict, sync_conflict.c.record_id == last.record_id) == 1


def test_of_two_edits_made_at_once_on_one_version_one_is_refused(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, "Agreed")])
    sync()
    record_id = record_of(opened, "clinic", "Patient", "p1").record_id
    start = threading.Barrier(4)

    def edit(name: str) -> str:
        start.wait()
        try:
            edit_record(opened.database, record_id, json.dumps(patient(1, name)).encode(), seen_version=1, actor=name)
        except StoreError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(edit, ["a", "b", "c", "d"]))

    assert said == ["done", "record.changed", "record.changed", "record.changed"]
    assert count(opened, record_version) == 1


def test_a_deleted_resource_does_not_empty_its_quarantine(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Observation", [observation(1), observation(2)])
    sync()
    vendor.holds("Observation", ['{"resourceType":"Observation","id":"o1","code":{"text":"x"}}', observation(2)])
    sync()
    vendor.holds("Observation", [observation(2)])
    vendor.deletions = {"Observation": ["o1"]}
    sync()

    assert count(opened, quarantine, quarantine.c.state == "held") == 1


def test_the_same_change_on_both_sides_is_agreement_and_recorded_as_such(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "Old")])
    sync()
    mine = record_of(opened, "clinic", "Patient", "p1")
    edit_record(opened.database, mine.record_id, json.dumps(patient(1, "New")).encode(), seen_version=1, actor="dr")
    vendor.holds("Patient", [patient(1, "New")])

    report = sync()

    assert (report.total.conflicts, report.total.resolved, report.total.held) == (1, 1, 0)
    assert count(opened, sync_conflict, sync_conflict.c.status == "RESOLVED", sync_conflict.c.units == 0) == 1
    assert sync().total.conflicts == 0


def test_a_local_edit_survives_a_vendor_that_did_not_change(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, "Agreed")])
    sync()
    ours = json.dumps(patient(1, "Local")).encode()
    edit_record(
        opened.database, record_of(opened, "clinic", "Patient", "p1").record_id, ours, seen_version=1, actor="dr"
    )
    vendor.holds("Patient", [patient(1, "Agreed", text={"status": "generated", "div": "<div/>"})])

    report = sync()

    assert (report.total.unchanged, report.total.conflicts, report.total.updated) == (1, 0, 0)
    assert record_of(opened, "clinic", "Patient", "p1").body == ours


def test_a5_absence_from_a_full_read_deletes_nothing_that_can_still_be_read(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(10)])
    sync()
    vendor.holds("Patient", [patient(n) for n in range(7)])
    vendor.readable = [patient(n) for n in range(7, 10)]

    report = sync()

    assert (report.total.absent, report.total.unchanged, report.total.removed) == (3, 7, 0)
    assert count(opened, record, record.c.state == "active") == 10


def test_a6_an_absence_that_a_read_confirms_makes_a_tombstone_with_its_evidence(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1), patient(2)])
    sync()
    vendor.holds("Patient", [patient(2)])
    vendor.deletions = {"Patient": ["p1", "never-seen"]}

    report = sync()

    assert (report.total.deletions, report.total.removed) == (1, 1)
    gone = record_of(opened, "clinic", "Patient", "p1")
    assert (gone.state, gone.version, json.loads(gone.body)["id"]) == ("deleted", 2, "p1")
    assert count(opened, link, link.c.state == "tombstone") == 1
    with opened.database.read() as transaction:
        evidence = transaction.execute(sa.select(shadow.c.delete_evidence).where(shadow.c.delete_evidence.is_not(None)))
        assert evidence.scalars().all() == ["404 Not Found"]

    vendor.deletions = {}
    vendor.holds("Patient", [patient(1), patient(2)])
    sync()
    assert record_of(opened, "clinic", "Patient", "p1").state == "active", "it is there again"
    assert count(opened, shadow, shadow.c.delete_evidence.is_not(None)) == 0


def test_a21_more_deletes_than_are_plausible_stop_and_ask_and_delete_nothing(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(200)])
    sync()
    vendor.holds("Patient", [patient(n) for n in range(189)])  # 11 of 200: more than 5 %

    report = sync()

    assert report.total.removed == 0
    assert [error.code for error in report.errors] == ["breaker.deletes"]
    assert count(opened, record, record.c.state == "active") == 200

    vendor.holds("Patient", [patient(n) for n in range(190)])  # 10 of 200: not more
    assert sync().total.removed == 10

    vendor.holds("Patient", [patient(n) for n in range(5)])
    assert sync().total.removed == 0
    assert sync(allow_deletes=True).total.removed == 185, "a person has looked and lets it through"


def test_refused_resources_are_kept_with_path_rule_and_remedy_and_the_rest_goes_on(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    broken = '{"resourceType":"Observation","id":"o2","code":{"text":"x"}}'
    vendor.holds("Observation", [observation(1), broken, observation(3)])

    report = sync()

    assert (report.total.created, report.total.quarantined, report.total.unaccounted) == (2, 1, 0)
    with opened.database.read() as transaction:
        held = transaction.execute(sa.select(quarantine)).one()
        body = get_document(transaction, bytes(held.document_hash))
    assert body == broken.encode()
    assert held.remote_id == "o2" and held.path == "Observation.status" and held.rule and held.remedy
    assert (held.source, held.line) == ("Observation.ndjson", 2)

    again = sync()
    assert (again.total.quarantined, again.total.unchanged) == (1, 2)
    assert count(opened, quarantine) == 1, "the same bytes are held once"

    vendor.holds("Observation", [observation(1), observation(2), observation(3)])
    assert sync().total.created == 1
    assert count(opened, quarantine, quarantine.c.state == "held") == 0


def test_the_same_id_twice_with_different_contents_in_one_file_is_nobodys_choice(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "One"), patient(1, "Other"), patient(2), patient(2)])

    report = sync()

    assert (report.total.created, report.total.quarantined, report.total.duplicates) == (1, 2, 1)
    assert report.total.unaccounted == 0
    assert {error.code for error in report.errors} == {"extract.duplicate_id"}


def test_one_content_spelled_twice_in_one_file_is_no_dispute(opened: Home, vendor: Vendor, sync: Sync) -> None:
    again = {"id": "p1", "text": {"status": "generated", "div": "<div/>"}, **patient(1, "One")}
    vendor.holds("Patient", [patient(1, "One"), again, patient(2, "Two"), patient(2, "Other")])

    report = sync()

    assert (report.total.created, report.total.duplicates, report.total.quarantined) == (1, 1, 2)
    assert report.total.unaccounted == 0
    assert json.loads(record_of(opened, "clinic", "Patient", "p1").body) == again


def test_the_vendors_clock_settles_a_repeated_id(opened: Home, vendor: Vendor, sync: Sync) -> None:
    newer = patient(1, "Newer", meta={"lastUpdated": "2026-02-01T00:00:00Z"})
    older = patient(1, "Older", meta={"lastUpdated": "2026-01-01T00:00:00Z"})
    vendor.holds("Patient", [newer, older])

    report = sync()

    assert (report.total.created, report.total.duplicates, report.total.quarantined) == (1, 1, 0)
    assert json.loads(record_of(opened, "clinic", "Patient", "p1").body)["name"] == [{"family": "Newer"}]


def test_an_incremental_read_starts_from_the_vendors_watermark_less_the_overlap(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1)])
    sync(JobType.INCREMENTAL_SYNC)
    source = vendor.source()

    run_sync(opened, SyncRequest("clinic", JobType.INCREMENTAL_SYNC), adapter_for=lambda _: source)

    [request] = source.requests
    assert request.since["Patient"] is not None
    assert (source.watermark - request.since["Patient"]).total_seconds() == 130
    assert count(opened, watermark) == 1


def test_statistics_are_one_row_a_job_and_resource_type(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1)])
    vendor.holds("Observation", [observation(1)])
    sync()
    sync()

    with opened.database.read() as transaction:
        rows = transaction.execute(sa.select(sync_statistics).order_by(sync_statistics.c.started_at)).all()
    assert len(rows) == 4
    assert [row.created for row in rows] == [1, 1, 0, 0]
    assert all(row.bytes > 0 and row.extract_seconds >= 0 for row in rows)


def test_an_older_batch_that_is_finished_late_does_not_undo_a_newer_one(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(1, "First"), patient(2, "First")])
    sync()
    vendor.holds("Patient", [patient(1, "Second"), patient(2, "Second")])
    request = SyncRequest("clinic", JobType.FULL_SYNC)
    with open_session(opened, request, owner="a worker", run_id="run-1") as session:
        extract(session, vendor.source())
        transform(session, "Patient")
        end_job(session, JobError("the machine went down", code="test.failed"))
    vendor.holds("Patient", [patient(1, "Third")])
    assert sync().total.updated == 1

    with open_session(opened, request, owner="a worker", run_id="run-1") as session:
        reconcile(session, "Patient")
        report = end_job(session)

    assert (report.attempt, report.total.superseded, report.total.updated) == (2, 1, 1)
    families = [
        json.loads(record_of(opened, "clinic", "Patient", name).body)["name"][0]["family"] for name in ("p1", "p2")
    ]
    assert families == ["Third", "Second"]


def test_records_are_made_again_from_the_landing_zone_without_the_vendor(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(20)])
    first = sync()

    with open_session(
        opened, SyncRequest("clinic", JobType.RESOURCE_SYNC, ("Patient",)), owner="w", run_id="r"
    ) as session:
        transform(session, "Patient")
        reconcile(session, "Patient")
        report = end_job(session)

    assert report.job_id != first.job_id
    assert (report.total.unchanged, report.total.created) == (20, 0)


def test_a_cancelled_job_stops_between_batches_and_keeps_what_it_committed(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    vendor.holds("Patient", [patient(n) for n in range(500)])

    class Canceller:
        def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
            if stage is Stage.RECONCILE:
                [job] = [r for r in recent_reports(opened, 10) if r.status is JobStatus.PROCESSING]
                cancel(opened, job.job_id, "a person")

        def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
            return

    report = sync(progress=Canceller())

    assert report.status is JobStatus.CANCELLED
    assert 0 < report.total.created < 500 and count(opened, record) == report.total.created
    assert sync().total.created == 500 - report.total.created


def _everything(home: Home) -> list[object]:
    with home.database.read() as transaction:
        return [
            [tuple(row) for row in transaction.execute(sa.select(table).order_by(*table.primary_key.columns))]
            for table in (record, link, shadow, record_version, sync_conflict)
        ]
