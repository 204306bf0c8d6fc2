"""Pairs that may be one person, over HTTP: list them, look at one, decide.

Law: a decision names what was looked at; it changes no record, sends nothing, and can be undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.security import CAN_READ, CAN_RESOLVE, Reader, Resolver
from holovitals_pipelines.api.shapes.base import AnyJson, Asked, Reason, Text, Told, shown_as
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.identity.decisions import accept_proposal, reject_proposal
from holovitals_pipelines.engine.identity.proposing import Proposal
from holovitals_pipelines.engine.identity.views import ShownPerson, ShownProposal, list_proposals, show_proposal
from holovitals_pipelines.fhir.clinical_text import element_text
from holovitals_pipelines.fhir.exact import write_value

routes = APIRouter(tags=["patients"])

_LONGEST = 200
ProposalId = Annotated[Text, Path(alias="proposalId", max_length=64)]


class ProposedPair(Told):
    """Two Patient records that may be one person; no value of either."""

    proposal_id: str
    record_ids: Sequence[str]
    grounds: Annotated[str, Field(description="identifier_conflict, shared_identifier, merge_told, splink")]
    score: Annotated[float | None, Field(description="the probability, where one was computed")]
    compared: Annotated[Mapping[str, str], Field(description="by element: same, similar, different")]
    state: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None

    @classmethod
    def of(cls, one: Proposal) -> ProposedPair:
        return cls(**_pair(one))


def _pair(one: Proposal) -> dict[str, AnyJson]:
    same = ("proposal_id", "grounds", "score", "compared", "state", "proposed_at", "decided_by", "decided_at")
    return {name: getattr(one, name) for name in same} | {"record_ids": [one.record_id, one.other_id]}


class ProposedPairs(Told):
    items: Sequence[ProposedPair]


class PersonSide(Told):
    """A person of the pair, with what each Patient record of theirs says, as people read it."""

    patient_key: str
    ids: Annotated[Mapping[str, Sequence[str]], Field(description="the ids vendors know them by, by connection")]
    records: Annotated[Mapping[str, Mapping[str, str]], Field(description="elements by record id")]

    @classmethod
    def of(cls, person: ShownPerson) -> PersonSide:
        ids: dict[str, list[str]] = {}
        for one in person.ids:
            ids.setdefault(one.connection, []).append(one.remote_id)
        records = {
            record_id: {name: element_text(write_value(value), _LONGEST) for name, value in elements.items()}
            for record_id, elements in person.elements.items()
        }
        return cls(patient_key=person.patient_key, ids=ids, records=records)


class ProposedPairDetail(ProposedPair):
    """Both persons side by side. **Health data.**"""

    revision: Annotated[str, Field(description="of what is shown here: a decision names it")]
    reason: str | None
    persons: Sequence[PersonSide]

    @classmethod
    def of_shown(cls, shown: ShownProposal) -> ProposedPairDetail:
        persons = [PersonSide.of(one) for one in shown.persons]
        return cls(**_pair(shown.proposal), revision=shown.revision, reason=shown.proposal.reason, persons=persons)


class ProposalDecision(Asked):
    model_config = shown_as({"revision": "0f3b9c21d4aa", "reason": "same address, asked the patient"})

    revision: Annotated[Text, Field(description="what you have looked at", min_length=1, max_length=64)]
    reason: Reason


class OnePerson(Told):
    patient_key: Annotated[str, Field(description="of the one person from now on")]


@routes.get("/api/patients/proposals", **documented(CAN_READ))
def list_pairs(
    home: OpenHome,
    caller: Reader,
    state: Annotated[Literal["open", "accepted", "rejected", "stale"], Query()] = "open",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ProposedPairs:
    """Pairs that may be one person, the best founded first."""
    found = list_proposals(home.database, state=state, limit=limit)
    return ProposedPairs(items=[ProposedPair.of(one) for one in found])


@routes.get("/api/patients/proposals/{proposalId}", **documented(CAN_READ, 404, opens="proposalId"))
def show_pair(proposal_id: ProposalId, home: OpenHome, caller: Reader) -> ProposedPairDetail:
    """Both persons side by side. **Health data.**"""
    return ProposedPairDetail.of_shown(show_proposal(home.database, proposal_id))


@routes.post("/api/patients/proposals/{proposalId}/accept", **documented(CAN_RESOLVE, 404, 409))
def accept(proposal_id: ProposalId, decision: ProposalDecision, home: OpenHome, caller: Resolver) -> OnePerson:
    """The two are one person. Their records stay as they are, and nothing is sent to any vendor."""
    key = accept_proposal(
        home.database, proposal_id, revision=decision.revision, actor=caller.name, reason=decision.reason
    )
    return OnePerson(patient_key=key)


@routes.post("/api/patients/proposals/{proposalId}/reject", **documented(CAN_RESOLVE, 404, 409))
def reject(proposal_id: ProposalId, decision: ProposalDecision, home: OpenHome, caller: Resolver) -> ProposedPair:
    """The two are two persons. The program never joins them and does not ask again."""
    reject_proposal(home.database, proposal_id, revision=decision.revision, actor=caller.name, reason=decision.reason)
    return ProposedPair.of(show_proposal(home.database, proposal_id).proposal)
