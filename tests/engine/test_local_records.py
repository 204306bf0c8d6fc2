"""Records as people change them here: against the version they saw, logged, valid, and on their way to every vendor."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from holovitals_pipelines.engine.local_records import (
    create_record,
    delete_record,
    edit_record,
    history_of,
    read_record,
    restore_record,
)
from holovitals_pipelines.engine.record_view import find_record_id, links_of, list_records
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import marked_links
from tests.engine.toy_vendor import PATIENT, Bench

EXACT = b'{"resourceType":"Patient", "id":"p1", "birthDate":"1951-01-01", "multipleBirthInteger":2 }'


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


@pytest.fixture
def ann(bench: Bench) -> str:
    """A patient of the vendor's; the record's id."""
    return bench.taken_in("Patient", "p1", PATIENT)


def refused(code: str, *words: str) -> Any:
    return pytest.raises(StoreError, match=r"(?s)" + code.replace(".", r"\.") + "".join(f".*{word}" for word in words))


def with_elements(database: Database, record_id: str, **elements: Any) -> bytes:
    return json.dumps({**json.loads(read_record(database, record_id).body), **elements}).encode()


def log_is_true(database: Database) -> bool:
    with database.read() as transaction:
        return list(audit.check_against_store(transaction)) == []


def test_an_edit_is_kept_to_the_byte_logged_and_reaches_the_vendor(bench: Bench, ann: str) -> None:
    before = read_record(bench.database, ann)
    after = edit_record(bench.database, ann, EXACT, seen_version=1, actor=" dr ")
    assert (after.version, after.state, after.body) == (2, "active", EXACT)
    assert read_record(bench.database, ann, version=1) == before
    assert [(v.version, v.changed_by) for v in history_of(bench.database, ann)] == [(2, "dr"), (1, "clinic")]
    with bench.database.read() as transaction:
        [entry] = audit.entries(transaction, record_id=ann, since_seq=1)
    assert (entry.action, entry.actor, entry.before_version, entry.after_version) == ("edit", "dr", 1, 2)
    bench.work()
    assert bench.vendor.document("Patient", "p1")["birthDate"] == "1951-01-01" and log_is_true(bench.database)


def test_an_edit_on_another_version_than_the_one_seen_is_refused(bench: Bench, ann: str) -> None:
    edit_record(bench.database, ann, EXACT, seen_version=1, actor="dr")
    with refused("record.changed", "version 2", "made on 1", "read it again"):
        edit_record(bench.database, ann, EXACT, seen_version=1, actor="dr")
    with refused("record.changed"):
        delete_record(bench.database, ann, seen_version=1, actor="dr")
    assert read_record(bench.database, ann).version == 2


def test_of_many_who_saw_one_version_one_wins(bench: Bench, ann: str) -> None:
    won, lost = [], []

    def try_it(name: str) -> None:
        body = json.dumps({**PATIENT, "id": "p1", "name": [{"family": name}]}).encode()
        try:
            won.append(edit_record(bench.database, ann, body, seen_version=1, actor=name).body)
        except StoreError as error:
            lost.append(error.code)

    threads = [threading.Thread(target=try_it, args=(f"dr{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and lost == ["record.changed"] * 5
    assert read_record(bench.database, ann).body == won[0] and log_is_true(bench.database)


def test_an_edit_that_changes_nothing_makes_no_version(bench: Bench, ann: str) -> None:
    body = read_record(bench.database, ann).body
    assert edit_record(bench.database, ann, body, seen_version=1, actor="dr").version == 1
    with bench.database.read() as transaction:
        assert marked_links(transaction, "clinic") == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"resourceType":"Patient","id":"p1","birthDate":"SECRET"}', "Patient.birthDate"),
        (b'{"resourceType":"Patient","id":"p1","gender":"SECRET"}', "Patient.gender"),
        (b'{"resourceType":"Observation","id":"p1"}', "Patient"),
        (b'{"resourceType":"Patient","id":"SECRET"}', "Patient.id"),
        (b'{"resourceType":"Patient"}', "Patient.id"),
        (b'{"resourceType":"Patient","id":"p1",SECRET', "Patient"),
    ],
)
def test_what_is_not_valid_is_refused_with_its_element_and_without_its_value(
    bench: Bench, ann: str, body: bytes, place: str
) -> None:
    with pytest.raises(StoreError) as error:
        edit_record(bench.database, ann, body, seen_version=1, actor="dr")
    assert error.value.code == "record.invalid" and error.value.place == place
    assert error.value.remedy and "SECRET" not in str(error.value)
    assert read_record(bench.database, ann).version == 1


def test_a_deleted_record_is_deleted_there_too_and_an_edit_brings_it_back(bench: Bench, ann: str) -> None:
    gone = delete_record(bench.database, ann, seen_version=1, actor="dr")
    assert (gone.version, gone.state) == (2, "deleted")
    assert delete_record(bench.database, ann, seen_version=2, actor="dr").version == 2
    bench.work()
    assert bench.vendor.held["Patient", "p1"][1] is None
    edit_record(bench.database, ann, EXACT, seen_version=2, actor="dr")
    bench.work()
    [created] = [key for key, (_, body) in bench.vendor.held.items() if body is not None]
    assert created[1] != "p1" and bench.vendor.document(*created)["birthDate"] == "1951-01-01"
    assert bench.record_id(*created) == ann and log_is_true(bench.database)


def test_an_earlier_version_comes_back_as_a_new_one(bench: Bench, ann: str) -> None:
    first = read_record(bench.database, ann).body
    edit_record(bench.database, ann, EXACT, seen_version=1, actor="dr")
    delete_record(bench.database, ann, seen_version=2, actor="dr")
    with refused("record.changed"):
        restore_record(bench.database, ann, to_version=1, seen_version=2, actor="ann")
    back = restore_record(bench.database, ann, to_version=1, actor="ann")
    assert (back.version, back.state, back.body) == (4, "active", first)
    assert restore_record(bench.database, ann, to_version=1, actor="ann").version == 4, "it is so already"
    assert restore_record(bench.database, ann, to_version=3, actor="ann").state == "deleted"
    with refused("record.unknown_version", "history"):
        restore_record(bench.database, ann, to_version=9, actor="ann")
    with bench.database.read() as transaction:
        causes = [entry.cause for entry in audit.entries(transaction, record_id=ann) if entry.action == "restore"]
    assert causes == ["version 1", "version 3"] and log_is_true(bench.database)


def test_a_new_record_is_created_at_every_connection_named(database: Database) -> None:
    benches = [Bench(database, name) for name in ("clinic", "hospital")]
    body = json.dumps(PATIENT).encode()
    made = create_record(database, "Patient", body, connections=["clinic", "hospital", "clinic"], actor="dr")
    assert [one.state for one in links_of(database, made.record_id)] == ["pending", "pending"]
    for bench in benches:
        bench.work()
        [held] = [json.loads(body) for _, body in bench.vendor.held.values() if body]
        assert held["birthDate"] == PATIENT["birthDate"]
    linked = links_of(database, made.record_id)
    assert [(one.connection, one.state, one.agreed, one.changed_here) for one in linked] == [
        ("clinic", "active", True, False),
        ("hospital", "active", True, False),
    ]
    assert log_is_true(database)


def test_a_new_record_of_no_type_or_invalid_is_refused(database: Database) -> None:
    for resource_type, body in (("Patiënt", b"{}"), ("Patient", b'{"resourceType":"Patient","gender":"SECRET"}')):
        with pytest.raises(StoreError) as error:
            create_record(database, resource_type, body, connections=[], actor="dr")
        assert error.value.code == "record.invalid" and "SECRET" not in str(error.value)
    assert list_records(database) == []


def test_nobody_changes_a_record_under_the_name_of_a_connection(bench: Bench, ann: str) -> None:
    for actor in ("clinic", "policy:x", ""):
        with refused("actor.invalid"):
            edit_record(bench.database, ann, EXACT, seen_version=1, actor=actor)
        with refused("actor.invalid"):
            delete_record(bench.database, ann, seen_version=1, actor=actor)
        with refused("actor.invalid"):
            create_record(bench.database, "Patient", json.dumps(PATIENT).encode(), connections=[], actor=actor)
    assert read_record(bench.database, ann).version == 1


def test_a_record_is_found_by_its_id_or_by_the_id_of_a_vendor(bench: Bench, ann: str) -> None:
    for name in (ann, ann[:7], f"Patient/{ann[:7]}", "Patient/p1"):
        assert find_record_id(bench.database, name) == ann
    for name in ("", "Patient/", "Observation/p1", "Patient/SECRET", f"Observation/{ann}", "%"):
        with pytest.raises(StoreError) as error:
            find_record_id(bench.database, name)
        assert error.value.code == "record.unknown" and "SECRET" not in str(error.value)
    other = Bench(bench.database, "hospital")
    other.taken_in("Patient", "p1", PATIENT)
    with refused("record.ambiguous", "records find"):
        find_record_id(bench.database, "Patient/p1")


def test_records_are_listed_newest_first_and_by_type_state_and_connection(bench: Bench, ann: str) -> None:
    body = json.dumps({"resourceType": "Organization", "name": "Clinic"}).encode()
    here = create_record(bench.database, "Organization", body, connections=[], actor="dr").record_id
    assert [one.record_id for one in list_records(bench.database)] == [here, ann]
    assert [one.record_id for one in list_records(bench.database, limit=1)] == [here]
    assert [one.record_id for one in list_records(bench.database, "Patient")] == [ann]
    assert [one.record_id for one in list_records(bench.database, connection="clinic")] == [ann]
    delete_record(bench.database, ann, seen_version=1, actor="dr")
    assert [one.record_id for one in list_records(bench.database, state="deleted")] == [ann]


def test_the_links_of_a_record_tell_what_is_agreed_contested_and_waiting(bench: Bench, ann: str) -> None:
    [at_rest] = links_of(bench.database, ann)
    assert (at_rest.agreed, at_rest.changed_here, at_rest.marked, at_rest.waiting) == (True, False, None, None)
    edit_record(
        bench.database, ann, with_elements(bench.database, ann, birthDate="1951-01-01"), seen_version=1, actor="dr"
    )
    [changed] = links_of(bench.database, ann)
    assert (changed.changed_here, changed.marked) == (True, "local")
    bench.vendor.change("Patient", "p1", birthDate="1952-02-02")
    bench.work()
    [held] = links_of(bench.database, ann)
    [conflict] = bench.conflicts()
    assert (held.conflict_id, held.remote_id, held.state) == (conflict.conflict_id, "p1", "active")
    with refused("record.unknown"):
        links_of(bench.database, "nope")
    with refused("record.unknown", "records list"):
        read_record(bench.database, "nope")
