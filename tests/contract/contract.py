"""The contract of every adapter, read against its simulator with faults on; write back through the whole engine.

Law: a claim names what a user may rely on; where a vendor makes one impossible, its description says why.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import orjson
import pytest

from holovitals_pipelines.engine.extract import extract
from holovitals_pipelines.engine.jobs import end_job, open_session
from holovitals_pipelines.engine.sync import process
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.engine.write_back import write_back
from holovitals_pipelines.model.errors import OutcomeUnknownError
from holovitals_pipelines.model.extract import Page
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import ErrorSeverity, JobStatus, JobType
from holovitals_pipelines.providers.adapter import Adapter
from tests.contract.harness import UNREADABLE, Bench, Read
from tests.end_to_end.two_way import Ours
from tests.providers.loopback import FastClock


class ReadingContract:
    """What holds of every read."""

    def test_what_is_there_is_read_whole_and_once_however_small_the_pages(self, bench: Bench) -> None:
        whole = bench.whole()
        paged = bench.read()
        assert whole.failures == paged.failures == {} and paged.problems == []
        assert Counter(paged.ids) == Counter(whole.ids) and max(Counter(paged.ids).values()) == 1
        assert {identity for kind, identity in whole.ids if kind == "Patient"} == set(bench.patients())
        kinds = Counter(kind for kind, _ in whole.ids)
        assert kinds[bench.vendor.paged_type] == len(bench.held_ids(bench.vendor.held_as)) > 2

    def test_every_type_tells_its_end_once_with_the_vendors_own_clock(self, bench: Bench) -> None:
        read = bench.read()
        ends = [event.resource_type for event in read.events if not isinstance(event, Page)]
        assert sorted(ends) == sorted(bench.types)
        assert all(done.watermark is not None for done in read.done.values())

    def test_a_read_that_died_after_any_event_goes_on_right_behind_it(self, bench: Bench) -> None:
        whole = bench.read()
        events = len(whole.events)
        assert events > 3, "there is something to be interrupted"
        for after in sorted({1, 2, events // 2, events - 1}):
            begun = bench.read(after=after)
            rest = bench.read(bench.asked(cursor=begun.events[-1].cursor))
            assert rest.failures == {}
            assert Counter(begun.ids + rest.ids) == Counter(whole.ids), f"after event {after}"

    def test_a_change_since_the_last_read_is_read_by_the_next(self, bench: Bench) -> None:
        since = watermarks(bench, bench.read())
        touched = bench.held_ids(bench.vendor.held_as)[0]
        bench.touch(touched)
        assert names(bench.read(bench.asked(since)), bench.known_as(touched))

    def test_a_change_while_the_read_runs_is_read_by_it_or_by_the_next(self, bench: Bench) -> None:
        first, *_, last = bench.held_ids(bench.vendor.held_as)

        def edit() -> None:
            bench.touch(first)
            bench.touch(last)

        running = bench.read(between=edit)
        following = bench.read(bench.asked(watermarks(bench, running)))
        for identity in map(bench.known_as, (first, last)):
            assert names(following, identity) or told_of(running, identity, bench.vendor.mark)

    def test_a_page_whose_row_is_edited_while_it_is_read_is_not_lost(self, bench: Bench) -> None:
        bench.fault("edit_page", path=bench.vendor.paged_path, skip=1)
        read = bench.read()
        assert read.failures == {} and Counter(read.ids) == Counter(bench.whole().ids)

    def test_a_throttle_is_obeyed_for_as_long_as_the_vendor_says(self, bench: Bench) -> None:
        whole, clock = bench.whole(), FastClock()
        bench.fault("throttle", path=bench.vendor.paged_path, skip=1, retry_after="7")
        read = bench.read(clock=clock)
        assert read.failures == {} and Counter(read.ids) == Counter(whole.ids)
        assert max(clock.slept) >= 7

    def test_a_token_that_ends_between_two_pages_is_renewed_and_nothing_is_read_twice(self, bench: Bench) -> None:
        whole = bench.whole()
        bench.fault(bench.vendor.expiry, path=bench.vendor.paged_path, skip=1)
        read = bench.read()
        assert read.failures == {} and Counter(read.ids) == Counter(whole.ids)

    @pytest.mark.parametrize("fault", ["status", "drop", "truncated", "invalid_utf8"])
    def test_one_bad_answer_among_good_ones_loses_nothing_and_is_never_taken_for_absence(
        self, bench: Bench, fault: str
    ) -> None:
        whole = bench.whole()
        bench.fault(fault, path=bench.vendor.paged_path, skip=1)
        read = bench.read()
        missing = Counter(whole.ids) - Counter(read.ids)
        done = read.done[bench.vendor.paged_type]
        kept = any(identity == UNREADABLE for _, identity in read.ids)
        assert not missing or done.error is not None or read.problems or kept, "what is missing is told"
        assert not (missing and done.snapshot and not kept), "and not taken for deleted"
        if fault in ("status", "drop"):
            assert not missing and read.failures == {}, "a passing fault is repeated away"

    def test_what_nobody_knows_is_read_and_kept(self, bench: Bench) -> None:
        bench.fault("schema_drift", path=bench.vendor.paged_path, times=0)
        read = bench.read()
        assert read.failures == {} and any(b"zzSandboxDrift" in body for body in read.bodies)


class WritingContract:
    """What holds of every write, from our store to the vendor and back."""

    def test_what_was_written_is_read_back_as_declared_and_the_next_pass_writes_nothing(
        self, bench: Bench, ours: Ours
    ) -> None:
        identity = subject(bench, ours, 0)
        here = bench.known_as(identity)
        edited = ours.edit(bench.vendor.written_type, here, bench.vendor.change)

        report = sync(ours)

        assert (report.total.pushed, report.total.conflicts) == (1, 0)
        assert bench.vendor.keeps(bench.held(bench.vendor.written_type, identity)) == "Contractname"
        assert UNKNOWN in bench.held(bench.vendor.written_type, identity)["extension"], "what nobody knows survives"
        kept = ours.held(bench.vendor.written_type, here)
        assert bench.vendor.keeps(kept) == "Contractname"
        assert sync(ours, JobType.FULL_SYNC).total.pushed == 0
        after = ours.record(bench.vendor.written_type, here)
        appeared = set(orjson.loads(after.body)) ^ set(orjson.loads(edited.body))
        assert appeared <= {"extension"}, "nothing else came or went on the way"

    def test_an_edit_of_somebody_else_in_between_is_detected_and_neither_side_is_lost(
        self, bench: Bench, ours: Ours
    ) -> None:
        """See `edit_in_between` of the bench: how late somebody's edit can be noticed, the vendor decides."""
        identity, vendor = subject(bench, ours, 1), bench.vendor
        here, (element, value) = bench.known_as(identity), vendor.between
        bench.forget_requests()
        sync(ours)
        reads = bench.reads()
        ours.edit(vendor.written_type, here, vendor.change)
        bench.edit_in_between(identity, reads)

        sync(ours)
        bench.catch_up()
        sync(ours)

        held, kept = bench.held(vendor.written_type, identity), ours.held(vendor.written_type, here)
        assert (held[element], kept[element]) == (value, value)
        assert vendor.keeps(held) == vendor.keeps(kept) == "Contractname"

    def test_edits_of_the_same_on_both_sides_are_a_conflict_and_overwrite_nothing_unseen(
        self, bench: Bench, ours: Ours
    ) -> None:
        identity, vendor = subject(bench, ours, 2), bench.vendor
        element, value = vendor.between
        held = bench.held(vendor.written_type, identity)
        bench.put({**held, element: value})
        here = bench.known_as(identity)
        ours.edit(vendor.written_type, here, lambda resource: resource.update({element: other(value)}))

        sync(ours)

        record_id = ours.record(vendor.written_type, here).record_id
        assert len(ours.conflicts(record_id=record_id)) == 1

    def test_a_write_whose_answer_is_lost_happens_once_and_is_never_sent_again_blindly(self, bench: Bench) -> None:
        bench.forget_requests()
        bench.fault("drop_after_commit", path=bench.vendor.write_path, method=bench.vendor.write_method)

        async def work(adapter: Adapter) -> None:
            with pytest.raises(OutcomeUnknownError):
                await bench.write_natively(adapter)

        bench.at_desk(work, types=["Patient", bench.vendor.written_type])
        assert bench.writes() == 1


class AdapterContract(ReadingContract, WritingContract):
    """All of it: subclass with the fixtures `bench` and `ours`."""


UNKNOWN = {"url": "urn:contract:nobody-knows", "valueDecimal": 2}


def watermarks(bench: Bench, read: Read) -> dict[str, datetime | None]:
    assert read.failures == {}
    overlap = bench.vendor.overlap
    return {name: done.watermark - overlap if done.watermark else None for name, done in read.done.items()}


def names(read: Read, identity: str) -> bool:
    """Whether a record is among those read; native ids end with the number the vendor's own record has."""
    assert read.failures == {}
    return any(name == identity or name.endswith((f"-{identity}", f".{identity}")) for _, name in read.ids)


def told_of(read: Read, identity: str, what: str) -> bool:
    return any(identity.encode() in body and what.encode() in body for body in read.bodies)


def subject(bench: Bench, ours: Ours, place: int) -> str:
    """The place-th record of the written type: each test has one of its own."""
    return sorted(bench.held_ids(bench.vendor.written_type))[place]


def sync(ours: Ours, job_type: JobType = JobType.INCREMENTAL_SYNC) -> JobReport:
    with open_session(ours.home, SyncRequest("clinic", job_type), owner=worker_name()) as session:
        # As `run_sync`, without the snapshot for analysts, which costs as much as all the rest.
        extract(session, session.open_adapter())
        process(session, session.landed_types())
        write_back(session)
        report = end_job(session)
    assert report.status is JobStatus.COMPLETED
    assert [error.code for error in report.errors if error.severity is ErrorSeverity.ERROR] == []
    return report


def plant(bench: Bench) -> None:
    """What nobody knows, in the record that is written first."""
    held = bench.held(bench.vendor.written_type, min(bench.held_ids(bench.vendor.written_type)))
    bench.put({**held, "extension": [*held.get("extension", ()), UNKNOWN]})


def other(value: Any) -> Any:
    """A value of the same kind, of another year."""
    return "1961" + str(value)[4:]
