"""The decider, row by row: what each constellation of two sides and two shadows leads to (sync-protocol.md §2.2)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ConflictType, ResolutionStrategy
from holovitals_pipelines.model.writing import READ_ONLY, Concurrency, Document, UnitWrite, WriteCapability
from holovitals_pipelines.sync.decide import decide
from holovitals_pipelines.sync.facts import (
    Decision,
    Facts,
    HeldConflict,
    InFlight,
    Operation,
    Outcome,
    Rules,
    Shadows,
    Verdict,
)
from holovitals_pipelines.sync.policy import default_policy
from holovitals_pipelines.sync.severity import default_matrix
from holovitals_pipelines.sync.sides import Side, same
from holovitals_pipelines.sync.unit_paths import WHOLE
from holovitals_pipelines.sync.units import UnitKind
from holovitals_pipelines.sync.verdicts import as_json

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules(default_matrix(), default_policy())
WRITABLE = WriteCapability(create=True, update=True, delete=True, concurrency=Concurrency.ETAG)


def side(resource_type: str = "Encounter", **content: Any) -> Side:
    shell: Document = {"resourceType": resource_type, "id": "x"}
    if resource_type == "Encounter":
        shell |= {"status": "planned", "class": {"code": "AMB"}}
    if resource_type == "AllergyIntolerance":
        shell |= {"patient": {"reference": "Patient/p"}}
    return Side(json.dumps({**shell, **content}).encode())


BASE = side(serviceType={"text": "agreed"})
OURS = side(serviceType={"text": "ours"})
THEIRS = side(serviceType={"text": "theirs"})
ELSEWHERE = side(serviceType={"text": "agreed"}, language="en")
BOTH = side(serviceType={"text": "ours"}, language="en")


def facts(local: Side | None, remote: Side | None, base: Side | None = BASE, **more: Any) -> Facts:
    """Facts of an Encounter agreed as `base`, at a vendor that takes everything, unless said otherwise."""
    known = {"base_local": base, "base_remote": base, "capability": WRITABLE, "resource_type": "Encounter", **more}
    return Facts(connection="clinic", local=local, remote=remote, now=NOW, **known)


def decided(given: Facts) -> Decision:
    """The decision, which is the same each time it is asked for."""
    decision = decide(given, RULES)
    again = decide(given, RULES)
    assert (again.outcome, again.intent, again.conflict) == (decision.outcome, decision.intent, decision.conflict)
    return decision


def operation(decision: Decision) -> Operation | None:
    return decision.intent.operation if decision.intent is not None else None


def sent(decision: Decision) -> Side | None:
    return decision.intent.document if decision.intent is not None else None


def conflict(decision: Decision) -> tuple[ConflictType, ConflictSeverity, ConflictStatus] | None:
    record = decision.conflict
    return (record.type, record.severity, record.status) if record is not None else None


UPDATES, UPDATE_DELETE, DELETE_UPDATE = (
    ConflictType.UPDATE_UPDATE,
    ConflictType.UPDATE_DELETE,
    ConflictType.DELETE_UPDATE,
)
LOW, MEDIUM, HIGH, CRITICAL = (ConflictSeverity(name) for name in ("LOW", "MEDIUM", "HIGH", "CRITICAL"))
RESOLVED, PENDING = ConflictStatus.RESOLVED, ConflictStatus.PENDING_REVIEW


# the table of §2.2: outcome, what local holds then, what is asked of the vendor, the conflict


@pytest.mark.parametrize(
    ("local", "remote", "base", "outcome", "kept", "asked", "recorded"),
    [
        pytest.param(BASE, BASE, BASE, Outcome.NOTHING, BASE, None, None, id="nothing changed"),
        pytest.param(OURS, BASE, BASE, Outcome.PUSH, OURS, (Operation.UPDATE, OURS), None, id="local changed"),
        pytest.param(BASE, THEIRS, BASE, Outcome.PULL, THEIRS, None, None, id="remote changed"),
        pytest.param(
            OURS, ELSEWHERE, BASE, Outcome.MERGE, BOTH, (Operation.UPDATE, BOTH), (UPDATES, LOW, RESOLVED),
            id="both, different units",
        ),
        pytest.param(
            OURS, OURS, BASE, Outcome.MERGE, OURS, None, (UPDATES, LOW, RESOLVED), id="both, to the same"
        ),
        pytest.param(
            OURS, THEIRS, BASE, Outcome.RESOLVE, THEIRS, None, (UPDATES, MEDIUM, RESOLVED), id="both, the same unit"
        ),
        pytest.param(
            OURS, None, BASE, Outcome.RESOLVE, OURS, (Operation.CREATE, OURS), (UPDATE_DELETE, HIGH, RESOLVED),
            id="update-delete",
        ),
        pytest.param(
            None, THEIRS, BASE, Outcome.RESOLVE, THEIRS, None, (DELETE_UPDATE, HIGH, RESOLVED), id="delete-update"
        ),
        pytest.param(BASE, None, BASE, Outcome.DELETE_HERE, None, None, None, id="deleted there"),
        pytest.param(None, BASE, BASE, Outcome.DELETE_THERE, None, (Operation.DELETE, None), None, id="deleted here"),
        pytest.param(None, None, BASE, Outcome.ADOPT, None, None, None, id="deleted on both sides"),
        pytest.param(OURS, OURS, None, Outcome.ADOPT, OURS, None, None, id="created on both sides, equal"),
        pytest.param(None, THEIRS, None, Outcome.CREATE_HERE, THEIRS, None, None, id="created there"),
        pytest.param(OURS, None, None, Outcome.CREATE_THERE, OURS, (Operation.CREATE, OURS), None, id="created here"),
    ],
)  # fmt: skip
def test_each_row_of_the_detection_rule(
    local: Side | None,
    remote: Side | None,
    base: Side | None,
    outcome: Outcome,
    kept: Side | None,
    asked: tuple[Operation, Side | None] | None,
    recorded: tuple[ConflictType, ConflictSeverity, ConflictStatus] | None,
) -> None:
    decision = decided(facts(local, remote, base))

    assert decision.outcome is outcome
    assert same(decision.local, kept)
    assert (asked is None) == (decision.intent is None)
    if asked is not None:
        assert operation(decision) is asked[0] and same(sent(decision), asked[1])
    assert conflict(decision) == recorded


def test_a_side_nobody_changed_keeps_its_very_bytes() -> None:
    respelled = Side(BASE.body.replace(b", ", b" ,  "))
    decision = decided(facts(BASE, respelled))
    assert decision.outcome is Outcome.NOTHING and decision.local is BASE


@pytest.mark.parametrize("confirmed", [False, True])
def test_what_is_to_be_pushed_stays_a_change_until_it_is_confirmed(confirmed: bool) -> None:
    first = decided(facts(OURS, BASE))
    remote = OURS if confirmed else BASE
    again = decided(facts(OURS, remote, base_local=first.shadows.local, base_remote=first.shadows.remote))
    assert operation(again) is (None if confirmed else Operation.UPDATE)
    assert again.outcome is (Outcome.MERGE if confirmed else Outcome.PUSH)


def test_a_delete_that_was_not_carried_out_is_asked_for_again() -> None:
    first = decided(facts(None, BASE))
    again = decided(facts(None, BASE, base_local=first.shadows.local, base_remote=first.shadows.remote))
    assert operation(again) is Operation.DELETE


def test_a_create_that_was_not_carried_out_is_asked_for_again() -> None:
    first = decided(facts(OURS, None, None))
    again = decided(facts(OURS, None, base_local=first.shadows.local, base_remote=first.shadows.remote))
    assert operation(again) is Operation.CREATE


# deletes


def test_a_delete_takes_along_only_what_its_system_ever_kept() -> None:
    more = side(serviceType={"text": "agreed"}, language="en")
    decision = decided(facts(more, None, base_local=more, base_remote=BASE))
    assert conflict(decision) == (UPDATE_DELETE, HIGH, RESOLVED) and decision.local is more


def kept_in_lower_case(document: Document) -> Document:
    """What a vendor declares to keep: no language, the first type only, and texts in lower case."""
    kept = {name: value for name, value in document.items() if name != "language"}
    if "type" in kept:
        kept["type"] = kept["type"][:1]
    return {**kept, "serviceType": {"text": kept["serviceType"]["text"].lower()}}


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ({"language": "en"}, Outcome.RESOLVE),
        ({"type": [{"text": "a"}, {"text": "b"}]}, Outcome.RESOLVE),
        ({"type": [{"text": "a"}]}, Outcome.DELETE_HERE),
        ({}, Outcome.DELETE_HERE),
    ],
    ids=["an element", "an item", "nothing more", "another spelling"],
)
def test_what_a_vendor_declares_not_to_keep_is_not_deleted_with_the_rest(
    content: dict[str, Any], outcome: Outcome
) -> None:
    local = side(serviceType={"text": "AGREED"}, **content)
    remote = Side(json.dumps({**kept_in_lower_case(local.document), "length": {"value": 1}}).encode())
    capability = replace(WRITABLE, project=kept_in_lower_case)
    decision = decided(facts(local, None, base_local=local, base_remote=remote, capability=capability))
    assert decision.outcome is outcome and (decision.local is local) == (outcome is Outcome.RESOLVE)


@pytest.mark.parametrize("kind", ["AllergyIntolerance", "MedicationRequest", "Consent", "DiagnosticReport", "Patient"])
@pytest.mark.parametrize("deleted", ["here", "there"])
def test_a_critical_fact_is_neither_deleted_nor_kept_without_a_person(kind: str, deleted: str) -> None:
    base, edited = side(kind), side(kind, language="en")
    local, remote = (None, edited) if deleted == "here" else (edited, None)
    decision = decided(facts(local, remote, base, resource_type=kind))
    assert decision.outcome is Outcome.HOLD and decision.local is local and decision.intent is None
    assert decision.shadows == Shadows(base, base) and decision.standing is None
    expected = DELETE_UPDATE if deleted == "here" else UPDATE_DELETE
    assert conflict(decision) == (expected, CRITICAL, PENDING)
    assert decision.conflict is not None and decision.conflict.two_person is (kind == "Patient")


@pytest.mark.parametrize("local", [BASE, OURS], ids=["unchanged here", "changed here"])
def test_a20_a_vendors_delete_ends_its_own_link_and_no_other(local: Side) -> None:
    decision = decided(facts(local, None, living_elsewhere=True))
    assert decision.outcome is Outcome.UNLINK and decision.local is local and decision.intent is None
    assert decision.conflict is not None and decision.conflict.rule == "no_cascade"
    assert conflict(decision) == (UPDATE_DELETE, HIGH, RESOLVED)


# what the vendor's API does not take


@pytest.mark.parametrize(
    ("local", "remote", "base", "unit"),
    [(OURS, None, None, WHOLE), (None, BASE, BASE, WHOLE), (OURS, BASE, BASE, "serviceType.text")],
    ids=["create", "delete", "update"],
)
def test_a45_what_cannot_be_written_stands_and_is_listed(
    local: Side | None, remote: Side | None, base: Side | None, unit: str
) -> None:
    decision = decided(facts(local, remote, base, capability=READ_ONLY))
    assert decision.intent is None and decision.local is local and decision.conflict is None
    assert decision.standing is not None
    [standing] = decision.standing
    assert standing.kind is UnitKind.STANDING and standing.name in (unit, unit.partition(".")[0])
    shadows = decision.shadows
    quiet = decided(
        facts(local, remote, base_local=shadows.local, base_remote=shadows.remote, capability=READ_ONLY)
    )  # fmt: skip
    assert quiet.outcome is Outcome.NOTHING, "once agreed to differ, it is quiet"


def test_a45_a_vendors_change_of_what_stands_apart_is_update_update() -> None:
    decision = decided(facts(OURS, THEIRS, base_local=OURS, base_remote=BASE, capability=READ_ONLY))
    assert conflict(decision) == (UPDATES, MEDIUM, RESOLVED)
    critical = {"AllergyIntolerance": ("code", {"text": "a"}, {"text": "b"}, {"text": "c"})}
    for kind, (element, ours, before, after) in critical.items():
        local, was, remote = (side(kind, **{element: value}) for value in (ours, before, after))
        held = decided(
            facts(local, remote, base_local=local, base_remote=was, capability=READ_ONLY, resource_type=kind)
        )
        assert conflict(held) == (UPDATES, CRITICAL, PENDING)


def test_an_element_that_is_closed_stays_and_the_rest_goes_out() -> None:
    closed = replace(WRITABLE, elements=MappingProxyType({"language": UnitWrite.READ_ONLY}))
    decision = decided(facts(BOTH, BASE, capability=closed))
    assert decision.standing is not None and [unit.name for unit in decision.standing] == ["language"]
    assert same(sent(decision), OURS) and decision.local is BOTH


def test_what_the_vendor_will_store_of_our_change_is_what_is_sent() -> None:
    def upper(document: Document) -> Document:
        text = document.get("serviceType", {}).get("text")
        return document if text is None else {**document, "serviceType": {"text": text.upper()}}

    shouting = replace(WRITABLE, project=upper)
    shouted = side(serviceType={"text": "OURS"})
    pushed = decided(facts(OURS, BASE, capability=shouting))
    assert same(sent(pushed), shouted) and pushed.local is OURS
    stored = decided(facts(OURS, shouted, capability=shouting))
    assert stored.intent is None and stored.local is OURS and stored.conflict is not None
    assert stored.conflict.conflicted == 0, "its form of our value is our value"
    echo = decided(facts(OURS, shouted, base_local=OURS, base_remote=shouted, capability=shouting))
    assert echo.outcome is Outcome.NOTHING


# created on both sides


def test_two_creates_of_one_thing_are_joined_where_nothing_contradicts() -> None:
    decision = decided(facts(OURS, side(serviceType={"text": "ours"}, language="en"), None))
    assert decision.intent is None and same(decision.local, BOTH)


def test_two_patients_with_one_number_are_never_joined_without_two_people() -> None:
    local = side("Patient", birthDate="1970-01-01")
    remote = side("Patient", gender="female")
    decision = decided(facts(local, remote, None, resource_type="Patient"))
    assert conflict(decision) == (ConflictType.CREATE_CREATE, CRITICAL, PENDING)
    assert decision.conflict is not None and decision.conflict.two_person
    assert [recorded.unit.name for recorded in decision.conflict.units] == [WHOLE]
    assert decision.local is local and decision.intent is None


# what FHIR would not allow

APPOINTED = {"start": "2026-03-01T09:00:00Z", "end": "2026-03-01T12:00:00Z"}


def appointment(**more: Any) -> Side:
    return side("Appointment", status="booked", participant=[{"status": "accepted"}], **{**APPOINTED, **more})


LATER, SOONER = appointment(start="2026-03-01T11:00:00Z"), appointment(end="2026-03-01T10:00:00Z")
TORN = facts(LATER, SOONER, appointment(), resource_type="Appointment")


def test_a13_a_merge_that_would_not_be_valid_is_one_conflict_over_the_whole() -> None:
    decision = decided(TORN)
    assert decision.outcome is Outcome.HOLD and decision.local is LATER and decision.intent is None
    assert decision.conflict is not None
    [recorded] = decision.conflict.units
    assert (recorded.unit.name, recorded.unit.kind) == (WHOLE, UnitKind.CONFLICT)


@pytest.mark.parametrize(("word", "kept"), [("local", LATER), ("remote", SOONER)])
def test_a13_a_person_decides_which_whole_is_kept(word: str, kept: Side) -> None:
    decision = decided(replace(TORN, held=held_as(TORN, verdict(WHOLE, word))))
    assert decision.outcome is Outcome.RESOLVE and same(decision.local, kept)
    assert (sent(decision) is None) if word == "remote" else same(sent(decision), kept)


TORN_BESIDES = facts(
    appointment(start="2026-03-01T11:00:00Z", description="ours"),
    appointment(end="2026-03-01T10:00:00Z", description="theirs"),
    appointment(),
    resource_type="Appointment",
)
"""The policy can decide the description, and then the times do not fit."""


def test_a13_what_the_policy_makes_is_checked_too_and_a_word_on_the_whole_counts() -> None:
    decision = decided(TORN_BESIDES)
    assert decision.outcome is Outcome.HOLD and decision.conflict is not None
    assert [recorded.unit.name for recorded in decision.conflict.units] == [WHOLE]
    unsaid = decided(replace(TORN_BESIDES, held=held_as(TORN_BESIDES)))
    assert (unsaid.outcome, unsaid.conflict) == (Outcome.NOTHING, None)
    said = decided(replace(TORN_BESIDES, held=held_as(TORN_BESIDES, verdict(WHOLE, "local"))))
    assert said.outcome is Outcome.RESOLVE and same(said.local, TORN_BESIDES.local)
    assert same(sent(said), TORN_BESIDES.local)


def test_a13_a_word_that_would_make_the_resource_invalid_is_asked_for_again() -> None:
    local, remote = side("Patient", birthDate="1971-01-01"), side("Patient", birthDate="1972-01-01")
    given = facts(local, remote, side("Patient", birthDate="1970-01-01"), resource_type="Patient")
    decision = decided(replace(given, held=held_as(given, verdict("birthDate", "value", "yesterday"))))
    assert decision.outcome is Outcome.HOLD and decision.local is local and decision.intent is None
    assert decision.conflict is not None and decision.conflict.reopened


# held, decided, dissolved


def verdict(unit: str, word: str, value: Any = None) -> Verdict:
    values = {unit: value} if word == "value" else {}
    return Verdict(ResolutionStrategy.MANUAL, {unit: word}, values, actor="anna")


def held_as(given: Facts, said: Verdict | None = None) -> HeldConflict:
    """The conflict that these facts lead to, as the store gives it back; `said` is a person's word on it."""
    record = decided(given).conflict
    assert record is not None and record.status is PENDING
    units = {
        recorded.unit.name: (as_json(recorded.unit.local), as_json(recorded.unit.remote))
        for recorded in record.units
        if recorded.unit.kind is UnitKind.CONFLICT
    }
    return HeldConflict("c1", record.type, 1, given.local, given.remote, units, said)


ALLERGY = side("AllergyIntolerance", code={"text": "agreed"})
HERE = side("AllergyIntolerance", code={"text": "ours"}, language="en")
THERE = side("AllergyIntolerance", code={"text": "theirs"})
TORN_ALLERGY = facts(HERE, THERE, ALLERGY, resource_type="AllergyIntolerance")


def code_of(of: Side | None) -> Any:
    return None if of is None else of.document.get("code")


def test_a_held_conflict_holds_all_of_its_resource_on_both_sides() -> None:
    decision = decided(TORN_ALLERGY)
    assert conflict(decision) == (UPDATES, CRITICAL, PENDING)
    assert decision.local is HERE and decision.intent is None and decision.shadows == Shadows(ALLERGY, ALLERGY)
    proposal = decision.conflict.proposal if decision.conflict is not None else None
    assert code_of(proposal) == {"text": "agreed"}, "the merge never picks"


def test_a_held_conflict_that_says_the_same_is_left_alone() -> None:
    again = decided(replace(TORN_ALLERGY, held=held_as(TORN_ALLERGY)))
    assert (again.outcome, again.conflict, again.intent) == (Outcome.NOTHING, None, None) and again.local is HERE


def test_a_held_conflict_whose_values_changed_gets_its_next_revision() -> None:
    moved = replace(TORN_ALLERGY, held=held_as(TORN_ALLERGY), remote=side("AllergyIntolerance", code={"text": "x"}))
    decision = decided(moved)
    assert conflict(decision) == (UPDATES, CRITICAL, PENDING)
    assert decision.conflict is not None and not decision.conflict.reopened, "nobody had decided it yet"


def test_a_held_conflict_that_is_none_any_more_dissolves() -> None:
    settled = replace(TORN_ALLERGY, held=held_as(TORN_ALLERGY), remote=HERE)
    decision = decided(settled)
    assert decision.outcome is Outcome.DISSOLVE and decision.local is HERE and decision.intent is None
    gone = decided(replace(settled, local=None, remote=None))
    assert gone.outcome is Outcome.DISSOLVE and gone.shadows == Shadows(None, None)


@pytest.mark.parametrize(
    ("said", "code"),
    [(("local", None), "ours"), (("remote", None), "theirs"), (("value", {"text": "third"}), "third")],
    ids=["local", "remote", "a third value"],
)
def test_a_persons_word_counts_for_what_they_saw_and_frees_the_rest(said: tuple[str, Any], code: str) -> None:
    decision = decided(replace(TORN_ALLERGY, held=held_as(TORN_ALLERGY, verdict("code", *said))))
    assert decision.outcome is Outcome.RESOLVE and code_of(decision.local) == {"text": code}
    assert decision.local is not None and decision.local.document["language"] == "en"
    assert same(sent(decision), decision.local), "also what was only waiting goes out"
    assert decision.conflict is not None and decision.conflict.actor == "anna"
    assert conflict(decision) == (UPDATES, CRITICAL, RESOLVED)


@pytest.mark.parametrize("moved", ["local", "remote"])
def test_a9_a_persons_word_on_other_values_opens_the_conflict_again(moved: str) -> None:
    changed = side("AllergyIntolerance", code={"text": "again"}, language="en")
    held = held_as(TORN_ALLERGY, verdict("code", "local"))
    decision = decided(replace(TORN_ALLERGY, held=held, **{moved: changed}))
    assert decision.outcome is Outcome.HOLD and decision.intent is None
    assert decision.conflict is not None and decision.conflict.reopened


def test_a9_a_change_beside_the_decided_unit_does_not_open_it_again() -> None:
    held = held_as(TORN_ALLERGY, verdict("code", "local"))
    beside = side("AllergyIntolerance", code={"text": "theirs"}, criticality="low")
    decision = decided(replace(TORN_ALLERGY, held=held, remote=beside))
    assert decision.outcome is Outcome.RESOLVE and decision.local is not None
    assert decision.local.document["criticality"] == "low" and code_of(decision.local) == {"text": "ours"}


@pytest.mark.parametrize(
    ("local", "remote", "word", "kept", "asked"),
    [
        (HERE, None, "local", HERE, Operation.CREATE),
        (HERE, None, "remote", None, None),
        (None, THERE, "remote", THERE, None),
        (None, THERE, "local", None, Operation.DELETE),
    ],
)
def test_a_persons_word_on_a_delete_is_carried_out(
    local: Side | None, remote: Side | None, word: str, kept: Side | None, asked: Operation | None
) -> None:
    given = facts(local, remote, ALLERGY, resource_type="AllergyIntolerance")
    held = held_as(given, verdict(WHOLE, word))
    decision = decided(replace(given, held=held))
    assert decision.outcome is Outcome.RESOLVE and decision.local is kept and operation(decision) is asked
    unsaid = decided(replace(given, held=replace(held, verdict=None)))
    assert unsaid.outcome is Outcome.NOTHING and unsaid.local is local
    edited = side("AllergyIntolerance", code={"text": "again"})
    moved = replace(given, held=held, **({"local": edited} if local is not None else {"remote": edited}))
    again = decided(moved)
    assert again.outcome is Outcome.HOLD and again.conflict is not None and again.conflict.reopened


# a write whose outcome is not known


def test_a16_our_own_write_come_back_is_agreed_and_no_conflict() -> None:
    decision = decided(facts(OURS, OURS, in_flight=InFlight(OURS, OURS)))
    assert decision.intent is None and decision.conflict is None and decision.local is OURS
    assert same(decision.shadows.local, OURS) and same(decision.shadows.remote, OURS)


def test_a16_a_vendors_edit_beside_our_lost_write_is_pulled() -> None:
    decision = decided(facts(OURS, BOTH, in_flight=InFlight(OURS, OURS)))
    assert decision.outcome is Outcome.PULL and same(decision.local, BOTH) and decision.conflict is None


def test_a16_a_vendors_edit_on_top_of_our_lost_write_is_one_conflict_with_them() -> None:
    decision = decided(facts(OURS, THEIRS, in_flight=InFlight(OURS, OURS)))
    assert conflict(decision) == (UPDATES, MEDIUM, RESOLVED)
    assert decision.conflict is not None and decision.conflict.conflicted == 1


def test_a16_an_edit_here_after_our_lost_write_goes_out_as_the_next() -> None:
    newer = side(serviceType={"text": "ours, again"})
    decision = decided(facts(newer, OURS, in_flight=InFlight(OURS, OURS)))
    assert decision.outcome is Outcome.PUSH and same(sent(decision), newer) and decision.conflict is None


def test_a16_a_removal_of_ours_that_was_lost_is_agreed_where_the_vendor_shows_it() -> None:
    before = side(serviceType={"text": "agreed"}, language="en")
    beside = side(serviceType={"text": "agreed"}, priority={"text": "theirs"})
    decision = decided(facts(BASE, beside, before, in_flight=InFlight(BASE, BASE)))
    assert decision.outcome is Outcome.PULL and same(decision.local, beside) and decision.conflict is None


def test_a16_a_resource_deleted_after_our_lost_write_is_update_delete() -> None:
    decision = decided(facts(OURS, None, in_flight=InFlight(OURS, OURS)))
    assert conflict(decision) == (UPDATE_DELETE, HIGH, RESOLVED)


def test_a_write_that_never_arrived_is_sent_again() -> None:
    decision = decided(facts(OURS, BASE, in_flight=InFlight(OURS, OURS)))
    assert decision.outcome is Outcome.PUSH and same(sent(decision), OURS)


@pytest.mark.parametrize(("remote", "asked"), [(None, None), (BASE, Operation.DELETE)])
def test_a_delete_whose_answer_was_lost_is_repeated_only_if_the_resource_is_there(
    remote: Side | None, asked: Operation | None
) -> None:
    decision = decided(facts(None, remote, in_flight=InFlight(None, None)))
    assert operation(decision) is asked and decision.local is None and decision.conflict is None


def test_a_create_whose_answer_was_lost_is_the_resource_that_was_found() -> None:
    decision = decided(facts(OURS, OURS, None, in_flight=InFlight(OURS, OURS)))
    assert decision.intent is None and decision.conflict is None
    assert same(decision.shadows.local, OURS) and same(decision.shadows.remote, OURS)


# a patient with too many conflicts


@pytest.mark.parametrize(("count", "outcome"), [(10, Outcome.RESOLVE), (11, Outcome.HOLD)])
def test_a_patient_with_too_many_conflicts_may_be_two_people(count: int, outcome: Outcome) -> None:
    decision = decided(facts(OURS, THEIRS, conflicts_on_patient=count))
    assert decision.outcome is outcome
    assert (decision.conflict is not None and decision.conflict.severity is CRITICAL) == (outcome is Outcome.HOLD)


def test_a_write_that_was_decided_anew_changes_nothing_once_all_is_agreed() -> None:
    """It stays in doubt until a later one is confirmed; what the vendor shows now was agreed on without it."""
    home = {"use": "home", "city": "Bern"}
    agreed = side("Patient", address=[{"use": "work", "postalCode": "2"}, home])
    sent = side("Patient", address=[{"use": "work", "postalCode": "1"}, home])
    in_doubt = facts(agreed, agreed, agreed, resource_type="Patient", earlier=(InFlight(sent, sent),))

    assert decide(in_doubt, RULES).outcome is Outcome.NOTHING
