"""Who is one person: exact identifiers join, everything else is proposed, and people have the last word."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.identity.decisions import (
    accept_proposal,
    code_of,
    link_persons,
    reject_proposal,
    unlink_records,
)
from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.engine.identity.splink_model import PatientRow, probable_pairs
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.sandbox.population.spelling import patients_as_spelled
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.person_rows import rebuild_all
from holovitals_pipelines.store.tables import dirty_link, outbox, patient, patient_history, record, record_version
from holovitals_pipelines.sync.identity.demographics import read_demographics
from holovitals_pipelines.sync.identity.grouping import WIDELY_SHARED
from tests.engine.conftest import Sync, Vendor
from tests.engine.conftest import patient as at_clinic
from tests.engine.identity_bench import TRUST, Persons, ann

BY = {"actor": "steward", "reason": "looked at both"}


@pytest.fixture
def persons(opened: Home) -> Persons:
    return Persons(opened.database)


def joined(persons: Persons, *contents: dict[str, Any]) -> list[str]:
    """One record a connection, indexed."""
    names = ("epic", "cerner", "athena", "clinic")
    ids = persons.take_in([(names[place], f"p{place}", content) for place, content in enumerate(contents)])
    persons.index()
    return ids


# what joins, and what does not


def test_records_that_share_a_trusted_identifier_are_one_person_with_an_id_for_each_vendor(persons: Persons) -> None:
    epic, cerner, athena = joined(persons, ann(), ann("219441234"), ann(None))

    assert persons.groups() == {frozenset((epic, cerner)), frozenset((athena,))}
    assert {persons.memberships()[one][1:] for one in (epic, cerner)} == {("exact", TRUST_SYSTEM)}
    with persons.database.read() as transaction:
        row = transaction.execute(sa.select(patient).where(patient.c.patient_key == persons.person(epic))).one()
    assert (row.epic_id, row.cerner_id, row.athena_id, row.ecw_id) == ("p0", "p1", None, None)


TRUST_SYSTEM = next(iter(TRUST.systems))


@pytest.mark.parametrize(
    "other",
    [
        ann("*****1234"), ann("XXX-XX-1234"), ann("1234"), ann(None), ann("219-44-1235"),
        ann(identifier=[{"system": "urn:mrn", "value": "219-44-1234"}]),
        ann(identifier=[{"system": TRUST_SYSTEM, "value": "219-44-1234", "use": "old"}]),
    ],
    ids=["masked", "masked with letters", "too short", "none", "another", "not trusted", "no longer used"],
)  # fmt: skip
def test_what_is_not_the_same_trusted_identifier_joins_nobody(persons: Persons, other: dict[str, Any]) -> None:
    joined(persons, ann(), other)
    assert len(persons.groups()) == 2 and not persons.proposals()


@pytest.mark.parametrize("value", ["000-00-0000", "999-99-9999", "123-45-6789", "078-05-1120", "219-00-1234"])
def test_a_made_up_value_joins_nobody(persons: Persons, value: str) -> None:
    joined(persons, ann(value), ann(value))
    assert len(persons.groups()) == 2 and not persons.proposals()


@pytest.mark.parametrize("given", ["Baby Boy", "TEST", "Unknown"])
def test_a_placeholder_name_joins_nobody(persons: Persons, given: str) -> None:
    name = [{"family": "Okafor", "given": [given]}]
    joined(persons, ann(name=name), ann(name=name))
    assert len(persons.groups()) == 2 and not persons.proposals()


@pytest.mark.parametrize(
    ("element", "value"), [("birthDate", "1961-04-10"), ("gender", "male")], ids=["birthDate", "gender"]
)
def test_a_contradiction_is_a_proposal_and_no_match(persons: Persons, element: str, value: str) -> None:
    one, other = joined(persons, ann(), ann(**{element: value}))
    assert len(persons.groups()) == 2
    [(pair, proposal)] = persons.proposals().items()
    assert pair == {one, other} and proposal.grounds == "identifier_conflict"
    assert proposal.compared["identifier"] == "same" and proposal.compared["family"] == "same"
    assert "1961" not in str(proposal.compared)


def test_a_date_known_to_the_year_contradicts_nothing(persons: Persons) -> None:
    joined(persons, ann(), ann(birthDate="1961"))
    assert len(persons.groups()) == 1


def test_two_patients_of_one_vendor_with_one_identifier_are_reviewed_and_nobody_is_joined_to_them(
    persons: Persons,
) -> None:
    one, two, other = persons.take_in([("epic", "a", ann()), ("epic", "b", ann()), ("cerner", "c", ann())])
    persons.index()
    assert len(persons.groups()) == 3
    pairs = {frozenset(pair) for pair in combinations((one, two, other), 2)}
    assert persons.proposals().keys() == pairs
    assert {proposal.grounds for proposal in persons.proposals().values()} == {"shared_identifier"}

    shown = persons.proposals()[frozenset((one, two))]
    accept_proposal(persons.database, shown.proposal_id, revision=code_of(shown.revision), **BY)
    assert persons.groups() == {frozenset((one, two, other))}, "once they are one, the third is no longer in doubt"
    assert not persons.proposals()
    with persons.database.read() as transaction:
        row = transaction.execute(sa.select(patient)).one()
    assert (row.epic_id, row.cerner_id) == ("a", "c"), "of several ids the one linked first is shown"


def test_a_value_that_too_many_share_names_nobody(persons: Persons) -> None:
    contents = [(name, f"{name}{n}", ann()) for name in ("epic", "cerner") for n in range(WIDELY_SHARED // 2 + 1)]
    persons.take_in(contents)
    assert persons.index().widely_shared == 1
    assert len(persons.groups()) == len(contents) and not persons.proposals()


def test_who_is_one_person_does_not_depend_on_the_order_in_which_records_came(persons: Persons) -> None:
    same, other = ann(), ann(birthDate="1970-01-01")
    incoming = [
        ("epic", "1", same), ("cerner", "2", same), ("athena", "3", ann(birthDate=None)), ("clinic", "4", other),
        ("epic", "5", ann("345-11-2222")), ("epic", "6", ann("345-11-2222")), ("cerner", "7", ann("345-11-2222")),
        ("athena", "8", ann("400-22-3333")), ("clinic", "9", ann("400-22-3333")),
    ]  # fmt: skip
    persons.take_in(incoming)
    persons.index()
    at_once, asked = persons.groups(), persons.proposals().keys()
    chance = random.Random(7)
    for _ in range(4):
        chance.shuffle(incoming)
        with persons.database.write() as transaction:
            for table in ("patient_member", "patient_identifier", "patient_proposal", "patient", "link", "record"):
                transaction.execute(sa.text(f"delete from {table}"))
        for one in incoming:
            persons.take_in([one])
            persons.index()
        assert (persons.groups(), persons.proposals().keys()) == (at_once, asked)


# what changes


def test_a_corrected_identifier_takes_the_record_out_again(persons: Persons) -> None:
    one, other = joined(persons, ann(), ann())
    key = persons.person(one)
    persons.now(other, ann("345-11-2222"))
    persons.index()
    assert persons.groups() == {frozenset((one,)), frozenset((other,))}
    assert key in {persons.person(one), persons.person(other)}
    persons.now(other, ann())
    assert persons.index().joined and len(persons.groups()) == 1


def test_a_deleted_record_leaves_its_persons_row_and_comes_back_to_it(persons: Persons) -> None:
    one, other = joined(persons, ann(), ann())
    persons.now(other, None)
    persons.index()
    assert [row[2] for row in persons.rows()] == [None], "cerner's id"
    persons.now(other, ann())
    persons.index()
    assert [row[2] for row in persons.rows()] == ["p1"] and persons.person(one) == persons.person(other)


def test_only_what_changed_is_looked_at(persons: Persons) -> None:
    one, _ = joined(persons, ann(), ann())
    assert persons.index().looked_at == 0
    persons.now(one, ann(telecom=[{"system": "phone", "value": "555-010-2000"}]))
    assert persons.index().looked_at == 1 and len(persons.groups()) == 1


# what people decide


@pytest.mark.parametrize("turned", [False, True], ids=["as before", "named the other way round"])
def test_an_unlink_and_a_relink_leave_everything_as_it_was(persons: Persons, turned: bool) -> None:
    one, other, third = joined(persons, ann(), ann(), ann())
    before = persons.memberships()

    apart = unlink_records(persons.database, [other], **BY)
    assert persons.groups() == {frozenset((one, third)), frozenset((other,))}
    named = (apart, persons.person(one)) if turned else (persons.person(one), apart)
    assert link_persons(persons.database, *named, **BY) == before[one][0]

    assert persons.memberships() == before
    persons.index(again=True)
    assert persons.memberships() == before


def test_a_manual_link_is_undone_by_unlinking_the_same_records(persons: Persons) -> None:
    one, other = joined(persons, ann(), ann("345-11-2222"))
    before = persons.groups()
    link_persons(persons.database, persons.person(one), persons.person(other), **BY)
    assert persons.groups() == {frozenset((one, other))}
    unlink_records(persons.database, [other], **BY)
    assert persons.groups() == before


def decisions(persons: Persons, ids: list[str]) -> None:
    """A link, an un-link and a rejection."""
    link_persons(persons.database, persons.person(ids[0]), persons.person(ids[1]), **BY)
    unlink_records(persons.database, [ids[3]], **BY)
    [proposal] = [p for pair, p in persons.proposals().items() if ids[4] in pair]
    reject_proposal(persons.database, proposal.proposal_id, revision=code_of(proposal.revision), **BY)


def test_no_automatic_step_changes_what_a_person_decided(persons: Persons, opened: Home) -> None:
    ids = persons.take_in(
        [
            ("epic", "1", ann()), ("cerner", "2", ann("345-11-2222")),
            ("epic", "3", ann("400-22-3333")), ("cerner", "4", ann("400-22-3333")),
            ("epic", "5", ann("500-22-4444")), ("cerner", "6", ann("500-22-4444", gender="male")),
        ]
    )  # fmt: skip
    persons.index()
    decisions(persons, ids)
    decided = persons.groups()
    assert {frozenset(ids[:2]), frozenset(ids[2:3]), frozenset(ids[3:4])} <= decided

    persons.now(ids[1], ann("600-33-5555", birthDate="1999-01-01"))  # nothing speaks for it any more
    persons.now(ids[5], ann("500-22-4444"))  # what spoke against it is gone
    persons.index()
    persons.index(again=True)
    match_patients(opened, probable=False)

    assert persons.groups() == decided
    assert not {frozenset(ids[4:6]), frozenset(ids[2:4])} & persons.proposals().keys(), "nobody is asked again"


def test_a_newcomer_joins_whom_a_person_has_chosen(persons: Persons) -> None:
    one, other = joined(persons, ann(), ann("345-11-2222"))
    key = persons.person(one)
    link_persons(persons.database, key, persons.person(other), **BY)
    [third] = persons.take_in([("athena", "new", ann("345-11-2222"))])
    persons.index()
    assert persons.memberships()[third][:2] == (key, "exact")


def test_a_decision_on_what_nobody_saw_is_refused(persons: Persons) -> None:
    one, _ = joined(persons, ann(), ann(gender="male"))
    [proposal] = persons.proposals().values()
    seen = code_of(proposal.revision)
    persons.now(one, ann(birthDate="1961-04-08"))
    for _ in range(2):
        with pytest.raises(StoreError) as refused:
            accept_proposal(persons.database, proposal.proposal_id, revision=seen, **BY)
        assert refused.value.code == "proposal.stale"
        persons.index()
    assert len(persons.groups()) == 2
    [again] = persons.proposals().values()
    accept_proposal(persons.database, again.proposal_id, revision=code_of(again.revision), **BY)
    assert len(persons.groups()) == 1


@pytest.mark.parametrize("spoiled", [{"reason": " "}, {"actor": "policy:identity"}, {"actor": "epic"}])
def test_a_decision_needs_a_person_and_a_reason(persons: Persons, spoiled: dict[str, str]) -> None:
    one, other = joined(persons, ann(), ann("345-11-2222"))
    with pytest.raises(StoreError):
        link_persons(persons.database, persons.person(one), persons.person(other), **{**BY, **spoiled})
    assert len(persons.groups()) == 2


def test_every_decision_is_in_the_history_and_in_the_audit_log_without_a_value(persons: Persons) -> None:
    _, other = joined(persons, ann(), ann())
    unlink_records(persons.database, [other], **BY)
    with persons.database.read() as transaction:
        rows = transaction.execute(sa.select(patient_history).where(patient_history.c.record_id == other)).all()
        logged = audit.entries(transaction, record_id=other)
    assert [(row.action, row.actor, row.reason) for row in rows] == [
        ("join", "policy:identity", None), ("unlink", "steward", "looked at both"),
    ]  # fmt: skip
    assert [entry.action for entry in logged] == ["person_join", "person_unlink"]
    told = str([rows, [entry.detail for entry in logged]])
    assert not any(value in told for value in ("219-44", "219441234", "Okafor", "1961-04"))
    assert "looked at both" not in str([entry.detail for entry in logged])


# the table, the vendors' own words, and what must not happen


def test_the_patient_table_is_what_its_memberships_say(persons: Persons) -> None:
    ids = joined(persons, ann(), ann(), ann(None), ann("345-11-2222"))
    link_persons(persons.database, persons.person(ids[0]), persons.person(ids[2]), **BY)
    unlink_records(persons.database, [ids[1]], **BY)
    persons.now(ids[3], None)
    persons.index()
    kept = persons.rows()
    assert len(kept) == 2
    with persons.database.write() as transaction:
        transaction.execute(patient.delete())
        assert rebuild_all(transaction) == len(kept)
    assert persons.rows() == kept


def test_a_merge_told_by_the_vendor_is_proposed(persons: Persons) -> None:
    old = ann(None, active=False, link=[{"other": {"reference": "Patient/new"}, "type": "replaced-by"}])
    new, merged = persons.take_in([("epic", "new", ann(None)), ("epic", "old", old)])
    persons.index()
    [(pair, proposal)] = persons.proposals().items()
    assert pair == {new, merged} and proposal.grounds == "merge_told"
    assert proposal.compared["link"] == "replaced-by"


def test_a_sync_indexes_its_patients_and_matching_sends_nothing(
    opened: Home, persons: Persons, vendor: Vendor, sync: Sync
) -> None:
    [known] = persons.take_in([("epic", "e1", ann())])
    vendor.holds("Patient", [{**at_clinic(1), **ann()}, at_clinic(2)])
    report = sync()
    assert report.succeeded and frozenset({known}) not in persons.groups()
    assert sorted(map(len, persons.groups())) == [1, 2]
    with persons.database.read() as transaction:
        stands = [transaction.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                  for table in (outbox, dirty_link, record_version)]  # fmt: skip
        assert set(transaction.execute(sa.select(record.c.version)).scalars()) == {1}
    assert stands == [0, 0, 0], "no write waits, no link is to be looked at, no record was changed"


# what is probable


def test_probable_pairs_are_proposed_and_join_nobody(opened: Home, persons: Persons) -> None:
    truth: dict[str, int] = {}
    for connection, provider in (("epic", "epic"), ("cerner", "cerner")):
        for whom, body in patients_as_spelled(60, 3, provider, share=0.5):
            content = read_plain(body)
            [record_id] = persons.take_in([(connection, content.pop("id"), content)])
            truth[record_id] = whom
    persons.index()
    grouped = persons.groups()
    matched = match_patients(opened)
    assert persons.groups() == grouped and matched.open_proposals == len(persons.proposals()) > 5
    probable = [pair for pair, one in persons.proposals().items() if one.grounds == "splink"]
    right = [pair for pair in probable if len({truth[one] for one in pair}) == 1]
    assert len(right) / len(probable) > 0.95
    missed = {frozenset(pair) for pair in combinations(truth, 2) if truth[pair[0]] == truth[pair[1]]}
    missed -= {frozenset(pair) for group in grouped for pair in combinations(group, 2)} | persons.proposals().keys()
    assert len(missed) / len(truth) < 0.05
    assert match_patients(opened).new_proposals == 0, "the same records give the same proposals"


def read_plain(body: bytes) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(body)
    return {name: value for name, value in found.items() if name not in ("resourceType", "meta")}


def test_nobody_is_probable_among_nobody(opened: Home) -> None:
    folder = opened.settings.scratch_folder
    assert probable_pairs([], 0.9, scratch=folder, memory="64MB") == []
    lonely = PatientRow("a", "a", "okafor", "ann", None, "1961-04-09", "female", None, None, None)
    assert probable_pairs([lonely], 0.9, scratch=folder, memory="64MB") == []


def test_a_body_of_another_shape_says_nothing() -> None:
    for body in (b"", b"[]", b'{"name":"x","birthDate":5,"identifier":[1,{"system":1}],"address":[null],"link":[{}]}'):
        said = read_demographics(body)
        assert said.family is None and said.identifiers == () and not TRUST.keys(said)
