"""Undoing decisions: the before-image comes back as a new version, and nothing newer is lost."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.engine.conflict_view import show_conflict
from holovitals_pipelines.engine.local_records import (
    create_record,
    delete_record,
    edit_record,
    history_of,
    read_record,
)
from holovitals_pipelines.engine.revert import revert_conflict, revert_entry
from holovitals_pipelines.engine.review import approve_conflict, decide_conflict
from holovitals_pipelines.fhir.canonical import canonical_hash
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ResolutionStrategy
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.database import Database
from tests.engine.toy_vendor import PATIENT, Bench

BOTH_SIDES = [ResolutionStrategy.LOCAL_WINS, ResolutionStrategy.REMOTE_WINS]


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


@pytest.fixture
def ann(bench: Bench) -> str:
    return bench.taken_in("Patient", "p1", PATIENT)


def refused(code: str, *words: str) -> Any:
    return pytest.raises(StoreError, match=r"(?s)" + code.replace(".", r"\.") + "".join(f".*{word}" for word in words))


def edit(bench: Bench, record_id: str, **elements: Any) -> int:
    """The number of the entry that tells of the edit."""
    now = read_record(bench.database, record_id)
    changed = {name: value for name, value in {**json.loads(now.body), **elements}.items() if value is not None}
    edit_record(bench.database, record_id, json.dumps(changed).encode(), seen_version=now.version, actor="dr")
    return newest(bench)


def newest(bench: Bench) -> int:
    with bench.database.read() as transaction:
        last = audit.last(transaction)
    assert last is not None
    return last.seq


def here(bench: Bench, record_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_record(bench.database, record_id).body)
    return found


def there(bench: Bench, remote_id: str = "p1") -> dict[str, Any]:
    return bench.vendor.document("Patient", remote_id)


def log_is_true(bench: Bench) -> bool:
    with bench.database.read() as transaction:
        return list(audit.check_against_store(transaction)) == []


def decided(bench: Bench, record_id: str, strategy: ResolutionStrategy) -> str:
    """A conflict about the date of birth, decided by two people and applied; its id."""
    edit(bench, record_id, birthDate="1951-01-01")
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02")
    bench.work()
    [conflict] = bench.conflicts(statuses=("PENDING_REVIEW",))
    decide_conflict(bench.database, conflict.conflict_id, strategy, revision=1, actor="ann", reason="passport")
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    assert here(bench, record_id)["birthDate"] == there(bench)["birthDate"]
    return conflict.conflict_id


def test_a10_reverting_a_decision_restores_the_before_image_here_and_at_the_vendor(bench: Bench, ann: str) -> None:
    conflict_id = decided(bench, ann, ResolutionStrategy.REMOTE_WINS)
    before = read_record(bench.database, ann, version=2).body
    assert here(bench, ann)["birthDate"] == "1952-02-02"
    undone = revert_conflict(bench.database, conflict_id, actor="ann", reason="another person's passport")
    assert (undone.record.body, undone.record.version) == (before, 4)
    bench.work()
    assert there(bench)["birthDate"] == "1951-01-01" and log_is_true(bench)
    [last] = [one for one in show_conflict(bench.database, conflict_id).history if one.action == "revert"]
    assert (last.seq, last.actor, last.reason) == (undone.seq, "ann", "another person's passport")
    with bench.database.read() as transaction:
        entry = audit.entry(transaction, undone.seq)
    assert (entry.cause, entry.conflict_id) == (f"conflict {conflict_id}", conflict_id)
    assert "passport" not in str(entry)


@pytest.mark.parametrize("strategy", BOTH_SIDES)
def test_a10_every_resolution_can_be_reverted_and_the_revert_of_the_revert_is_identity(
    bench: Bench, ann: str, strategy: ResolutionStrategy
) -> None:
    conflict_id = decided(bench, ann, strategy)
    decision, won = read_record(bench.database, ann).body, here(bench, ann)["birthDate"]
    undone = revert_conflict(bench.database, conflict_id, actor="ann", reason="wrong")
    bench.work()
    lost = {"1951-01-01": "1952-02-02", "1952-02-02": "1951-01-01"}[won]
    assert here(bench, ann)["birthDate"] == there(bench)["birthDate"] == lost

    again = revert_entry(bench.database, undone.seq, actor="ann", reason="right after all")
    assert again.record.body == decision
    bench.work()
    assert here(bench, ann)["birthDate"] == there(bench)["birthDate"] == won
    assert not bench.conflicts(statuses=("PENDING_REVIEW",)) and log_is_true(bench)


ELEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "birthDate": st.sampled_from(["1951-01-01", "1952-02-02"]),
        "gender": st.sampled_from(["male", "other", None]),
        "telecom": st.sampled_from([[], [{"system": "phone", "value": "1"}], PATIENT["telecom"]]),
        "name": st.sampled_from([[{"family": "Roe"}], [{"family": "Doe"}, {"family": "Poe", "use": "old"}]]),
        "maritalStatus": st.sampled_from([{"text": "single"}, {"text": "married"}]),
        "deceasedBoolean": st.sampled_from([True, False, None]),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.one_of(st.none(), ELEMENTS), min_size=1, max_size=4), data=st.data())
def test_a10_the_revert_of_a_revert_is_identity_whatever_was_reverted(
    bench: Bench, edits: list[dict[str, Any] | None], data: st.DataObject
) -> None:
    made = create_record(bench.database, "Patient", json.dumps(PATIENT).encode(), connections=[], actor="dr")
    record_id, entries = made.record_id, [newest(bench)]
    for elements in edits:
        now = read_record(bench.database, record_id)
        if elements is None:
            delete_record(bench.database, record_id, seen_version=now.version, actor="dr")
        else:
            # An empty list is no FHIR: it stands for leaving the element out.
            edit(bench, record_id, **{name: value or None for name, value in elements.items()})
        if newest(bench) != entries[-1]:
            entries.append(newest(bench))
    seq = data.draw(st.sampled_from(entries))
    before = read_record(bench.database, record_id)
    try:
        undone = revert_entry(bench.database, seq, actor="ann", reason="wrong")
    except StoreError as error:
        assert error.code in ("revert.contradicted", "revert.nothing_to_undo")
        assert read_record(bench.database, record_id) == before, "a refusal changes nothing"
        return
    assert undone.record.version == before.version + 1
    again = revert_entry(bench.database, undone.seq, actor="ann", reason="right")
    assert again.record.state == before.state
    assert canonical_hash(again.record.body) == canonical_hash(before.body)
    assert log_is_true(bench)


def test_what_came_after_the_reverted_change_stays(bench: Bench, ann: str) -> None:
    wrong = edit(bench, ann, birthDate="1951-01-01", gender="male")
    edit(bench, ann, maritalStatus={"text": "married"})
    bench.work()
    revert_entry(bench.database, wrong, actor="ann", reason="wrong patient")
    bench.work()
    for side in (here(bench, ann), there(bench)):
        assert (side["birthDate"], side["gender"]) == ("1950-01-01", "female")
        assert side["maritalStatus"] == {"text": "married"}


def test_an_undo_that_something_newer_contradicts_changes_nothing_and_names_the_elements(
    bench: Bench, ann: str
) -> None:
    wrong = edit(bench, ann, birthDate="1951-01-01", telecom=[{**PATIENT["telecom"][0], "use": "work"}])
    edit(bench, ann, birthDate="1953-03-03", telecom=[{**PATIENT["telecom"][0], "use": "mobile"}])
    before = read_record(bench.database, ann)
    with pytest.raises(StoreError) as error:
        revert_entry(bench.database, wrong, actor="ann", reason="wrong")
    assert error.value.code == "revert.contradicted" and "birthDate, telecom" in error.value.message
    assert "1953" not in str(error.value) and "555" not in str(error.value)
    assert read_record(bench.database, ann) == before


def test_a_delete_is_undone_and_so_is_a_creation(bench: Bench, ann: str) -> None:
    body = read_record(bench.database, ann).body
    delete_record(bench.database, ann, seen_version=1, actor="dr")
    gone = newest(bench)
    bench.work()
    assert bench.vendor.held["Patient", "p1"][1] is None
    back = revert_entry(bench.database, gone, actor="ann", reason="wrong record")
    assert (back.record.state, back.record.body) == ("active", body)
    bench.work()
    [(_, remote_id)] = [key for key, (_, held) in bench.vendor.held.items() if held]
    assert there(bench, remote_id)["birthDate"] == PATIENT["birthDate"]

    made = create_record(bench.database, "Patient", json.dumps(PATIENT).encode(), connections=["clinic"], actor="dr")
    created = newest(bench)
    bench.work()
    assert len([held for _, held in bench.vendor.held.values() if held]) == 2
    assert revert_entry(bench.database, created, actor="ann", reason="twice").record.state == "deleted"
    bench.work()
    assert [key[1] for key, (_, held) in bench.vendor.held.items() if held] == [remote_id]
    assert read_record(bench.database, made.record_id).state == "deleted" and log_is_true(bench)


def test_a_creation_with_later_changes_and_a_delete_followed_by_a_return_are_not_undone(bench: Bench, ann: str) -> None:
    edit(bench, ann, gender="male")
    with refused("revert.contradicted", "the whole resource"):
        revert_entry(bench.database, 1, actor="ann", reason="never was")
    delete_record(bench.database, ann, seen_version=2, actor="dr")
    gone = newest(bench)
    edit(bench, ann, gender="other")
    with refused("revert.contradicted"):
        revert_entry(bench.database, gone, actor="ann", reason="wrong")


def test_an_edit_made_while_a_change_is_being_undone_is_never_lost(bench: Bench, ann: str) -> None:
    seq = edit(bench, ann, gender="male")
    stop = threading.Event()

    def go_on_editing() -> None:
        number = 0
        while not stop.is_set():
            with contextlib.suppress(StoreError):  # the undo was faster: look again
                edit(bench, ann, maritalStatus={"text": f"{number:06}"})
                number += 1

    editor = threading.Thread(target=go_on_editing)
    editor.start()
    try:
        for _ in range(8):
            seq = revert_entry(bench.database, seq, actor="ann", reason="again").seq
    finally:
        stop.set()
        editor.join()
    versions = [read_record(bench.database, ann, version=one.version) for one in history_of(bench.database, ann)]
    texts = [json.loads(one.body).get("maritalStatus", {"text": ""})["text"] for one in reversed(versions)]
    assert texts == sorted(texts) and log_is_true(bench)


def test_a_delete_that_was_taken_back_and_repeated_is_another_decision(bench: Bench, ann: str) -> None:
    delete_record(bench.database, ann, seen_version=1, actor="dr")
    first = newest(bench)
    edit(bench, ann, gender="male")
    delete_record(bench.database, ann, seen_version=3, actor="dr")
    with refused("revert.contradicted"):
        revert_entry(bench.database, first, actor="ann", reason="wrong")
    back = revert_entry(bench.database, newest(bench), actor="ann", reason="wrong")
    assert json.loads(back.record.body)["gender"] == "male"


@pytest.mark.parametrize("strategy", BOTH_SIDES)
def test_a_decision_on_a_delete_that_met_an_update_can_be_reverted(
    bench: Bench, ann: str, strategy: ResolutionStrategy
) -> None:
    edit(bench, ann, birthDate="1951-01-01")
    bench.vendor.erase("Patient", "p1")
    bench.work()
    [conflict] = bench.conflicts(statuses=("PENDING_REVIEW",))
    assert conflict.type == "UPDATE_DELETE"
    decide_conflict(bench.database, conflict.conflict_id, strategy, revision=1, actor="ann", reason="looked")
    if conflict.two_person:
        approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    lives = strategy is ResolutionStrategy.LOCAL_WINS
    assert (read_record(bench.database, ann).state == "active") is lives
    revert_conflict(bench.database, conflict.conflict_id, actor="ann", reason="wrong")
    bench.work()
    assert (read_record(bench.database, ann).state == "active") is not lives
    assert bool([held for _, held in bench.vendor.held.values() if held]) is not lives and log_is_true(bench)


def test_a_clean_merge_is_undone_without_what_was_changed_here(bench: Bench, ann: str) -> None:
    edit(bench, ann, gender="male")
    bench.vendor.change("Patient", "p1", maritalStatus={"text": "married"})
    bench.work()
    [merged] = bench.conflicts()
    assert merged.units == 0
    revert_conflict(bench.database, merged.conflict_id, actor="ann", reason="another patient's chart")
    bench.work()
    for side in (here(bench, ann), there(bench)):
        assert side["gender"] == "male" and "maritalStatus" not in side


def test_an_undo_goes_out_through_the_same_checks_as_any_change(bench: Bench, ann: str) -> None:
    conflict_id = decided(bench, ann, ResolutionStrategy.REMOTE_WINS)
    bench.vendor.change("Patient", "p1", birthDate="1960-06-06")
    revert_conflict(bench.database, conflict_id, actor="ann", reason="wrong")
    bench.work()
    assert there(bench)["birthDate"] == "1960-06-06", "nobody here had seen this value"
    [anew] = bench.conflicts(statuses=("PENDING_REVIEW",))
    assert anew.severity == "CRITICAL" and anew.conflict_id != conflict_id


def test_what_was_not_decided_did_nothing_or_is_undone_already_is_said(bench: Bench, ann: str) -> None:
    edit(bench, ann, birthDate="1951-01-01")
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02")
    bench.work()
    [conflict] = bench.conflicts(statuses=("PENDING_REVIEW",))
    with refused("revert.still_open", "resolve"):
        revert_conflict(bench.database, conflict.conflict_id, actor="ann", reason="wrong")
    with refused("revert.nothing_to_undo", "no change of a record"):
        revert_entry(bench.database, newest(bench), actor="ann", reason="wrong")
    with refused("audit.entry_unknown"):
        revert_entry(bench.database, 999, actor="ann", reason="wrong")
    with refused("conflict.unknown"):
        revert_conflict(bench.database, "nope", actor="ann", reason="wrong")
    decide_conflict(
        bench.database, conflict.conflict_id, ResolutionStrategy.REMOTE_WINS, revision=1, actor="ann", reason="x"
    )
    approve_conflict(bench.database, conflict.conflict_id, revision=1, actor="bob")
    bench.work()
    for actor, reason, code in (("ann", " ", "revert.no_reason"), ("clinic", "wrong", "actor.invalid")):
        with refused(code):
            revert_conflict(bench.database, conflict.conflict_id, actor=actor, reason=reason)
    revert_conflict(bench.database, conflict.conflict_id, actor="ann", reason="wrong")
    with refused("revert.nothing_to_undo", "already"):
        revert_conflict(bench.database, conflict.conflict_id, actor="ann", reason="wrong")
    assert len(history_of(bench.database, ann)) == 4


def test_a_record_that_a_vendor_dropped_and_others_keep_is_not_deleted_by_an_undo(database: Database) -> None:
    clinic, hospital = Bench(database, "clinic"), Bench(database, "hospital")
    made = create_record(
        database, "Patient", json.dumps(PATIENT).encode(), connections=["clinic", "hospital"], actor="dr"
    )
    clinic.work()
    hospital.work()
    [(_, remote_id)] = clinic.vendor.held
    clinic.vendor.erase("Patient", remote_id)
    clinic.hear_of("Patient", remote_id)
    clinic.work()
    [kept] = clinic.conflicts()
    assert kept.rule == "no_cascade"
    with refused("revert.nothing_to_undo", "records delete"):
        revert_conflict(database, kept.conflict_id, actor="ann", reason="wrong")
    assert read_record(database, made.record_id).state == "active"
