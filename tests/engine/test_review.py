"""People decide conflicts: bound to the values they saw, by two people where it is about who somebody is."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine import review
from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.conflict_statistics import conflict_statistics
from holovitals_pipelines.engine.conflict_view import (
    decision_code,
    elements_apart,
    find_conflict_id,
    matching_conflicts,
    rows_of,
    show_conflict,
)
from holovitals_pipelines.engine.local_records import delete_record, edit_record, read_record
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.engine.review import (
    approve_conflict,
    decide_conflict,
    mark_reviewed,
    withdraw_decision,
)
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ResolutionStrategy
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.conflicts import StoredConflict
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import marked_links
from holovitals_pipelines.store.tables import sync_conflict
from holovitals_pipelines.sync.policy import load_policy
from tests.engine.toy_vendor import PATIENT, Bench

LOCAL, REMOTE = ResolutionStrategy.LOCAL_WINS, ResolutionStrategy.REMOTE_WINS
MANUAL, LAST, FIRST = (
    ResolutionStrategy.MANUAL,
    ResolutionStrategy.LAST_WRITE_WINS,
    ResolutionStrategy.FIRST_WRITE_WINS,
)

CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "subject": {"reference": "Patient/p1"},
    "code": {"text": "Asthma"},
    "clinicalStatus": {"coding": [{"code": "active"}]},
    "verificationStatus": {"coding": [{"code": "confirmed"}]},
    "severity": {"text": "mild"},
    "onsetDateTime": "2020-01-01",
}


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


def edit(bench: Bench, record_id: str, **elements: Any) -> None:
    """A person changes elements here; None takes one out."""
    now = read_record(bench.database, record_id)
    changed = {name: value for name, value in {**json.loads(now.body), **elements}.items() if value is not None}
    edit_record(bench.database, record_id, json.dumps(changed).encode(), seen_version=now.version, actor="dr")


def held_here(bench: Bench, record_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_record(bench.database, record_id).body)
    return found


def the_conflict(bench: Bench) -> StoredConflict:
    [found] = bench.conflicts(statuses=("DETECTED", "PENDING_REVIEW"))
    return found


@pytest.fixture
def born(bench: Bench) -> str:
    """A patient whose date of birth and phone were changed on both sides: the record's id."""
    record_id = bench.taken_in("Patient", "p1", PATIENT)
    edit(bench, record_id, birthDate="1951-01-01", telecom=[{**PATIENT["telecom"][0], "use": "work"}])
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02", telecom=[{**PATIENT["telecom"][0], "use": "mobile"}])
    bench.work()
    return record_id


@pytest.fixture
def onset(bench: Bench) -> str:
    """A condition with a conflict of severity HIGH, left to a person by the shipped policy: the record's id."""
    record_id = bench.taken_in("Condition", "c1", CONDITION)
    edit(bench, record_id, code={"text": "Asthma, mild"})
    bench.vendor.change("Condition", "c1", code={"text": "Bronchitis"})
    bench.work()
    assert the_conflict(bench).severity == "HIGH"
    return record_id


def refused(code: str, *words: str) -> Any:
    return pytest.raises(StoreError, match=r"(?s)" + code.replace(".", r"\.") + "".join(f".*{word}" for word in words))


def test_a_conflict_is_shown_unit_by_unit_with_who_and_when(bench: Bench, born: str) -> None:
    shown = show_conflict(bench.database, the_conflict(bench).conflict_id)
    birth, phone = rows_of(shown)
    assert (birth.number, birth.unit, birth.severity, birth.undecided) == (1, "birthDate", "CRITICAL", True)
    assert (birth.base, birth.local, birth.remote) == ('"1950-01-01"', '"1951-01-01"', '"1952-02-02"')
    assert (phone.number, phone.element, phone.local, phone.remote) == (2, "telecom", '"work"', '"mobile"')
    assert shown.local_by == "dr" and shown.conflict.local_updated and shown.conflict.remote_updated
    assert [happening.action for happening in shown.history] == ["hold"]
    assert shown.proposal is not None and json.loads(shown.proposal)["birthDate"] == "1950-01-01"


@pytest.mark.parametrize(("strategy", "date", "use"), [(LOCAL, "1951-01-01", "work"), (REMOTE, "1952-02-02", "mobile")])
def test_a_side_wins_every_unit_on_both_sides_once_a_second_person_approves(
    bench: Bench, born: str, strategy: ResolutionStrategy, date: str, use: str
) -> None:
    conflict = the_conflict(bench)
    decide_conflict(bench.database, conflict.conflict_id, strategy, revision=1, actor="ann", reason="saw the passport")
    bench.work()
    assert held_here(bench, born)["birthDate"] == "1951-01-01", "one person alone does not say who somebody is"
    assert the_conflict(bench).revision == 1

    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    there = bench.vendor.document("Patient", "p1")
    for side in (held_here(bench, born), there):
        assert (side["birthDate"], side["telecom"][0]["use"]) == (date, use)
    [closed] = bench.conflicts(statuses=("RESOLVED",))
    assert (closed.strategy, closed.decided_by, closed.approved_by) == (strategy.value, "ann", "bob")
    assert closed.reason == "saw the passport"
    with bench.database.read() as transaction:
        actions = [entry.action for entry in audit.entries(transaction, conflict_id=conflict.conflict_id)]
        assert actions == ["hold", "decide", "approve", "resolve"]
        assert list(audit.check_against_store(transaction)) == []


def test_each_unit_can_be_chosen_on_its_own_and_by_a_value_neither_side_has(bench: Bench, born: str) -> None:
    conflict = the_conflict(bench)
    birth, phone = (unit.unit for unit in show_conflict(bench.database, conflict.conflict_id).open_units)
    choices = {birth: Choice("value", '"1953-03-03"'), phone: Choice("remote")}
    decide_conflict(
        bench.database, conflict.conflict_id, MANUAL, revision=1, actor="ann", reason="asked", choices=choices
    )
    waiting = rows_of(show_conflict(bench.database, conflict.conflict_id))
    assert [(row.proposal, row.chosen_side) for row in waiting] == [('"1953-03-03"', "value"), ('"mobile"', "remote")]
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    for side in (held_here(bench, born), bench.vendor.document("Patient", "p1")):
        assert (side["birthDate"], side["telecom"][0]["use"]) == ("1953-03-03", "mobile")


def test_a_unit_can_be_taken_out_on_both_sides(bench: Bench, born: str) -> None:
    conflict = the_conflict(bench)
    birth, phone = (unit.unit for unit in show_conflict(bench.database, conflict.conflict_id).open_units)
    choices = {birth: Choice("value", None), phone: Choice("local")}
    decide_conflict(
        bench.database, conflict.conflict_id, MANUAL, revision=1, actor="ann", reason="unknown", choices=choices
    )
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    assert "birthDate" not in held_here(bench, born) and "birthDate" not in bench.vendor.document("Patient", "p1")


@pytest.mark.parametrize("mover", ["local", "remote"])
def test_a9_a_decision_on_values_that_changed_since_opens_the_conflict_again_and_changes_nothing(
    bench: Bench, onset: str, mover: str
) -> None:
    conflict = the_conflict(bench)
    decide_conflict(bench.database, conflict.conflict_id, LOCAL, revision=1, actor="ann", reason="her own words")
    if mover == "local":
        edit(bench, onset, code={"text": "Asthma, severe"})
    else:
        bench.vendor.change("Condition", "c1", code={"text": "Pneumonia"})
    here, there, writes = held_here(bench, onset), bench.vendor.document("Condition", "c1"), bench.vendor.writes
    bench.work()
    again = the_conflict(bench)
    assert again.conflict_id == conflict.conflict_id
    assert (again.status, again.revision, again.reopened, again.decision) == ("PENDING_REVIEW", 2, 1, None)
    assert (held_here(bench, onset), bench.vendor.document("Condition", "c1")) == (here, there)
    assert bench.vendor.writes == writes and bench.waiting() == 0

    with refused("conflict.stale", "revision 2", "made on 1"):
        decide_conflict(bench.database, conflict.conflict_id, LOCAL, revision=1, actor="ann", reason="again")
    decide_conflict(bench.database, conflict.conflict_id, LOCAL, revision=2, actor="ann", reason="looked again")
    bench.work()
    assert held_here(bench, onset)["code"] == bench.vendor.document("Condition", "c1")["code"] == here["code"]
    assert conflict_statistics(bench.database).reopened == 1


def test_i10_values_that_change_while_a_decision_is_being_checked_refuse_it(bench: Bench, onset: str) -> None:
    conflict_id = the_conflict(bench).conflict_id

    class Meanwhile(dict[str, Choice]):
        """Choices that take so long to look at that a sync goes by."""

        def items(self) -> Any:
            bench.vendor.change("Condition", "c1", code={"text": "Pneumonia"})
            bench.hear_of("Condition", "c1")
            bench.work()
            return super().items()

    with refused("conflict.stale", "revision 2", "made on 1"):
        decide_conflict(
            bench.database, conflict_id, MANUAL, revision=1, actor="ann", reason="chart",
            choices=Meanwhile(code=Choice("remote")),
        )  # fmt: skip
    assert the_conflict(bench).decision is None


def test_i10_a_decision_made_while_another_element_moves_is_still_applied_to_what_was_seen(
    bench: Bench, onset: str
) -> None:
    decide_conflict(
        bench.database, the_conflict(bench).conflict_id, REMOTE, revision=1, actor="ann", reason="the specialist"
    )
    bench.vendor.change("Condition", "c1", recordedDate="2026-01-01")
    bench.work()
    here = held_here(bench, onset)
    assert (here["code"], here["recordedDate"]) == ({"text": "Bronchitis"}, "2026-01-01")


def test_i10_an_approval_of_values_that_moved_after_the_decision_applies_nothing(bench: Bench, born: str) -> None:
    conflict = the_conflict(bench)
    decide_conflict(bench.database, conflict.conflict_id, REMOTE, revision=1, actor="ann", reason="the registry")
    bench.vendor.change("Patient", "p1", birthDate="1960-06-06")
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    again = the_conflict(bench)
    assert (again.revision, again.approved_by, held_here(bench, born)["birthDate"]) == (2, None, "1951-01-01")
    with refused("conflict.not_decided"):
        approve_conflict(bench.database, conflict.conflict_id, revision=2, actor="bob")


def test_f20_a_new_policy_leaves_open_conflicts_as_they_are_until_they_are_decided(bench: Bench, onset: str) -> None:
    before = the_conflict(bench)
    bench.under(
        load_policy(
            'version: "other"\nrows:\n  - name: vendor-knows\n    match: {severity: HIGH}\n    chain: [REMOTE_WINS]\n',
            "policy",
        )
    )
    bench.hear_of("Condition", "c1")
    bench.work()
    after = the_conflict(bench)
    assert after == before and after.policy_version == before.policy_version
    assert held_here(bench, onset)["code"] == {"text": "Asthma, mild"}
    decide_conflict(bench.database, after.conflict_id, LOCAL, revision=after.revision, actor="ann", reason="chart")
    bench.work()
    [closed] = bench.conflicts(statuses=("RESOLVED",))
    assert (
        closed.strategy == "LOCAL_WINS" and bench.vendor.document("Condition", "c1")["code"]["text"] == "Asthma, mild"
    )


def test_whoever_decided_cannot_approve_even_under_another_spelling(bench: Bench, born: str) -> None:
    conflict = the_conflict(bench)
    with refused("conflict.not_decided"):
        approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    decide_conflict(bench.database, conflict.conflict_id, LOCAL, revision=1, actor="ann", reason="passport")
    for name in ("ann", " Ann ", "ANN"):
        with refused("conflict.same_person"):
            approve_conflict(bench.database, conflict.conflict_id, revision=1, actor=name)
    with refused("conflict.stale"):
        approve_conflict(bench.database, conflict.conflict_id, revision=2, actor="bob")
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")

    decide_conflict(bench.database, conflict.conflict_id, REMOTE, revision=1, actor="bob", reason="on second thought")
    assert the_conflict(bench).approved_by is None, "another decision needs its own approval"


def test_nobody_approves_a_decision_that_took_the_place_of_the_one_they_saw(bench: Bench, born: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    decide_conflict(bench.database, conflict_id, LOCAL, revision=1, actor="ann", reason="passport")
    seen = decision_code(the_conflict(bench))
    decide_conflict(bench.database, conflict_id, REMOTE, revision=1, actor="ann", reason="no, the other one")
    with refused("conflict.stale", "decided anew"):
        approve_conflict(bench.database, conflict_id, revision=1, decision=seen, actor="bob")
    now = decision_code(the_conflict(bench))
    assert approve_conflict(bench.database, conflict_id, revision=1, decision=now, actor="bob").approved_by == "bob"


def test_what_needs_no_second_person_takes_none(bench: Bench, onset: str) -> None:
    decide_conflict(bench.database, the_conflict(bench).conflict_id, LOCAL, revision=1, actor="ann", reason="chart")
    with refused("conflict.needs_no_approval"):
        approve_conflict(bench.database, the_conflict(bench).conflict_id, revision=1, actor="bob")


def test_a_decision_that_is_taken_back_is_not_applied_and_the_conflict_waits_as_it_was(bench: Bench, born: str) -> None:
    before = the_conflict(bench)
    with refused("conflict.not_decided", "nothing to take back"):
        withdraw_decision(bench.database, before.conflict_id, actor="ann")
    decide_conflict(bench.database, before.conflict_id, REMOTE, revision=1, actor="ann", reason="registry")
    approve_conflict(bench.database, before.conflict_id, revision=1, actor="bob")
    with refused("conflict.stale", "anew"):
        withdraw_decision(bench.database, before.conflict_id, actor="ann", decision="00000000")
    code = decision_code(the_conflict(bench))
    withdraw_decision(bench.database, before.conflict_id, actor="cleo", decision=code)
    bench.work()
    now = the_conflict(bench)
    assert (now.revision, now.decision, now.decided_by, now.approved_by, now.reason) == (1, None, None, None, None)
    assert (now.status, now.due_at) == (before.status, before.due_at)
    assert held_here(bench, born)["birthDate"] == "1951-01-01"
    with bench.database.read() as transaction:
        [told] = [one for one in audit.entries(transaction) if one.action == "withdraw"]
        assert (told.actor, told.conflict_id) == ("cleo", before.conflict_id)
        assert list(audit.check_against_store(transaction)) == []


def test_a_decision_that_was_applied_is_not_taken_back_but_undone(bench: Bench, onset: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    decide_conflict(bench.database, conflict_id, REMOTE, revision=1, actor="ann", reason="registry")
    bench.work()
    with refused("conflict.closed", "conflicts revert"):
        withdraw_decision(bench.database, conflict_id, actor="ann")
    assert held_here(bench, onset)["code"] == {"text": "Bronchitis"}
    revert_conflict(bench.database, conflict_id, actor="ann", reason="wrong")
    assert held_here(bench, onset)["code"] == {"text": "Asthma, mild"}


@pytest.mark.parametrize("actor", ["", "   ", "policy:1", "clinic", "x" * 65, "two\nlines"])
def test_nobody_acts_under_the_name_of_a_policy_or_a_connection_or_no_name(
    bench: Bench, onset: str, actor: str
) -> None:
    conflict_id = the_conflict(bench).conflict_id
    with refused("actor.invalid"):
        decide_conflict(bench.database, conflict_id, LOCAL, revision=1, actor=actor, reason="chart")
    assert the_conflict(bench).decision is None
    with bench.database.read() as transaction:
        assert marked_links(transaction, "clinic") == []


def test_closed_and_unknown_conflicts_and_decisions_without_a_reason_are_refused(bench: Bench, onset: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    with refused("conflict.no_reason"):
        decide_conflict(bench.database, conflict_id, LOCAL, revision=1, actor="ann", reason="  ")
    decide_conflict(bench.database, conflict_id, LOCAL, revision=1, actor="ann", reason="chart")
    bench.work()
    with refused("conflict.closed", "resolved", "revert"):
        decide_conflict(bench.database, conflict_id, REMOTE, revision=2, actor="ann", reason="no")
    with refused("conflict.closed"):
        approve_conflict(bench.database, conflict_id, revision=2, actor="bob")
    with refused("conflict.unknown"):
        decide_conflict(bench.database, "nope", LOCAL, revision=1, actor="ann", reason="x")


def test_choices_that_cannot_be_carried_out_are_refused_by_element_and_never_by_value(bench: Bench, born: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    birth, phone = (unit.unit for unit in show_conflict(bench.database, conflict_id).open_units)
    assert "555-0100" in phone, "the name of an item holds its content"
    right = {birth: Choice("local"), phone: Choice("local")}
    for choices, words in [
        ({birth: Choice("local")}, "no choice is given for telecom"),
        ({}, "no choice is given for birthDate, telecom"),
        (right | {"telecom[phone|999-SECRET].use": Choice("local")}, "1 of the choices name no unit"),
        (right | {phone: Choice("both")}, "the choice for telecom"),
        (right | {phone: Choice("value", "SECRET")}, "for telecom is not JSON"),
        (right | {phone: Choice("value", '{"a": "SECRET"}')}, "for telecom is an object, where the sides hold text"),
        (right | {birth: Choice("value", '"SECRET"')}, "not be valid: Patient.birthDate"),
    ]:
        with pytest.raises(StoreError) as error:
            decide_conflict(bench.database, conflict_id, MANUAL, revision=1, actor="ann", reason="r", choices=choices)
        assert error.value.code == "conflict.undecidable" and words in str(error.value)
        assert "SECRET" not in str(error.value) and "555-01" not in str(error.value)
        assert error.value.remedy and error.value.__context__ is None
    with refused("conflict.undecidable", "takes no choices"):
        decide_conflict(bench.database, conflict_id, LOCAL, revision=1, actor="ann", reason="r", choices=right)
    with refused("conflict.undecidable", "CUSTOM"):
        decide_conflict(bench.database, conflict_id, ResolutionStrategy.CUSTOM, revision=1, actor="ann", reason="r")
    assert the_conflict(bench).decision is None


def test_a_value_for_a_group_cannot_reach_into_other_elements(bench: Bench) -> None:
    record_id = bench.taken_in("Condition", "c1", CONDITION)
    edit(bench, record_id, clinicalStatus={"coding": [{"code": "resolved"}]})
    bench.vendor.change("Condition", "c1", clinicalStatus={"coding": [{"code": "remission"}]})
    bench.work()
    conflict_id = the_conflict(bench).conflict_id
    [unit] = show_conflict(bench.database, conflict_id).open_units
    assert "+" in unit.unit
    ours = {"clinicalStatus": {"coding": [{"code": "inactive"}]}, "verificationStatus": CONDITION["verificationStatus"]}

    def decide(value: dict[str, Any]) -> None:
        choices = {unit.unit: Choice("value", json.dumps(value))}
        decide_conflict(bench.database, conflict_id, MANUAL, revision=1, actor="ann", reason="r", choices=choices)

    with refused("conflict.undecidable", "reaches into other elements"):
        decide({**ours, "code": {"text": "Something else"}})
    decide(ours)
    bench.work()
    assert held_here(bench, record_id)["clinicalStatus"] == ours["clinicalStatus"]
    assert held_here(bench, record_id)["code"] == {"text": "Asthma"}


def test_times_decide_for_a_person_only_where_they_are_clear_and_nothing_is_critical(bench: Bench, onset: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    with refused("conflict.undecidable", "too close to tell"):
        decide_conflict(bench.database, conflict_id, LAST, revision=1, actor="ann", reason="newer")
    earlier = datetime.now(UTC) - timedelta(days=1)
    for strategy, text in ((FIRST, "Bronchitis"), (LAST, "Asthma, mild")):
        with bench.database.write() as transaction:
            transaction.execute(sync_conflict.update().values(remote_updated=earlier))
        stored = decide_conflict(bench.database, conflict_id, strategy, revision=1, actor="ann", reason="by time")
        assert stored.decision is not None
        shown = rows_of(show_conflict(bench.database, conflict_id))
        assert [row.proposal for row in shown] == [json.dumps({"text": text}, separators=(",", ":"))]
    with bench.database.write() as transaction:
        transaction.execute(sync_conflict.update().values(remote_updated=None))
    with refused("conflict.undecidable", "not known"):
        decide_conflict(bench.database, conflict_id, LAST, revision=1, actor="ann", reason="newer")


def test_times_never_decide_what_is_critical(bench: Bench, born: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    with bench.database.write() as transaction:
        transaction.execute(sync_conflict.update().values(remote_updated=datetime.now(UTC) - timedelta(days=1)))
    for strategy in (LAST, FIRST):
        with refused("conflict.undecidable", "critical", "written later: local"):
            decide_conflict(bench.database, conflict_id, strategy, revision=1, actor="ann", reason="newer")


@pytest.mark.parametrize(("strategy", "lives"), [(LOCAL, False), (REMOTE, True)])
def test_a_delete_that_met_an_update_is_decided_as_a_whole(
    bench: Bench, strategy: ResolutionStrategy, lives: bool
) -> None:
    record_id = bench.taken_in("Patient", "p1", PATIENT)
    delete_record(bench.database, record_id, seen_version=1, actor="dr")
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02")
    bench.work()
    conflict = the_conflict(bench)
    assert conflict.type == "DELETE_UPDATE"
    shown = show_conflict(bench.database, conflict.conflict_id)
    assert shown.local is None
    apart = {row.unit: (row.base, row.local, row.remote) for row in elements_apart(shown)}
    assert apart["birthDate"] == ('"1950-01-01"', None, '"1952-02-02"')
    with refused("conflict.undecidable", "whole resource"):
        decide_conflict(
            bench.database, conflict.conflict_id, MANUAL, revision=1, actor="ann", reason="r",
            choices={"*": Choice("value", "{}")},
        )  # fmt: skip
    decide_conflict(bench.database, conflict.conflict_id, strategy, revision=1, actor="ann", reason="looked")
    if conflict.two_person:
        approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    assert (read_record(bench.database, record_id).state == "active") is lives
    assert (bench.vendor.held["Patient", "p1"][1] is not None) is lives


@pytest.fixture
def automatic(bench: Bench) -> str:
    """A HIGH conflict that a policy of the house has decided: its id."""
    bench.under(
        load_policy(
            'version: "x"\nrows:\n  - name: vendor-knows\n    match: {severity: HIGH}\n    chain: [REMOTE_WINS]\n',
            "policy",
        )
    )
    record_id = bench.taken_in("Condition", "c1", CONDITION)
    edit(bench, record_id, code={"text": "Asthma, mild"})
    bench.vendor.change("Condition", "c1", code={"text": "Bronchitis"})
    bench.work()
    assert bench.vendor.document("Condition", "c1")["code"] == held_here(bench, record_id)["code"]
    [found] = bench.conflicts(post_review="due")
    return found.conflict_id


def test_automatic_decisions_of_high_severity_are_listed_until_a_person_has_looked(
    bench: Bench, automatic: str
) -> None:
    assert conflict_statistics(bench.database).review_due == 1
    done = mark_reviewed(bench.database, automatic, actor="ann")
    assert (done.post_review, done.reviewed_by) == ("done", "ann")
    assert matching_conflicts(bench.database, post_review="due") == []
    with refused("conflict.not_due"):
        mark_reviewed(bench.database, automatic, actor="ann")


def test_statistics_count_who_decided_and_what_did_not_last(bench: Bench, automatic: str) -> None:
    record_id = bench.taken_in("Condition", "c2", CONDITION)
    for severity in ("mild", "severe"):
        edit(bench, record_id, note=[{"text": severity}])
        bench.vendor.change("Condition", "c2", bodySite=[{"text": severity}])
        bench.work()
    bench.under(load_policy('version: "y"\nrows: []\n', "policy"))
    edit(bench, record_id, code={"text": "Asthma, mild"})
    bench.vendor.change("Condition", "c2", code={"text": "Bronchitis"})
    bench.work()
    before = conflict_statistics(bench.database)
    assert (before.total, before.open, before.clean, before.automatic, before.by_people) == (4, 1, 2, 1, 0)
    decide_conflict(bench.database, the_conflict(bench).conflict_id, LOCAL, revision=1, actor="ann", reason="chart")
    bench.work()
    revert_conflict(bench.database, automatic, actor="ann", reason="wrong")
    after = conflict_statistics(bench.database, "clinic")
    assert (after.open, after.automatic, after.by_people, after.automatic_share) == (0, 1, 1, 0.5)
    assert (after.overridden, after.overridden_share, after.review_due) == (1, 1.0, 0)
    assert after.median_seconds is not None and 0 <= after.median_seconds <= 60
    assert [(one.element, one.count) for one in after.contested] == [("code", 2)]
    assert sum(group.count for group in after.groups) == after.total
    assert conflict_statistics(bench.database, "other").total == 0


def test_a_conflict_is_found_by_the_beginning_of_its_id(bench: Bench, onset: str) -> None:
    full = the_conflict(bench).conflict_id
    assert find_conflict_id(bench.database, full[:6]) == full
    with refused("conflict.unknown"):
        find_conflict_id(bench.database, "%")
    bench.taken_in("Patient", "p1", PATIENT)
    edit(bench, bench.record_id("Patient", "p1"), gender="male")
    bench.vendor.change("Patient", "p1", gender="other")
    bench.work()
    with refused("conflict.ambiguous"):
        find_conflict_id(bench.database, "")


def test_a_list_names_elements_and_never_what_names_an_item(bench: Bench, born: str) -> None:
    [(conflict, elements)] = matching_conflicts(bench.database, statuses=("PENDING_REVIEW",), severities=("CRITICAL",))
    assert elements == ("birthDate", "telecom") and conflict.record_id == born
    assert matching_conflicts(bench.database, severities=("LOW",)) == []
    assert len(matching_conflicts(bench.database, patient="Patient/p1")) == 1


def test_nothing_a_person_wrote_or_chose_gets_into_the_log(bench: Bench, born: str) -> None:
    conflict_id = the_conflict(bench).conflict_id
    birth, phone = (unit.unit for unit in show_conflict(bench.database, conflict_id).open_units)
    choices = {birth: Choice("value", '"1954-04-04"'), phone: Choice("local")}
    decide_conflict(
        bench.database, conflict_id, MANUAL, revision=1, actor="ann", reason="MARKER says so", choices=choices
    )
    approve_conflict(bench.database, conflict_id, revision=1, actor="bob")
    bench.work()
    with bench.database.read() as transaction:
        told = [str(entry) for entry in audit.entries(transaction)]
        assert not any("MARKER" in line or "1954-04-04" in line or "555-01" in line for line in told)
        reasons = transaction.execute(sa.select(sync_conflict.c.reason)).scalars().all()
    assert reasons == ["MARKER says so"]


def test_people_and_the_decider_at_once_lose_nothing_and_never_wait_in_a_circle(bench: Bench) -> None:
    records = [
        bench.taken_in("Condition", f"c{number}", {**CONDITION, "code": {"text": "Asthma"}}) for number in range(3)
    ]
    failed: list[BaseException] = []

    def act(record_id: str) -> None:
        try:
            for turn in range(6):
                with suppress_stale():
                    edit(bench, record_id, code={"text": f"Asthma {turn}"})
                for conflict in bench.conflicts(statuses=("PENDING_REVIEW",)):
                    with suppress_stale():
                        decide_conflict(
                            bench.database, conflict.conflict_id, LOCAL, revision=conflict.revision,
                            actor="ann", reason="chart",
                        )  # fmt: skip
        except BaseException as error:
            failed.append(error)

    people = [threading.Thread(target=act, args=(record_id,)) for record_id in records]
    for person in people:
        person.start()
    while any(person.is_alive() for person in people):
        for number in range(3):
            bench.vendor.change("Condition", f"c{number}", code={"text": f"Bronchitis {bench.vendor.writes}"})
            bench.hear_of("Condition", f"c{number}")
        bench.settle_once()
    for person in people:
        person.join()
    assert failed == []
    bench.work()
    with bench.database.read() as transaction:
        assert list(audit.check_against_store(transaction)) == []


@contextmanager
def suppress_stale() -> Iterator[None]:
    """Somebody was faster: the person would look again."""
    try:
        yield
    except StoreError as error:
        if error.code not in ("conflict.stale", "conflict.closed", "record.changed"):
            raise


def test_the_page_for_stewards_explains_every_refusal() -> None:
    page = (Path(__file__).parents[2] / "docs" / "review.md").read_text(encoding="utf-8")
    engine = Path(review.__file__).parent
    names = ("review", "choices", "revert", "people", "conflict_view", "local_records")
    sources = [(engine / f"{name}.py").read_text(encoding="utf-8") for name in names]
    codes = {
        code for source in sources for code in re.findall(r'"((?:conflict|revert|actor|record)\.[a-z_]+)"', source)
    }
    assert len(codes) > 12 and [code for code in sorted(codes) if f"`{code}`" not in page] == []
