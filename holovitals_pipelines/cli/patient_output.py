"""How persons and proposals are shown: lists without a value of any record, one of them with the values side by side.

Law: only `print_person`, `print_proposal` and their JSON show values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from holovitals_pipelines.cli.output import console, plain_table, say
from holovitals_pipelines.engine.identity.matching import Matched
from holovitals_pipelines.engine.identity.proposing import OPEN, Proposal
from holovitals_pipelines.engine.identity.views import ListedPerson, ShownPerson, ShownProposal
from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.store.persons import HistoryRow, Member

SHORT_ID = 8


def print_persons(found: Sequence[ListedPerson]) -> None:
    table = plain_table("person", ">records", "connections", "joined", "read")
    for one in found:
        read = f"{one.last_synced_at:%Y-%m-%d %H:%M}" if one.last_synced_at else "-"
        table.add_row(one.patient_key, str(one.records), ", ".join(one.connections), ", ".join(one.how), read)
    console.print(table)


def listed_as_json(one: ListedPerson) -> dict[str, Any]:
    return {
        "patientKey": one.patient_key,
        "records": one.records,
        "connections": list(one.connections),
        "how": list(one.how),
        "lastSyncedAt": one.last_synced_at.isoformat() if one.last_synced_at else None,
    }


def print_proposals(found: Sequence[Proposal]) -> None:
    table = plain_table("proposal", "grounds", ">score", "the same", "similar", "different")
    for one in found:
        score = f"{one.score:.4f}" if one.score is not None else "-"
        levels = (", ".join(_at(one, level)) or "-" for level in ("same", "similar", "different"))
        table.add_row(one.proposal_id[:SHORT_ID], one.grounds, score, *levels)
    console.print(table)


def _at(one: Proposal, level: str) -> list[str]:
    return [element for element, found in one.compared.items() if found == level]


def proposal_as_json(one: Proposal) -> dict[str, Any]:
    return {
        "proposalId": one.proposal_id,
        "recordIds": [one.record_id, one.other_id],
        "grounds": one.grounds,
        "score": one.score,
        "compared": dict(one.compared),
        "state": one.state,
        "proposedAt": one.proposed_at.isoformat(),
        "decidedBy": one.decided_by,
        "decidedAt": one.decided_at.isoformat() if one.decided_at else None,
    }


def print_person(shown: ShownPerson) -> None:
    say(console, Text.assemble(("Person ", "bold"), (shown.patient_key, "bold")))
    for member in shown.members:
        _print_member(shown, member)
    if shown.history:
        say(console, Text("\nWhat happened", style="bold"))
    for row in shown.history:
        why = f": {row.reason}" if row.reason else ""
        record = row.record_id[:SHORT_ID]
        say(console, f"  {row.at:%Y-%m-%d %H:%M:%S} {row.action} {record} → {row.patient_key}, {row.actor}{why}")


def _print_member(shown: ShownPerson, member: Member) -> None:
    ids = [f"{one.connection} {one.remote_id}" for one in shown.ids if one.record_id == member.record_id]
    named = ", ".join(ids) or member.connection
    how = f"{member.how} by {member.identifier_system}" if member.identifier_system else member.how
    state = "" if member.state == "active" else f", {member.state}"
    say(console, Text.assemble("\n", (member.record_id, "bold"), f"  {named}; {how}, {member.decided_by}{state}"))
    for element, value in shown.elements[member.record_id].items():
        say(console, f"    {element:<16} {_json(value)}")


def _json(value: Any) -> str:
    return value if isinstance(value, str) else write_document({"_": value})[5:-1].decode()


def print_proposal(shown: ShownProposal) -> None:
    one = shown.proposal
    score = f", probability {one.score:.6f}" if one.score is not None else ""
    say(console, Text.assemble((f"Proposal {one.proposal_id}: ", "bold"), f"{one.grounds}{score}, {one.state}"))
    for element, level in one.compared.items():
        say(console, f"    {element:<16} {level}")
    for person in shown.persons:
        say(console, "")
        print_person(person)
    if one.state == OPEN:
        say(console, f"\nTo decide: holovitals patients accept|reject {one.proposal_id[:SHORT_ID]} --revision "
                     f"{shown.revision} --reason …")  # fmt: skip
    elif one.reason:
        say(console, f"\n{one.decided_by}: {one.reason}")


def person_as_json(shown: ShownPerson) -> dict[str, Any]:
    return {
        "patientKey": shown.patient_key,
        "records": [
            {
                "recordId": member.record_id,
                "connection": member.connection,
                "how": member.how,
                "identifierSystem": member.identifier_system,
                "decidedBy": member.decided_by,
                "at": member.at.isoformat(),
                "state": member.state,
                "elements": {name: _json(value) for name, value in shown.elements[member.record_id].items()},
            }
            for member in shown.members
        ],
        "ids": [
            {"provider": one.provider, "connection": one.connection, "remoteId": one.remote_id} for one in shown.ids
        ],
        "history": [_history_as_json(row) for row in shown.history],
    }


def _history_as_json(row: HistoryRow) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(),
        "action": row.action,
        "actor": row.actor,
        "reason": row.reason,
        "recordId": row.record_id,
        "patientKey": row.patient_key,
        "decisionId": row.decision_id,
        "proposalId": row.proposal_id,
    }


def shown_proposal_as_json(shown: ShownProposal) -> dict[str, Any]:
    persons = [person_as_json(person) for person in shown.persons]
    return proposal_as_json(shown.proposal) | {"revision": shown.revision, "persons": persons}


def matched_as_json(matched: Matched) -> dict[str, Any]:
    return {
        "records": matched.records,
        "persons": matched.persons,
        "acrossConnections": matched.across_connections,
        "severalIds": matched.several_ids,
        "lookedAt": matched.indexed.looked_at,
        "joined": matched.indexed.joined,
        "left": matched.indexed.left,
        "widelyShared": matched.indexed.widely_shared,
        "newProposals": matched.indexed.proposed + matched.new_proposals,
        "openProposals": matched.open_proposals,
    }


def print_matched(matched: Matched) -> None:
    say(console, f"{matched.records:,} records of {matched.persons:,} persons")
    lines = (
        (matched.across_connections, "persons have records of more than one connection"),
        (matched.indexed.joined, "records were joined to others by a trusted identifier"),
        (matched.indexed.left, "records are no longer joined: what they were joined by has changed"),
        (matched.several_ids, "times a vendor knows a person by several ids: holovitals patients list --several"),
        (matched.indexed.widely_shared, "identifier values are shared by too many records to name a person"),
        (matched.open_proposals, "proposals wait for a person: holovitals patients proposals"),
    )
    for count, what in lines:
        if count:
            say(console, f"  {count:,} {what}")
