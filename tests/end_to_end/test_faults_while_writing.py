"""Answers that are lost, versions that go stale, refusals and deaths while the main job writes to a vendor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.engine.local_records import create_record
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.sandbox.process import RunningSandbox
from tests.end_to_end.resources import line
from tests.end_to_end.two_way import Ours, Resource, Site, declared, our_side, setting, simulated_vendor
from tests.providers import loopback

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = pytest.mark.timeout(120)

Begin = Callable[..., Ours]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as vendor:
        yield vendor


@pytest.fixture
def site(running: RunningSandbox) -> Site:
    vendor = Site(running)
    vendor.as_new()
    return vendor


@pytest.fixture
def begin(site: Site, home: Path, database_url: str) -> Iterator[Begin]:
    """Puts resources at the vendor, opens our side, and brings both into agreement."""
    with ExitStack() as opened:

        def begin(*resources: Resource, **write: Any) -> Ours:
            for resource in resources:
                site.put(resource)
            ours = opened.enter_context(our_side(home, database_url, declared(site.base_url, **write)))
            assert ours.sync().status is JobStatus.COMPLETED
            site.forget_requests()
            return ours

        yield begin


def patient(identity: str = "p1", **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": identity, "name": [{"family": "Doe"}], "gender": "female", **more}


def create(ours: Ours, family: str = "New") -> str:
    body = line({"resourceType": "Patient", "name": [{"family": family}]})
    return create_record(ours.home.database, "Patient", body, connections=["clinic"], actor="dr").record_id


def statuses(site: Site) -> list[tuple[str, int | None]]:
    return [(row["method"], row["status"]) for row in site.writes()]


def codes(report: JobReport) -> list[str]:
    return [error.code for error in report.errors]


def assert_settled(ours: Ours, site: Site) -> None:
    """A further pass writes nothing, nothing waits, and the log tells the truth."""
    log = ours.rows("audit_log")
    site.forget_requests()
    report = ours.sync(JobType.FULL_SYNC)
    assert (report.status, report.errors) == (JobStatus.COMPLETED, ())
    assert site.writes() == [] and ours.rows("audit_log") == log
    assert ours.rows("dirty_link") == []
    assert [row for row in ours.rows("outbox") if row.state in ("pending", "inflight")] == []
    assert ours.complaints() == []


LOST = [{"kind": "drop_after_commit"}, {"kind": "status_after_commit", "status": 202}]
"""What else can be lost of an answer is shown in tests/providers."""


def named(fault: dict[str, Any]) -> str:
    return "_".join(str(value) for value in fault.values())


# answers that are lost


@ON_SQLITE
@pytest.mark.parametrize("fault", LOST, ids=named)
def test_a_create_whose_answer_is_lost_makes_one_resource_found_by_our_identifier(
    site: Site, begin: Begin, fault: dict[str, Any]
) -> None:
    ours = begin()
    record_id = create(ours)
    site.fault(method="POST", path="Patient", **fault)

    ours.sync()

    [identity] = site.ids("Patient")
    assert [method for method, _ in statuses(site)] == ["POST"]
    assert ours.record("Patient", identity).record_id == record_id
    assert [link.state for link in ours.rows("link", record_id=record_id)] == ["active"]
    assert_settled(ours, site)


@ON_SQLITE
def test_a_lost_create_that_is_edited_there_before_it_is_found_stays_one_resource(site: Site, begin: Begin) -> None:
    ours = begin()
    record_id = create(ours)
    site.fault("drop_after_commit", method="POST", path="Patient")
    site.fault("status", status=500, method="GET", path="Patient", skip=2, times=0)  # nor can it be searched for

    report = ours.sync()

    assert "write_back" in {row.stage for row in ours.rows("sync_stage")} and codes(report) != []
    site.forget_faults()
    [identity] = site.ids("Patient")
    site.edit("Patient", identity, setting(gender="male"))
    ours.sync()

    assert site.ids("Patient") == {identity}
    held = ours.record("Patient", identity)
    assert held.record_id == record_id and json.loads(held.body)["gender"] == "male"
    assert len(ours.rows("record", resource_type="Patient")) == 2, "the seed, and one"
    assert_settled(ours, site)


@ON_SQLITE
def test_a_create_that_never_arrived_is_sent_again_once(site: Site, begin: Begin) -> None:
    ours = begin()
    create(ours)
    site.fault("drop", method="POST", path="Patient")

    ours.sync()

    assert len(site.ids("Patient")) == 1
    assert statuses(site) == [("POST", None), ("POST", 201)]
    assert_settled(ours, site)


@ON_SQLITE
def test_an_update_whose_answer_is_lost_is_no_change_of_the_vendors(site: Site, begin: Begin) -> None:
    ours = begin(patient())
    before = site.version("Patient", "p1")
    ours.edit("Patient", "p1", setting(active=True))
    site.fault("drop_after_commit", method="PUT", path="Patient/{id}")

    ours.sync()

    assert site.version("Patient", "p1") == before + 1 and len(site.writes()) == 1
    assert ours.conflicts() == [] and ours.record("Patient", "p1").version == 2
    assert_settled(ours, site)


@ON_SQLITE
def test_a16_after_a_lost_answer_a_vendors_edit_is_one_conflict_at_most_and_never_with_ourselves(
    site: Site, begin: Begin
) -> None:
    ours = begin(patient("p1"), patient("p2"))
    for name in ("p1", "p2"):
        ours.edit("Patient", name, setting(maritalStatus={"text": "ours"}))
    site.fault("drop_after_commit", method="PUT", path="Patient/{id}", times=2)
    site.fault("status", status=500, method="GET", path="Patient/{id}", skip=2, times=0)  # nor can they be looked up

    ours.sync()

    assert [row.state for row in ours.rows("outbox")] == ["inflight"] * 2
    site.forget_faults()
    assert site.held("Patient", "p1")["maritalStatus"] == {"text": "ours"}
    site.edit("Patient", "p1", setting(language="en"))
    site.edit("Patient", "p2", setting(maritalStatus={"text": "theirs"}))
    ours.sync()

    for side in (site, ours):
        beside, on_top = side.held("Patient", "p1"), side.held("Patient", "p2")
        assert (beside["maritalStatus"], beside["language"]) == ({"text": "ours"}, "en")
        assert on_top["maritalStatus"] == {"text": "theirs"}, "it was written by somebody who saw ours"
    units = ours.rows("sync_conflict_field", kind="conflict")
    assert [(unit.local, unit.remote) for unit in units] in ([], [('{"text":"ours"}', '{"text":"theirs"}')])
    assert_settled(ours, site)


@ON_SQLITE
def test_a_delete_whose_answer_is_lost_is_done_and_not_repeated(site: Site, begin: Begin) -> None:
    ours = begin(patient("p1"), patient("p2"))
    ours.delete("Patient", "p1")
    site.fault("drop_after_commit", method="DELETE", path="Patient/{id}")

    ours.sync()

    assert site.ids("Patient") == {"p2"} and len(site.writes()) == 1
    assert [row.state for row in ours.rows("link", remote_id="p1")] == ["tombstone"] and ours.conflicts() == []
    assert_settled(ours, site)


@ON_SQLITE
def test_f11_writes_that_take_effect_after_we_gave_up_waiting_take_effect_once(site: Site, begin: Begin) -> None:
    ours = begin(patient("p1"), timeout_seconds=0.3)
    ours.edit("Patient", "p1", setting(active=True))
    record_id = create(ours)
    before = site.version("Patient", "p1")
    site.fault("latency", seconds=1.0, method="PUT", path="Patient/{id}")
    site.fault("latency", seconds=1.0, method="POST", path="Patient")

    ours.sync()
    wait_for(lambda: all(status is not None for _, status in statuses(site)))
    ours.sync()

    assert site.version("Patient", "p1") == before + 1
    [made] = site.ids("Patient") - {"p1"}
    assert ours.record("Patient", made).record_id == record_id
    assert sorted(method for method, _ in statuses(site)) == ["POST", "POST", "PUT", "PUT"]
    assert ours.conflicts() == []
    assert_settled(ours, site)


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# versions that go stale


@ON_SQLITE
def test_f10_edits_right_before_our_writes_are_neither_lost_nor_do_they_lose_ours(site: Site, begin: Begin) -> None:
    names = [f"p{n}" for n in range(6)]
    ours = begin(*map(patient, names))
    for name in names:
        ours.edit("Patient", name, setting(active=True))
    site.fault("edit_before_write", method="PUT", path="Patient/{id}", times=8)

    ours.sync()

    remarks = 0
    for name in names:
        held, kept = site.held("Patient", name), ours.held("Patient", name)
        assert held["active"] is True and held.get("extension") == kept.get("extension")
        remarks += len(held.get("extension", ()))
    assert remarks == 8
    assert [status for _, status in statuses(site)].count(412) == 8
    assert len(site.writes()) == 8 + 6
    assert_settled(ours, site)


@ON_SQLITE
def test_f10_a_storm_without_end_is_given_up_after_a_few_rounds_and_taken_up_by_the_next_job(
    site: Site, begin: Begin
) -> None:
    ours = begin(patient("p1"), patient("p2"))
    for name in ("p1", "p2"):
        ours.edit("Patient", name, setting(active=True))
    site.fault("edit_before_write", method="PUT", path="Patient/{id}", times=0)

    ours.sync()

    assert {status for _, status in statuses(site)} == {412} and len(site.writes()) <= 2 * 6
    assert {row.reason for row in ours.rows("dirty_link")} == {"stale"}, "it is not forgotten"
    site.forget_faults()
    ours.sync()
    for name in ("p1", "p2"):
        held = site.held("Patient", name)
        assert held["active"] is True and held["extension"] == ours.held("Patient", name)["extension"]
    assert_settled(ours, site)


@ON_SQLITE
def test_a_resource_deleted_right_before_our_update_of_it_is_decided_as_a_delete(site: Site, begin: Begin) -> None:
    ours = begin(patient())
    ours.edit("Patient", "p1", setting(active=True))
    site.fault("edit_before_write", method="PUT", path="Patient/{id}", edit="delete")

    ours.sync()

    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.severity, conflict.status) == ("UPDATE_DELETE", "CRITICAL", "PENDING_REVIEW")
    assert site.ids("Patient") == set() and ours.record("Patient", "p1").state == "active"
    assert_settled(ours, site)


@ON_SQLITE
def test_an_edit_right_before_our_delete_saves_the_resource(site: Site, begin: Begin) -> None:
    ours = begin(patient())
    ours.delete("Patient", "p1")
    site.fault("edit_before_write", method="DELETE", path="Patient/{id}", element="language", value="en")

    ours.sync()

    assert site.held("Patient", "p1")["language"] == "en"
    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.status) == ("DELETE_UPDATE", "PENDING_REVIEW")
    assert_settled(ours, site)


# a vendor whose API says no


class Stubborn:
    """A vendor of one Patient that answers every write the same way, and counts them."""

    def __init__(self, answer: Callable[[Request], Response], *, versions: bool) -> None:
        self.answer, self.versions = answer, versions
        self.held: Resource = {"resourceType": "Patient", "id": "p1", "gender": "female"}
        self.writes = 0

    def routes(self) -> dict[str, loopback.Handler]:
        statement = loopback.capability({"Patient": ["_lastUpdated"]}, writes=["create", "update"])
        return {"/metadata": lambda _: loopback.json(statement), "/Patient": self.all, "/Patient/p1": self.one}

    def shown(self) -> Resource:
        return {**self.held, "meta": {"versionId": "7"}} if self.versions else self.held

    def all(self, request: Request) -> Response:
        return self.written(request) or loopback.json(loopback.bundle([self.shown()]))

    def written(self, request: Request) -> Response | None:
        if request.method == "GET":
            return None
        self.writes += 1
        return self.answer(request)

    def one(self, request: Request) -> Response:
        return self.written(request) or loopback.json(self.shown(), headers={"ETag": 'W/"7"'} if self.versions else {})


@pytest.fixture
def against(home: Path, database_url: str) -> Iterator[Callable[[Stubborn], Ours]]:
    """Opens our side of a stubborn vendor, both in agreement."""
    with ExitStack() as opened:

        def begin(vendor: Stubborn) -> Ours:
            server = opened.enter_context(loopback.serving(vendor.routes(), methods=("GET", "PUT", "POST")))
            ours = opened.enter_context(our_side(home, database_url, declared(server.url)))
            assert ours.sync().status is JobStatus.COMPLETED
            return ours

        yield begin


@ON_SQLITE
def test_a17_a_412_to_a_write_without_a_version_is_our_fault_and_no_conflict(
    against: Callable[[Stubborn], Ours],
) -> None:
    vendor = Stubborn(lambda _: loopback.json(loopback.outcome(code="required"), 412), versions=False)
    ours = against(vendor)
    ours.edit("Patient", "p1", setting(active=True))

    report = ours.sync()

    [error] = report.errors
    assert error.code == "write.condition_missing" and "write.resource_types" in error.remedy
    assert ours.conflicts() == [] and vendor.writes == 1
    [intent] = ours.rows("outbox")
    assert (intent.state, intent.error_code, intent.guarded) == ("failed", "write.condition_missing", False)
    assert ours.held("Patient", "p1")["active"] is True, "our side keeps its edit"
    ours.sync()
    assert vendor.writes == 1, "the same again cannot help"


@ON_SQLITE
def test_a_write_the_vendor_refuses_is_told_with_its_code_and_neither_repeated_nor_lost(
    against: Callable[[Stubborn], Ours],
) -> None:
    vendor = Stubborn(lambda _: loopback.json(loopback.outcome("59102"), 422), versions=True)
    ours = against(vendor)
    ours.edit("Patient", "p1", setting(active=True))

    report = ours.sync()

    [error] = report.errors
    assert error.code == "write.refused" and "59102" in error.message and "422" in error.message
    assert "Smith" not in error.message + error.remedy
    assert report.total.refused_writes == 1 and report.total.pushed == 0
    for _ in range(3):
        assert ours.sync(JobType.FULL_SYNC).errors == ()
    assert vendor.writes == 1
    assert ours.held("Patient", "p1")["active"] is True

    vendor.held["gender"] = "male"
    vendor.answer = lambda request: loopback.json({**vendor.held, "active": True, "meta": {"versionId": "8"}})
    ours.sync()
    assert vendor.writes == 2, "what changes there, or here, is a new occasion"
    assert ours.held("Patient", "p1")["gender"] == "male" and ours.held("Patient", "p1")["active"] is True


@ON_SQLITE
def test_a_delete_the_vendor_does_not_allow_is_told_once_and_not_taken_for_a_stale_version(
    site: Site, begin: Begin
) -> None:
    """Servers answer 409 to a delete of what others refer to, as they do to another version."""
    ours = begin(patient())
    site.turn(delete_status=409)
    ours.delete("Patient", "p1")

    report = ours.sync()

    [error] = report.errors
    assert error.code == "write.refused" and "409" in error.message
    for _ in range(2):
        assert ours.sync(JobType.FULL_SYNC).errors == ()
    assert statuses(site) == [("DELETE", 409)]
    assert ours.record("Patient", "p1").state == "deleted" and site.ids("Patient") == {"p1"}

    site.turn(delete_status=204)
    site.edit("Patient", "p1", setting(language="en"))
    ours.sync()
    assert [conflict.type for conflict in ours.conflicts()] == ["DELETE_UPDATE"], "what changes there is a new occasion"


@ON_SQLITE
def test_a_lost_create_that_cannot_be_searched_for_is_left_to_a_person_and_not_sent_again(
    against: Callable[[Stubborn], Ours],
) -> None:
    vendor = Stubborn(lambda _: Response(status_code=500), versions=True)
    ours = against(vendor)
    record_id = create(ours)

    report = ours.sync()

    assert codes(report) == ["create.outcome_unknown"]
    for _ in range(2):
        ours.sync(JobType.FULL_SYNC)
    assert vendor.writes == 1
    assert [row.state for row in ours.rows("link", record_id=record_id)] == ["review"]
    assert [(row.state, row.error_code) for row in ours.rows("outbox")] == [("failed", "create.outcome_unknown")]


# real deaths


@pytest.mark.parametrize(
    ("database_url", "moment", "operation"),
    [
        ("sqlite", "decided", "update"),
        ("sqlite", "unsent", "create"),
        ("sqlite", "unheard", "create"),
        ("postgresql", "unheard", "update"),
    ],
    indirect=["database_url"],
)
def test_a_worker_killed_around_its_write_leaves_what_one_that_lived_would_have_left(
    site: Site, begin: Begin, home: Path, database_url: str, moment: str, operation: str
) -> None:
    ours = begin(patient("p1"), patient("p2"))
    before = site.version("Patient", "p1")
    record_id = ours.record("Patient", "p1").record_id
    if operation == "create":
        record_id = create(ours)
    elif operation == "update":
        ours.edit("Patient", "p1", setting(active=True))
    else:
        ours.delete("Patient", "p1")

    worker = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.killed_writer", str(home), moment],
        env=os.environ | {"HOLOVITALS_DATABASE_URL": database_url}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    [intent] = ours.rows("outbox")
    assert intent.state == ("pending" if moment == "decided" else "inflight")
    assert len(site.writes()) == (1 if moment == "unheard" else 0)

    report = ours.sync()

    assert (report.status, report.attempt) == (JobStatus.COMPLETED, 2)
    assert len([status for _, status in statuses(site) if status in (200, 201, 204)]) == 1, "one effect at the vendor"
    [link] = ours.rows("link", record_id=record_id)
    if operation == "create":
        [made] = site.ids("Patient") - {"p1", "p2"}
        assert (link.state, link.remote_id) == ("active", made)
    elif operation == "update":
        assert site.held("Patient", "p1")["active"] is True and site.version("Patient", "p1") == before + 1
        assert link.state == "active"
    else:
        assert site.ids("Patient") == {"p2"} and link.state == "tombstone"
    assert ours.conflicts() == []
    assert len(ours.rows("record", resource_type="Patient")) == 3 + (operation == "create")
    assert_settled(ours, site)
