"""What the simulation found, each as the shortest story that tells it. Before their repair, all of these failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from holovitals_pipelines.engine import local_records
from holovitals_pipelines.engine.review import approve_conflict, decide_conflict
from holovitals_pipelines.model.errors import OutcomeUnknownError
from holovitals_pipelines.model.vocabulary import ResolutionStrategy
from proof.checker import check
from proof.documents import Document, new_document, read, written
from proof.evidence import Evidence, gather
from proof.faults import CrashingDatabase
from proof.kinds import KINDS
from proof.schedule import rest
from proof.store import empty, open_store, store_folder
from proof.vendors import Key, Vendor
from proof.world import World

Story = Callable[[str], World]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with closing(asyncio.new_event_loop()) as opened:
        asyncio.set_event_loop(opened)
        yield opened


@pytest.fixture(scope="module")
def store() -> Iterator[CrashingDatabase]:
    with store_folder() as folder, closing(open_store(folder)) as database:
        yield database


@pytest.fixture
def story(store: CrashingDatabase, loop: asyncio.AbstractEventLoop) -> Story:
    """A world of one vendor in which nothing happens by chance."""

    def begin(kind: str) -> World:
        empty(store)
        world = World(store, loop, 1, [KINDS[kind]])
        world.failpoints.armed, world.interference, world.loses_events = False, 0.0, False
        vendor_of(world).restless, vendor_of(world).shows_stored = False, True
        return world

    return begin


def vendor_of(world: World) -> Vendor:
    return world.vendors["v0"]


def patient(**members: object) -> Document:
    return {**new_document("Patient", "made 1"), **members}


def create_here(world: World, document: Document) -> str:
    made = local_records.create_record(world.database, "Patient", written(document), connections=["v0"], actor="anna")
    return made.record_id


def edit_here(world: World, record_id: str, **members: object) -> None:
    shown = local_records.read_record(world.database, record_id)
    document = {name: value for name, value in {**read(shown.body), **members}.items() if value is not None}
    local_records.edit_record(world.database, record_id, written(document), seen_version=shown.version, actor="anna")


def edit_there(world: World, key: Key, **members: object) -> None:
    vendor_of(world).put(key, {**(vendor_of(world).document(key) or {}), **members})


def deliver_all(world: World) -> None:
    vendor = vendor_of(world)
    for event in list(dict.fromkeys(vendor.events)):
        world.receive(vendor, event)
    vendor.events.clear()


def only_resource(world: World) -> Key:
    (key,) = vendor_of(world).living()
    return key


def held_here(world: World, record_id: str) -> Document:
    return read(local_records.read_record(world.database, record_id).body)


def the_conflict(evidence: Evidence) -> str:
    (conflict,) = [row for row in evidence.conflicts if row.status == "PENDING_REVIEW"]
    return str(conflict.conflict_id)


def quiet(world: World) -> Evidence:
    assert check(world, rest(world)) == []
    return gather(world.database)


def lose_the_answer(world: World, *, late: bool = False) -> None:
    """The next write of ours is carried out (`late`: only when it arrives), and nobody hears of it."""
    vendor = vendor_of(world)
    carried_out = vendor._carried_out

    def lost(name: str, key: Key, effect: Callable[[], object], *, late: bool) -> object:
        vendor._carried_out = carried_out  # type: ignore[method-assign]
        vendor.late.append(effect) if arrives_late else effect()
        raise OutcomeUnknownError("no answer", code="sim.timeout")

    arrives_late = late
    vendor._carried_out = lost  # type: ignore[method-assign]


def test_a_late_event_of_a_deleted_resource_creates_no_second_one(story: Story) -> None:
    """The link was over and its content kept by a new resource; each further event made another one."""
    world = story("faithful")
    record_id = create_here(world, patient(maritalStatus={"text": "T10001Z"}))
    world.work("v0")
    first = only_resource(world)
    edit_here(world, record_id, maritalStatus={"text": "T10002Z"})
    vendor_of(world).remove(first)
    world.compare_all("v0")
    world.work("v0")
    conflict_id = the_conflict(gather(world.database))
    decide_conflict(world.database, conflict_id, ResolutionStrategy.LOCAL_WINS, revision=1, actor="ben", reason="kept")
    approve_conflict(world.database, conflict_id, revision=1, actor="cleo")
    world.work("v0")
    second = only_resource(world)
    for _ in range(3):
        world.compare_all("v0")
        world.work("v0")
    assert only_resource(world) == second != first


def test_an_update_keeps_the_identifier_that_a_late_create_is_refused_by(story: Story) -> None:
    """Our update took our own identifier away, and a copy of the create that arrived late made a second resource."""
    world = story("faithful")
    record_id = create_here(world, patient())
    lose_the_answer(world, late=True)
    world.work("v0")
    world.work("v0")
    edit_here(world, record_id, maritalStatus={"text": "T10001Z"})
    world.work("v0")
    vendor_of(world).arrive()
    deliver_all(world)
    world.work("v0")
    assert vendor_of(world).document(only_resource(world))["maritalStatus"] == {"text": "T10001Z"}  # type: ignore[index]


def test_a_create_that_made_a_second_resource_after_all_is_shown_to_a_person(story: Story) -> None:
    """Where the vendor refuses nothing, the second resource became a record of its own and nobody was told."""
    world = story("without ETags")
    create_here(world, patient())
    lose_the_answer(world, late=True)
    world.work("v0")
    world.work("v0")
    vendor_of(world).arrive()
    deliver_all(world)
    world.work("v0")
    states = sorted(link.state for link in gather(world.database).links)
    assert states == ["active", "review"]


def test_an_event_of_the_resource_a_create_made_does_not_stop_its_own_batch(story: Story) -> None:
    """The event bound the link, and the link's own mark, in the same batch, no longer found it."""
    world = story("faithful")
    create_here(world, patient())
    lose_the_answer(world)
    world.work("v0")
    deliver_all(world)
    world.work("v0")
    assert [link.state for link in gather(world.database).links] == ["active"]


def test_a_vendors_delete_never_takes_along_what_its_adapter_says_it_drops(story: Story) -> None:
    """Declared losses were no content to the delete rule: they went without a record."""
    world = story("lossy, declared")
    record_id = create_here(world, patient())
    world.work("v0")
    edit_here(world, record_id, maritalStatus={"text": "T10001Z"})
    world.work("v0")
    vendor_of(world).remove(only_resource(world))
    deliver_all(world)
    world.work("v0")
    assert held_here(world, record_id)["maritalStatus"] == {"text": "T10001Z"}
    assert [row.type for row in gather(world.database).conflicts] == ["UPDATE_DELETE"]


def test_an_outcome_is_told_unit_by_unit_where_somebody_changed_one_item_since(story: Story) -> None:
    """One item changed by a clinician, and the other item of the list, which we had sent, passed for theirs too."""
    world = story("faithful")
    home, work = {"use": "home", "city": "T10001Z"}, {"use": "work", "postalCode": "T10002Z"}
    record_id = create_here(world, patient(address=[home, work]))
    lose_the_answer(world)
    world.work("v0")
    edit_there(world, only_resource(world), address=[home, {"use": "work", "postalCode": "T10003Z"}])
    edit_here(world, record_id, address=[{"use": "home", "city": "T10004Z"}, work])
    deliver_all(world)
    world.work("v0")
    assert [row for row in gather(world.database).units if row.kind == "conflict"] == []
    cities = [item["city"] for item in held_here(world, record_id)["address"] if item["use"] == "home"]
    assert cities == ["T10004Z"]


def test_a_write_that_was_given_up_and_arrives_late_is_no_change_of_the_vendors(story: Story) -> None:
    """Only the newest write was thought of; an older one that took effect became a conflict with ourselves."""
    world = story("faithful")
    record_id = create_here(world, patient(birthDate="1900-01-02"))
    lose_the_answer(world, late=True)
    world.work("v0")
    edit_here(world, record_id, birthDate="1900-01-03")
    world.process(lambda: world._settle("v0", None))
    vendor_of(world).arrive()
    deliver_all(world)
    world.work("v0")
    world.work("v0")
    assert gather(world.database).held == set()
    assert vendor_of(world).document(only_resource(world))["birthDate"] == "1900-01-03"  # type: ignore[index]


def test_a_decision_on_a_whole_resource_stands_though_its_time_stamp_moves(story: Story) -> None:
    """A vendor that stamps unchanged content anew reopened the conflict at every reading, for ever."""
    world = story("faithful")
    record_id = create_here(world, patient(maritalStatus={"text": "T10001Z"}))
    world.work("v0")
    key = only_resource(world)
    shown = local_records.read_record(world.database, record_id)
    local_records.delete_record(world.database, record_id, seen_version=shown.version, actor="anna")
    edit_there(world, key, maritalStatus={"text": "T10002Z"})
    vendor_of(world).restless = True
    world.work("v0")
    conflict_id = the_conflict(gather(world.database))
    decide_conflict(world.database, conflict_id, ResolutionStrategy.REMOTE_WINS, revision=1, actor="ben", reason="back")
    approve_conflict(world.database, conflict_id, revision=1, actor="cleo")
    world.work("v0")
    (conflict,) = gather(world.database).conflicts
    assert (conflict.status, conflict.decided_by) == ("RESOLVED", "ben")
    assert held_here(world, record_id)["maritalStatus"] == {"text": "T10002Z"}


def test_a_conflict_shows_the_agreement_it_was_compared_with(story: Story) -> None:
    """After a lost answer the stored base was older than the one compared: every decision on it was refused."""
    world = story("faithful")
    record_id = create_here(world, patient(birthDate="1900-01-02"))
    lose_the_answer(world)
    world.work("v0")
    edit_there(world, only_resource(world), birthDate="1900-01-03")
    edit_here(world, record_id, birthDate="1900-01-04")
    deliver_all(world)
    world.work("v0")
    evidence = gather(world.database)
    conflict_id = the_conflict(evidence)
    (conflict,) = evidence.conflicts
    assert read(evidence.body(conflict.base_remote_document) or b"{}")["gender"] == "unknown"
    decide_conflict(world.database, conflict_id, ResolutionStrategy.LOCAL_WINS, revision=1, actor="ben", reason="seen")


def test_the_log_names_only_documents_that_are_kept(story: Story) -> None:
    """The image before a write was named without our identifier, a body that nobody had stored."""
    world = story("faithful")
    record_id = create_here(world, patient())
    world.work("v0")
    edit_here(world, record_id, maritalStatus={"text": "T10001Z"})
    world.work("v0")
    evidence = gather(world.database)
    pushed = [entry for entry in evidence.entries if entry.action == "pushed"]
    assert len(pushed) == 2 and all(evidence.known(entry.before_document) for entry in pushed)
