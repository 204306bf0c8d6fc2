"""The main job in both directions, over HTTP: what is changed on one side reaches the other, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.local_records import create_record, edit_record
from holovitals_pipelines.engine.review import Choice, approve_conflict, decide_conflict
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import JobStatus, JobType, ResolutionStrategy, Stage
from holovitals_pipelines.sandbox.process import RunningSandbox
from tests.end_to_end.resources import line
from tests.end_to_end.two_way import Ours, Resource, Site, declared, our_side, setting, simulated_vendor

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

        def begin(
            *resources: Resource | bytes, types: tuple[str, ...] = (), files: dict[str, str] | None = None, **write: Any
        ) -> Ours:
            for resource in resources:
                site.put(resource)
            connection = declared(site.base_url, *types, **write)
            ours = opened.enter_context(our_side(home, database_url, connection, files))
            report = ours.sync()
            assert (report.status, report.errors) == (JobStatus.COMPLETED, ())
            site.forget_requests()
            return ours

        yield begin


def patient(identity: str = "p1", **more: Any) -> Resource:
    return {"resourceType": "Patient", "id": identity, "name": [{"family": "Doe"}], "gender": "female", **more}


def encounter(identity: str = "e1", **more: Any) -> Resource:
    return {"resourceType": "Encounter", "id": identity, "status": "planned", "class": {"code": "AMB"}, **more}


def allergy(identity: str = "a1", **more: Any) -> Resource:
    about = {"code": {"text": "Latex"}, "patient": {"reference": "Patient/seed"}}
    return {"resourceType": "AllergyIntolerance", "id": identity, **about, **more}


def phone(number: str) -> list[dict[str, str]]:
    return [{"system": "phone", "value": number}]


def shown(resource: Resource, *elements: str) -> list[Any]:
    return [resource.get(element) for element in elements]


def methods(site: Site) -> list[str]:
    return [row["method"] for row in site.writes()]


TABLES = ("record", "link", "audit_log", "outbox", "sync_conflict", "standing_difference", "dirty_link")


def is_quiet(ours: Ours, site: Site) -> bool:
    """Whether a further pass writes nothing on either side, nor into the log; asserts, so that a failure names what."""
    before = {name: ours.rows(name) for name in TABLES}
    site.forget_requests()
    assert ours.sync(JobType.FULL_SYNC).status is JobStatus.COMPLETED
    assert {name: ours.rows(name) for name in TABLES} == before
    return site.writes() == []


# one side changed


def test_a15_a_local_edit_reaches_the_vendor_guarded_and_the_next_pass_writes_nothing(site: Site, begin: Begin) -> None:
    ours = begin(patient())
    before = site.version("Patient", "p1")
    ours.edit("Patient", "p1", setting(active=True))

    report = ours.sync()

    [write] = site.writes()
    assert (write["method"], write["had_if_match"], write["status"]) == ("PUT", True, 200)
    assert site.held("Patient", "p1")["active"] is True
    assert site.version("Patient", "p1") == before + 1
    assert (report.total.pushed, report.total.conflicts) == (1, 0)
    assert [(row.state, row.guarded) for row in ours.rows("outbox")] == [("done", True)]
    assert is_quiet(ours, site)
    assert site.version("Patient", "p1") == before + 1
    assert ours.complaints() == []


@ON_SQLITE
def test_a46_a_put_leaves_what_we_do_not_know_byte_for_byte(site: Site, begin: Begin) -> None:
    inside = b'"x_vendor":{"a":1.500,"b":[0.10,1e3]},"extension":[{"url":"urn:x","valueDecimal":2.50}]'
    ours = begin(b'{"resourceType":"Patient","id":"p1","gender":"female",%s}' % inside)
    seen = ours.record("Patient", "p1")
    body = seen.body.replace(b'"female"', b'"male"')
    edit_record(ours.home.database, seen.record_id, body, seen_version=seen.version, actor="dr")

    ours.sync()

    assert methods(site) == ["PUT"]
    held = site.raw("Patient", "p1")
    assert b'"gender":"male"' in held and inside in held
    assert is_quiet(ours, site)


@ON_SQLITE
def test_a46_what_the_vendor_added_meanwhile_survives_our_update(site: Site, begin: Begin) -> None:
    ours = begin(patient())
    ours.edit("Patient", "p1", setting(active=True))
    site.put(line(patient())[:-1] + b',"x_new":{"kept":0.10}}')

    ours.sync()

    assert b'"x_new":{"kept":0.10}' in site.raw("Patient", "p1")
    assert site.held("Patient", "p1")["active"] is True
    assert b'"x_new":{"kept":0.10}' in ours.record("Patient", "p1").body
    assert is_quiet(ours, site)


@ON_SQLITE
def test_a_local_delete_flows_out_and_stays(site: Site, begin: Begin) -> None:
    ours = begin(encounter(), types=("Encounter",))
    ours.delete("Encounter", "e1")

    ours.sync()

    [write] = site.writes()
    assert (write["method"], write["had_if_match"], write["status"]) == ("DELETE", True, 204)
    assert site.ids("Encounter") == set()
    assert [row.state for row in ours.rows("link", remote_id="e1")] == ["tombstone"]
    assert is_quiet(ours, site) and ours.complaints() == []


def test_a_record_of_ours_is_created_there_once_and_known_again_by_our_identifier(site: Site, begin: Begin) -> None:
    ours = begin()
    body = line({"resourceType": "Patient", "name": [{"family": "New"}]})
    made = create_record(ours.home.database, "Patient", body, connections=["clinic"], actor="dr")

    ours.sync()

    [identity] = site.ids("Patient")
    assert methods(site) == ["POST"]
    assert site.held("Patient", identity)["name"] == [{"family": "New"}]
    assert ours.record("Patient", identity).record_id == made.record_id
    assert json.loads(ours.record("Patient", identity).body)["name"] == [{"family": "New"}]
    assert is_quiet(ours, site) and ours.complaints() == []

    ours.edit("Patient", identity, setting(gender="female"))
    ours.sync()
    held = site.held("Patient", identity)
    assert held["gender"] == "female"
    assert [one["system"] for one in held["identifier"]] == ["urn:holovitals:link"], "our mark outlives our updates"
    assert is_quiet(ours, site)


# both sides changed


@ON_SQLITE
def test_edits_of_different_elements_on_both_sides_meet_on_both_sides(site: Site, begin: Begin) -> None:
    ours = begin(patient(telecom=phone("1")))
    ours.edit("Patient", "p1", lambda p: p["telecom"].append({"system": "email", "value": "ours@x"}))
    site.edit("Patient", "p1", lambda p: (p["telecom"].append({"system": "fax", "value": "9"}), p.update(active=True)))

    report = ours.sync()

    for side in (site.held("Patient", "p1"), ours.held("Patient", "p1")):
        assert sorted(entry["system"] for entry in side["telecom"]) == ["email", "fax", "phone"]
        assert side["active"] is True
    [conflict] = ours.conflicts()
    assert (conflict.status, conflict.units, conflict.strategy) == ("RESOLVED", 0, "MERGE")
    assert (report.total.conflicts, report.total.resolved, report.total.held) == (1, 1, 0)
    assert is_quiet(ours, site)


@ON_SQLITE
def test_the_shipped_policy_takes_the_vendors_word_on_a_detail_and_leaves_a_name_to_a_person(
    site: Site, begin: Begin
) -> None:
    ours = begin(patient("p1"), patient("p2"))
    contradict(ours, site)

    ours.sync()

    for side in (site.held("Patient", "p1"), ours.held("Patient", "p1")):
        assert side["maritalStatus"] == {"text": "theirs"}
    assert site.held("Patient", "p2")["name"] == [{"family": "Theirs"}]
    assert ours.held("Patient", "p2")["name"] == [{"family": "Ours"}]
    detail, name = sorted(ours.conflicts(), key=lambda conflict: conflict.severity, reverse=True)
    assert (detail.severity, detail.status, detail.units) == ("MEDIUM", "RESOLVED", 1)
    assert detail.decided_by.startswith("policy:") and detail.post_review is None
    assert (name.severity, name.status, name.decided_by) == ("HIGH", "PENDING_REVIEW", None)
    assert site.writes() == [] and is_quiet(ours, site)


OWN_ROWS = """
version: "test-1"
rows:
  - name: details-are-ours
    match: {resource_type: [Patient], unit: [maritalStatus]}
    chain: [LOCAL_WINS]
  - name: names-come-from-registration
    match: {resource_type: [Patient], unit: [name], severity: HIGH}
    chain: [REMOTE_WINS]
"""


@ON_SQLITE
def test_rows_of_ones_own_decide_and_what_was_high_is_looked_at_afterwards(site: Site, begin: Begin) -> None:
    ours = begin(patient("p1"), patient("p2"), files={"policy.yml": OWN_ROWS})
    contradict(ours, site)

    ours.sync()

    for side in (site, ours):
        assert side.held("Patient", "p1")["maritalStatus"] == {"text": "ours"}
        assert side.held("Patient", "p2")["name"] == [{"family": "Theirs"}]
    detail, name = sorted(ours.conflicts(), key=lambda conflict: conflict.severity, reverse=True)
    assert (detail.strategy, detail.post_review) == ("LOCAL_WINS", None)
    assert (name.status, name.strategy, name.post_review) == ("RESOLVED", "REMOTE_WINS", "due")
    assert methods(site) == ["PUT"] and is_quiet(ours, site)


def contradict(ours: Ours, site: Site) -> None:
    """Both sides say something else of a detail of one patient, and of the name of another."""
    ours.edit("Patient", "p1", setting(maritalStatus={"text": "ours"}))
    site.edit("Patient", "p1", setting(maritalStatus={"text": "theirs"}))
    ours.edit("Patient", "p2", setting(name=[{"family": "Ours"}]))
    site.edit("Patient", "p2", setting(name=[{"family": "Theirs"}]))


@ON_SQLITE
def test_a_critical_contradiction_is_held_on_both_sides_until_two_people_have_decided_it(
    site: Site, begin: Begin
) -> None:
    ours = begin(patient(birthDate="1970-01-01"))
    ours.edit("Patient", "p1", setting(birthDate="1971-01-01", active=True))
    site.edit("Patient", "p1", setting(birthDate="1972-01-01", language="en"))

    ours.sync()

    assert shown(ours.held("Patient", "p1"), "birthDate", "active", "language") == ["1971-01-01", True, None]
    assert shown(site.held("Patient", "p1"), "birthDate", "active", "language") == ["1972-01-01", None, "en"]
    [conflict] = ours.conflicts()
    assert (conflict.severity, conflict.status, conflict.two_person) == ("CRITICAL", "PENDING_REVIEW", True)
    assert conflict.due_at is not None and is_quiet(ours, site), "it is held, not decided anew with every pass"

    database = ours.home.database
    choices = {"birthDate": Choice("local")}
    decide_conflict(
        database, conflict.conflict_id, ResolutionStrategy.MANUAL, revision=1, actor="anna", reason="passport",
        choices=choices,
    )  # fmt: skip
    assert is_quiet(ours, site), "one person's word does not count"
    with pytest.raises(StoreError, match="cannot approve"):
        approve_conflict(database, conflict.conflict_id, revision=1, actor="anna")
    approve_conflict(database, conflict.conflict_id, revision=1, actor="ben")
    ours.sync()

    for side in (site.held("Patient", "p1"), ours.held("Patient", "p1")):
        assert shown(side, "birthDate", "active", "language") == ["1971-01-01", True, "en"]
    [decided] = ours.conflicts()
    assert (decided.status, decided.decided_by, decided.approved_by) == ("RESOLVED", "anna", "ben")
    assert methods(site) == ["PUT"]
    assert is_quiet(ours, site) and ours.complaints() == []


@ON_SQLITE
def test_a9_a_decision_on_values_that_have_changed_since_is_not_applied(site: Site, begin: Begin) -> None:
    ours = begin(allergy(), types=("AllergyIntolerance",))
    ours.edit("AllergyIntolerance", "a1", setting(code={"text": "ours"}))
    site.edit("AllergyIntolerance", "a1", setting(code={"text": "theirs"}))
    ours.sync()
    [conflict] = ours.conflicts()
    decide_conflict(
        ours.home.database, conflict.conflict_id, ResolutionStrategy.LOCAL_WINS, revision=1, actor="anna", reason="seen"
    )
    site.edit("AllergyIntolerance", "a1", setting(code={"text": "theirs, again"}))

    ours.sync()

    [reopened] = ours.conflicts()
    assert (reopened.status, reopened.revision, reopened.reopened) == ("PENDING_REVIEW", 2, 1)
    assert site.held("AllergyIntolerance", "a1")["code"] == {"text": "theirs, again"}
    assert site.writes() == []
    with pytest.raises(StoreError) as stale:
        decide_conflict(
            ours.home.database, conflict.conflict_id, ResolutionStrategy.LOCAL_WINS, revision=1, actor="b", reason="x"
        )
    assert stale.value.code == "conflict.stale"


@ON_SQLITE
def test_a13_a_merge_that_fhir_forbids_is_a_conflict_and_goes_nowhere(site: Site, begin: Begin) -> None:
    ours = begin(
        {
            "resourceType": "Appointment", "id": "ap1", "status": "booked", "participant": [{"status": "accepted"}],
            "start": "2026-03-01T09:00:00Z", "end": "2026-03-01T12:00:00Z",
        },
        types=("Appointment",),
    )  # fmt: skip
    ours.edit("Appointment", "ap1", setting(start="2026-03-01T11:00:00Z"))
    site.edit("Appointment", "ap1", setting(end="2026-03-01T10:00:00Z"))

    ours.sync()

    [conflict] = ours.conflicts()
    assert (conflict.status, conflict.units) == ("PENDING_REVIEW", 1)
    assert "not be valid" in conflict.reason
    assert shown(site.held("Appointment", "ap1"), "start", "end") == ["2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"]
    assert shown(ours.held("Appointment", "ap1"), "start", "end") == ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"]
    assert is_quiet(ours, site)

    decide_conflict(
        ours.home.database, conflict.conflict_id, ResolutionStrategy.LOCAL_WINS, revision=1, actor="anna", reason="x"
    )
    ours.sync()
    for side in (site.held("Appointment", "ap1"), ours.held("Appointment", "ap1")):
        assert shown(side, "start", "end") == ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"]
    assert is_quiet(ours, site)


# deletes against updates


@ON_SQLITE
def test_a_vendors_delete_against_our_update_keeps_the_content_and_creates_it_anew(site: Site, begin: Begin) -> None:
    ours = begin(encounter(), types=("Encounter",))
    record_id = ours.record("Encounter", "e1").record_id
    ours.edit("Encounter", "e1", setting(serviceType={"text": "ours"}))
    site.delete("Encounter", "e1")

    ours.sync(JobType.FULL_SYNC)

    [again] = site.ids("Encounter")
    assert again != "e1" and site.held("Encounter", again)["serviceType"] == {"text": "ours"}
    assert ours.record("Encounter", again).record_id == record_id
    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.severity, conflict.status) == ("UPDATE_DELETE", "HIGH", "RESOLVED")
    assert conflict.post_review == "due"
    assert is_quiet(ours, site) and ours.complaints() == []


@ON_SQLITE
def test_a_vendors_delete_of_a_critical_fact_we_changed_waits_for_a_person(site: Site, begin: Begin) -> None:
    ours = begin(allergy(), types=("AllergyIntolerance",))
    ours.edit("AllergyIntolerance", "a1", setting(criticality="high"))
    site.delete("AllergyIntolerance", "a1")

    ours.sync(JobType.FULL_SYNC)

    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.severity, conflict.status) == ("UPDATE_DELETE", "CRITICAL", "PENDING_REVIEW")
    assert ours.record("AllergyIntolerance", "a1").state == "active"
    assert site.ids("AllergyIntolerance") == set() and is_quiet(ours, site)

    decide_conflict(
        ours.home.database, conflict.conflict_id, ResolutionStrategy.REMOTE_WINS, revision=1, actor="a", reason="x"
    )
    ours.sync()
    assert ours.record("AllergyIntolerance", "a1").state == "deleted"
    assert is_quiet(ours, site) and ours.complaints() == []


@ON_SQLITE
def test_our_delete_against_a_vendors_update_keeps_the_vendors_content(site: Site, begin: Begin) -> None:
    ours = begin(encounter(), types=("Encounter",))
    ours.delete("Encounter", "e1")
    site.edit("Encounter", "e1", setting(serviceType={"text": "theirs"}))

    ours.sync()

    assert ours.record("Encounter", "e1").state == "active"
    assert ours.held("Encounter", "e1")["serviceType"] == {"text": "theirs"}
    assert site.ids("Encounter") == {"e1"} and site.writes() == []
    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.status) == ("DELETE_UPDATE", "RESOLVED")
    assert is_quiet(ours, site) and ours.complaints() == []


@ON_SQLITE
def test_a21_f18_many_deletes_told_by_an_export_are_held_until_a_person_lets_them_through(
    site: Site, begin: Begin
) -> None:
    ours = begin(*(patient(f"p{n}") for n in range(30)), read={"mode": "bulk"})
    for n in range(12):
        site.delete("Patient", f"p{n}")

    held = ours.sync()

    assert [error.code for error in held.errors] == ["breaker.deletes"]
    assert (held.total.removed, held.total.deletions) == (0, 12)
    assert len(ours.rows("record", state="active")) == 31
    assert ours.sync().total.removed == 0

    assert ours.sync(allow_deletes=True).total.removed == 12
    assert len(ours.rows("record", state="deleted")) == 12 and ours.complaints() == []


@ON_SQLITE
def test_a6_a_few_deletes_told_by_an_export_are_confirmed_by_reading_and_followed(site: Site, begin: Begin) -> None:
    ours = begin(*(patient(f"p{n}") for n in range(6)), read={"mode": "bulk"})
    site.delete("Patient", "p1")
    site.delete("Patient", "p2")
    site.put(patient("p2", gender="male"))

    report = ours.sync()

    assert report.total.removed == 1
    assert ours.record("Patient", "p1").state == "deleted"
    assert ours.held("Patient", "p2")["gender"] == "male", "deleted and made again is no delete"
    assert is_quiet(ours, site)


# vendors that take less than everything


@ON_SQLITE
def test_a45_a_read_only_vendor_is_never_written_to_and_every_difference_is_listed(site: Site, begin: Begin) -> None:
    site.turn(read_only=True)
    ours = begin(patient(birthDate="1970-01-01"), patient("p2"), types=("Patient",))
    ours.edit("Patient", "p1", setting(birthDate="1971-01-01", maritalStatus={"text": "ours"}))
    ours.delete("Patient", "p2")
    create_record(
        ours.home.database, "Patient", line({"resourceType": "Patient", "active": True}), connections=["clinic"],
        actor="dr",
    )  # fmt: skip

    ours.sync()

    assert site.writes() == [] and is_quiet(ours, site)
    listed = {(row.unit, row.severity, row.reason) for row in ours.rows("standing_difference")}
    assert {("birthDate", "CRITICAL", "read_only"), ("maritalStatus", "MEDIUM", "read_only")} <= listed
    assert {(unit, reason) for unit, _, reason in listed if unit == "*"} == {("*", "not_created"), ("*", "not_deleted")}

    site.edit("Patient", "p1", setting(maritalStatus={"text": "theirs"}, birthDate="1972-01-01"))
    ours.sync()
    [conflict] = ours.conflicts()
    assert (conflict.type, conflict.severity, conflict.status) == ("UPDATE_UPDATE", "CRITICAL", "PENDING_REVIEW")
    assert ours.held("Patient", "p1")["birthDate"] == "1971-01-01", "whoever changed it there never saw ours"
    assert {row.unit for row in ours.rows("sync_conflict_field", kind="conflict")} == {"birthDate", "maritalStatus"}
    assert site.writes() == [] and is_quiet(ours, site)


@ON_SQLITE
def test_a_connection_we_were_not_told_to_write_to_is_not_written_to(site: Site, begin: Begin) -> None:
    ours = begin(patient(), enabled=False)
    ours.edit("Patient", "p1", setting(active=True))
    site.edit("Patient", "p1", setting(language="en"))

    ours.sync()

    assert site.writes() == [] and ours.held("Patient", "p1")["language"] == "en"
    assert [(row.unit, row.severity) for row in ours.rows("standing_difference")] == [("active", "CRITICAL")]
    assert is_quiet(ours, site)


@ON_SQLITE
def test_an_element_the_vendor_keeps_for_itself_stands_and_the_rest_goes_out(site: Site, begin: Begin) -> None:
    ours = begin(patient(), read_only_elements={"Patient": ["gender"]})
    ours.edit("Patient", "p1", setting(gender="male", active=True))

    ours.sync()

    assert shown(site.held("Patient", "p1"), "gender", "active") == ["female", True]
    assert shown(ours.held("Patient", "p1"), "gender", "active") == ["male", True]
    assert [row.unit for row in ours.rows("standing_difference")] == ["gender"]
    assert is_quiet(ours, site)

    site.edit("Patient", "p1", setting(gender="other"))
    ours.sync()
    assert [conflict.type for conflict in ours.conflicts(status="PENDING_REVIEW")] == ["UPDATE_UPDATE"]


@ON_SQLITE
def test_a18_a_vendor_that_stores_something_else_hears_our_edit_once_in_ten_passes(site: Site, begin: Begin) -> None:
    site.turn(
        lossy={"drop": ["Patient.maritalStatus"], "lower": ["Patient.name.family"]}, immutable=["Patient.birthDate"]
    )
    ours = begin(patient(birthDate="1970-01-01"))
    ours.edit(
        "Patient", "p1",
        setting(maritalStatus={"text": "M"}, name=[{"family": "DOE-SMITH"}], birthDate="1971-01-01", active=True),
    )  # fmt: skip

    for number in range(10):
        ours.sync(JobType.FULL_SYNC if number % 3 == 0 else JobType.INCREMENTAL_SYNC)

    assert methods(site) == ["PUT"]
    held, kept = site.held("Patient", "p1"), ours.held("Patient", "p1")
    assert shown(held, "maritalStatus", "birthDate", "active") == [None, "1970-01-01", True]
    assert held["name"] == [{"family": "doe-smith"}]
    assert shown(kept, "maritalStatus", "birthDate", "active") == [{"text": "M"}, "1971-01-01", True]
    assert kept["name"] == [{"family": "DOE-SMITH"}]
    assert ours.conflicts() == []
    listed = {row.unit: row.severity for row in ours.rows("standing_difference")}
    assert {"maritalStatus", "birthDate"} <= set(listed) and listed["birthDate"] == "CRITICAL"
    assert is_quiet(ours, site)


@ON_SQLITE
def test_f13_a_vendor_without_versions_is_looked_at_before_it_is_written_and_that_is_on_record(
    site: Site, begin: Begin
) -> None:
    site.turn(etags=False, versioning="no-version")
    ours = begin(patient("p1"), patient("p2"))
    ours.edit("Patient", "p1", setting(active=True))
    ours.edit("Patient", "p2", setting(active=True))

    class Clinician:
        """Edits one of them at the vendor once the decision is committed, before anything is sent."""

        edited = False

        def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
            if stage is Stage.WRITE_BACK and not self.edited:
                self.edited = True
                site.edit("Patient", "p1", setting(language="en"))

        def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
            return

    ours.sync(progress=Clinician())

    for side in (site, ours):
        assert shown(side.held("Patient", "p1"), "active", "language") == [True, "en"]
        assert shown(side.held("Patient", "p2"), "active", "language") == [True, None]
    assert [(write["method"], write["had_if_match"]) for write in site.writes()] == [("PUT", False)] * 2
    intents = sorted((row.state, row.guarded) for row in ours.rows("outbox"))
    assert intents == [("done", False), ("done", False), ("superseded", False)], (
        "one was not sent as it had been decided"
    )
    assert is_quiet(ours, site)


@ON_SQLITE
def test_a_vendor_that_adds_an_identifier_of_its_own_is_heard(site: Site, begin: Begin) -> None:
    """What comes on top of our write is news: it reaches us, and is not sent back."""
    ours = begin()
    body = line({"resourceType": "Patient", "name": [{"family": "New"}]})
    made = create_record(ours.home.database, "Patient", body, connections=["clinic"], actor="dr")
    ours.sync()
    [identity] = site.ids("Patient")
    mine = {"system": "urn:mrn", "value": "77"}
    site.edit("Patient", identity, lambda p: p["identifier"].append(mine))

    ours.sync()

    assert ours.held("Patient", identity)["identifier"] == [mine]
    assert ours.record("Patient", identity).record_id == made.record_id
    assert is_quiet(ours, site)


# a person's word does what it says


@ON_SQLITE
def test_a_value_of_the_persons_own_reaches_both_sides(site: Site, begin: Begin) -> None:
    ours = begin(allergy(), types=("AllergyIntolerance",))
    ours.edit("AllergyIntolerance", "a1", setting(code={"text": "ours"}))
    site.edit("AllergyIntolerance", "a1", setting(code={"text": "theirs"}))
    ours.sync()
    [conflict] = ours.conflicts()
    [unit] = [row.unit for row in ours.rows("sync_conflict_field", kind="conflict")]

    decide_conflict(
        ours.home.database, conflict.conflict_id, ResolutionStrategy.MANUAL, revision=1, actor="anna", reason="chart",
        choices={unit: Choice("value", '{"text":"third"}')},
    )  # fmt: skip
    ours.sync()

    for side in (site.held("AllergyIntolerance", "a1"), ours.held("AllergyIntolerance", "a1")):
        assert side["code"] == {"text": "third"}
    assert is_quiet(ours, site) and ours.complaints() == []
