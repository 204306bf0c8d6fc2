"""Events and the jobs that read what they were about: routed, read once, tried again, isolated, replayed."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import cancel, claim_next
from holovitals_pipelines.engine.jobs import end_job, open_claimed
from holovitals_pipelines.engine.webhooks.handlers import SIGN_OF_LIFE, UNKNOWN_EVENT
from holovitals_pipelines.engine.webhooks.replaying import replay, retry_event
from holovitals_pipelines.engine.webhooks.settling import delay_after
from holovitals_pipelines.engine.webhooks.views import EventFilter, list_events, statistics
from holovitals_pipelines.model.errors import ConfigurationError, JobError, StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, WebhookEvent, WebhookStatus
from holovitals_pipelines.store.jobs import move
from tests.engine.conftest import Vendor, observation
from tests.engine.queue_bench import Time, job_of
from tests.engine.webhooks.bench import BUSY, REFUSED, Work
from tests.engine.webhooks.senders import AT, Sender, event, sender

RESOURCES = {
    "PATIENT": "Patient",
    "OBSERVATION": "Observation",
    "MEDICATION": "MedicationRequest",
    "ALLERGY": "AllergyIntolerance",
    "CONDITION": "Condition",
    "ENCOUNTER": "Encounter",
    "DOCUMENT": "DocumentReference",
}


@pytest.fixture
def work(opened: Home, vendor: Vendor, time: Time) -> Work:
    return Work(opened, vendor, time)


def moves(sender: Sender, event_id: str) -> list[str]:
    """Every status the event has had."""
    return [line["status"] for line in sender.event(event_id).history if line["status"] is not None]


# routed


@pytest.mark.parametrize("kind", list(WebhookEvent), ids=str)
def test_a22_each_event_is_routed_to_what_it_is_about_and_logged(
    clinic: Sender, work: Work, kind: WebhookEvent
) -> None:
    resource_type = RESOURCES.get(kind.split("_")[0], "Procedure")
    clinic.deliver({"id": "e1", "type": kind.value, "resourceType": resource_type, "resourceId": "r1"})
    [job_id] = work.take_up()

    request = job_of(work.home, job_id).request
    whole = kind is WebhookEvent.PATIENT_CREATED
    assert (request["type"], request["patients"]) == ("WEBHOOK_SYNC", ["r1"] if whole else [])
    assert request["ids"] == ([] if whole else [[resource_type, "r1"]])
    assert (clinic.event("e1").event_type, clinic.event("e1").job_id) == (kind.value, job_id)
    assert moves(clinic, "e1") == ["RECEIVED", "VALIDATED", "PROCESSING"]


def test_a22_an_event_of_an_unknown_name_is_kept_counted_and_ignored(clinic: Sender, work: Work) -> None:
    clinic.deliver({"id": "e1", "type": "invoice.paid", "resourceType": "Observation", "resourceId": "o1"})
    assert work.take_up() == []
    found = clinic.event("e1")
    assert (found.status, found.event_type, found.vendor_event, found.error_code) == (
        "IGNORED", "CUSTOM", "invoice.paid", UNKNOWN_EVENT,
    )  # fmt: skip
    assert statistics(work.home)["byEvent"]["CUSTOM"]["IGNORED"] == 1


def test_an_event_the_webhook_is_not_registered_for_is_ignored(opened: Home, work: Work) -> None:
    some = sender(opened, events=(WebhookEvent.PATIENT_UPDATED,))
    some.deliver(event(1))
    some.deliver({"id": "e2", "type": "patient.updated", "patientId": "p1"})
    assert len(work.take_up()) == 1
    assert some.statuses() == {"e1": "IGNORED", "e2": "PROCESSING"}
    assert some.event("e1").error_code == "webhook.unwanted"


def test_an_event_that_does_not_say_what_has_changed_reads_the_changes(clinic: Sender, work: Work) -> None:
    clinic.deliver(b"")
    [job_id] = work.take_up()
    assert job_of(work.home, job_id).request["type"] == "INCREMENTAL_SYNC"


def test_what_cannot_be_read_is_failed_and_seen_until_it_can(clinic: Sender, work: Work) -> None:
    clinic.deliver(b"<xml/>")
    assert work.take_up() == []
    [shown] = list_events(work.home, EventFilter(statuses=(WebhookStatus.FAILED,))).items
    assert shown.error_code == "webhook.unreadable" and shown.size == 6


# read once, and completed with what was read


def test_many_events_are_one_read_and_are_completed_when_it_has_committed(clinic: Sender, work: Work) -> None:
    for number in (1, 2, 2, 3):
        clinic.deliver(event(number))
    clinic.deliver({"id": "again", "type": "OBSERVATION_CREATED", "resourceType": "Observation", "resourceId": "o1"})
    [job_id] = work.take_up()
    assert work.settle().completed == 0 and set(clinic.statuses().values()) == {"PROCESSING"}
    [report] = work.run()
    assert report.job_id == job_id and report.outcomes["Observation"].created == 3
    assert work.settle().completed == 4
    assert set(clinic.statuses().values()) == {"COMPLETED"}
    assert [dict(one.only_ids or {}) for one in work.asked] == [{"Observation": ["o1", "o2", "o3"]}]
    assert work.settle().completed == 0 and work.take_up() == []


def test_many_events_of_one_patients_chart_are_one_read(clinic: Sender, work: Work) -> None:
    for number in range(10):
        clinic.deliver({"id": f"e{number}", "type": "OBSERVATION_CREATED", "patientId": "p1"})
    [job_id] = work.take_up()
    assert job_of(work.home, job_id).request["patients"] == ["p1"]


def test_nothing_of_the_payload_is_taken_as_data(clinic: Sender, work: Work) -> None:
    clinic.deliver(observation(1, value="999").encode())
    [report] = work.turn()
    assert report.outcomes["Observation"].created == 1
    with work.home.database.read() as transaction:
        held = transaction.exec_driver_sql("select count(*) from record").scalar_one()
    assert held == 1
    from holovitals_pipelines.engine.local_records import read_record
    from holovitals_pipelines.store.agreements import link_id_of

    assert b"5.40" in read_record(work.home.database, link_id_of("clinic", "Observation", "o1")).body


def test_the_same_bytes_without_an_id_are_news_once_they_have_had_their_effect(clinic: Sender, work: Work) -> None:
    told = {"type": "OBSERVATION_UPDATED", "resourceType": "Observation", "resourceId": "o1"}
    clinic.deliver(told)
    work.turn()
    clinic.deliver(told)
    assert len(work.turn()) == 1
    [event_id] = clinic.statuses()
    assert moves(clinic, event_id).count("COMPLETED") == 2


def test_the_same_bytes_without_an_id_that_come_while_their_read_is_at_work_are_read_again(
    clinic: Sender, work: Work, time: Time
) -> None:
    told = {"type": "OBSERVATION_UPDATED", "resourceType": "Observation", "resourceId": "o1"}
    clinic.deliver(told)
    [first] = work.take_up()
    job = claim_next(work.home, "worker", clock=time.clock)
    assert job is not None and job.job_id == first
    with open_claimed(work.home, first, worker="worker") as session:
        clinic.deliver(told)  # the vendor has changed it once more, after it was read
        end_job(session)
    assert work.settle().completed == 0
    [second] = work.take_up()
    assert second != first
    work.run()
    assert work.settle().completed == 1 and len(work.asked) == 1


def test_events_that_name_nothing_share_one_read_and_are_given_up_when_it_fails_for_good(
    opened: Home, vendor: Vendor, time: Time
) -> None:
    hasty = sender(opened, retry_attempts=1)
    work = Work(opened, vendor, time)
    vendor.holds("Observation", [])
    for number in (1, 2):
        hasty.deliver({"id": f"e{number}", "type": "OBSERVATION_UPDATED"})
    for _ in range(6):
        for job_id in work.take_up():
            with opened.database.write() as transaction:
                move(transaction, job_id, JobStatus.QUEUED, time.now)
                move(transaction, job_id, JobStatus.PROCESSING, time.now)
                failed = JobError("a type failed", code="job.types_failed")
                move(transaction, job_id, JobStatus.FAILED, time.now, error=failed)
        work.settle()
        time.passes(minutes=20)
    assert hasty.statuses() == {"e1": "FAILED", "e2": "FAILED"}


def test_a24_an_event_that_comes_again_after_its_effect_has_no_other(clinic: Sender, work: Work) -> None:
    clinic.deliver(event(1))
    work.turn()
    assert clinic.deliver(event(1)) == 202
    assert work.turn() == [] and clinic.statuses() == {"e1": "COMPLETED"}


# tried again


def test_a26_the_waits_are_exactly_two_four_and_eight_seconds_then_it_is_given_up(
    clinic: Sender, work: Work, time: Time
) -> None:
    work.poison["o1"] = BUSY
    clinic.deliver(event(1))
    waits = []
    for _ in range(3):
        work.turn()
        found = clinic.event("e1")
        assert found.status == "RETRYING" and found.next_at is not None
        waits.append((found.next_at - time.now).total_seconds())
        time.now = found.next_at - timedelta(milliseconds=1)
        assert work.take_up() == []
        time.now = found.next_at
    work.turn()
    assert waits == [2, 4, 8]
    assert (clinic.event("e1").status, clinic.event("e1").attempts) == ("FAILED", 4)


def test_a26_a_wait_is_any_part_of_the_schedule_by_chance_and_never_over_fifteen_minutes(
    opened: Home, vendor: Vendor, time: Time
) -> None:
    time.chance = 0.25
    slow = sender(opened, retry_delay_ms=10_000)
    work = Work(opened, vendor, time, poison={"o1": BUSY})
    slow.deliver(event(1))
    work.turn()
    assert slow.event("e1").next_at == time.now + timedelta(seconds=2.5)
    waits = [delay_after(attempt, 2000) for attempt in range(1, 40)]
    assert all(after == min(2 * before, timedelta(minutes=15)) for before, after in pairwise(waits))
    assert waits[-1] == timedelta(minutes=15)


def test_what_cannot_pass_is_given_up_at_once(clinic: Sender, work: Work) -> None:
    work.poison["o1"] = REFUSED
    clinic.deliver(event(1))
    work.turn()
    assert (clinic.event("e1").status, clinic.event("e1").attempts) == ("FAILED", 1)


def test_an_event_whose_job_was_cancelled_is_shown_as_failed(clinic: Sender, work: Work) -> None:
    clinic.deliver(event(1))
    [job_id] = work.take_up()
    assert cancel(work.home, job_id, "somebody").status is JobStatus.CANCELLED
    work.settle()
    assert (clinic.event("e1").status, clinic.event("e1").error_code) == ("FAILED", "job.cancelled")


# isolated


def test_a27_a_poison_event_fails_alone_and_its_neighbours_are_done(clinic: Sender, work: Work, time: Time) -> None:
    work.poison["o2"] = REFUSED
    for number in (1, 2, 3):
        clinic.deliver(event(number))
    clinic.deliver({"id": "p", "type": "PATIENT_UPDATED", "patientId": "p1"})
    work.turn()
    assert clinic.event("p").status == "COMPLETED"  # another type went through in the same job
    time.passes(seconds=2)
    work.turn()
    assert clinic.statuses() == {"e1": "COMPLETED", "e2": "FAILED", "e3": "COMPLETED", "p": "COMPLETED"}


def test_a27_a_link_that_fails_holds_up_its_own_later_events_and_no_others(
    clinic: Sender, work: Work, time: Time
) -> None:
    work.poison["o1"] = BUSY
    clinic.deliver(event(1))
    work.turn()
    clinic.deliver(event(1) | {"id": "later"})
    clinic.deliver(event(2))
    work.turn()
    assert clinic.statuses() == {"e1": "RETRYING", "later": "VALIDATED", "e2": "COMPLETED"}
    del work.poison["o1"]
    time.passes(seconds=2)
    assert len(work.turn()) == 1
    assert set(clinic.statuses().values()) == {"COMPLETED"}


# replayed


def test_a28_one_failed_event_is_processed_again_when_somebody_asks(clinic: Sender, work: Work) -> None:
    work.poison["o1"] = REFUSED
    clinic.deliver(event(1))
    work.turn()
    del work.poison["o1"]
    log_id = retry_event(work.home, clinic.event("e1").log_id[:8], "somebody")
    with pytest.raises(JobError) as refused:
        retry_event(work.home, log_id, "somebody")
    assert refused.value.code == "webhook.event_in_process"
    work.turn()
    assert clinic.statuses() == {"e1": "COMPLETED"}
    assert [line["detail"] for line in clinic.event("e1").history if line["kind"] == "replayed"] == [{"by": "somebody"}]


def test_a28_all_of_a_time_and_a_status_are_processed_again(clinic: Sender, work: Work) -> None:
    for number in range(1, 5):
        clinic.deliver(event(number), at=AT + timedelta(hours=number))
    work.turn()
    asked = len(work.asked)
    since, until = AT + timedelta(hours=2), AT + timedelta(hours=4)
    assert replay(work.home, "clinic", since, until, [WebhookStatus.FAILED], "somebody") == 0
    assert replay(work.home, "athena", since, until, [WebhookStatus.COMPLETED], "somebody") == 0
    assert replay(work.home, "clinic", since, until, [WebhookStatus.COMPLETED], "somebody") == 2
    assert clinic.statuses() == {"e1": "COMPLETED", "e2": "RECEIVED", "e3": "RECEIVED", "e4": "COMPLETED"}
    work.turn()
    assert dict(work.asked[asked].only_ids or {}) == {"Observation": ["o2", "o3"]}
    with pytest.raises(ConfigurationError):
        replay(work.home, "clinic", until, since, [WebhookStatus.COMPLETED], "somebody")


def test_an_event_nobody_knows_cannot_be_replayed(opened: Home) -> None:
    for unknown in ("", "ffff"):
        with pytest.raises(StoreError) as refused:
            retry_event(opened, unknown, "somebody")
        assert refused.value.code == "webhook.event_unknown"


# looked at


def test_pages_lead_from_one_to_the_next_whatever_comes_in_between(clinic: Sender, work: Work) -> None:
    for number in range(5):
        clinic.deliver(event(number), at=AT + timedelta(seconds=number // 2))
    seen, cursor = [], None
    while True:
        page = list_events(work.home, EventFilter(connection="clinic"), cursor, limit=2)
        seen += [one.event_id for one in page.items]
        clinic.deliver(event(100 + len(seen)), at=AT + timedelta(hours=1))
        if (cursor := page.next) is None:
            break
    assert sorted(seen) == ["e0", "e1", "e2", "e3", "e4"]
    with pytest.raises(StoreError):
        list_events(work.home, EventFilter(), "nonsense")


def test_statistics_count_by_event_and_by_status(clinic: Sender, work: Work) -> None:
    clinic.deliver(event(1))
    clinic.deliver(event(1))
    clinic.deliver({"id": "p", "type": "PATIENT_UPDATED", "patientId": "p1"})
    work.turn()
    clinic.deliver({"id": "u", "type": "unheard.of"})
    work.turn()
    told = statistics(work.home, connection="clinic")
    assert (told["total"], told["repeated"], told["byStatus"]["COMPLETED"], told["byStatus"]["IGNORED"]) == (3, 1, 2, 1)
    assert told["byEvent"]["OBSERVATION_UPDATED"] == {"total": 1, "COMPLETED": 1}
    assert statistics(work.home, connection="athena")["total"] == 0


def test_a_handshake_and_a_heartbeat_are_logged_and_ask_for_nothing(clinic: Sender, work: Work) -> None:
    for kind in ("handshake", "heartbeat"):
        status = {"resourceType": "SubscriptionStatus", "type": kind, "subscription": {"reference": "Subscription/1"}}
        assert clinic.deliver({"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}) == 202
    assert work.take_up() == []
    found = list_events(work.home, EventFilter()).items
    assert {(one.vendor_event, one.status, one.error_code) for one in found} == {
        ("handshake", "IGNORED", SIGN_OF_LIFE), ("heartbeat", "IGNORED", SIGN_OF_LIFE),
    }  # fmt: skip
