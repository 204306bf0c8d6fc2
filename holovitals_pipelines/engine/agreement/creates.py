"""Creates whose answer was lost, and resources that turn out to be the ones we created.

Law: a lost answer never becomes a second resource: who cannot be found out is left to a person, not sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.facts import Seen
from holovitals_pipelines.engine.agreement.own_identifier import (
    business_identifiers,
    can_carry,
    link_named_in,
    own_identifier,
)
from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.model.errors import JobError, TransientError, VendorError
from holovitals_pipelines.model.writing import Present
from holovitals_pipelines.providers.adapter import Identifier
from holovitals_pipelines.store import decided, outbox
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.decided import LinkRow
from holovitals_pipelines.store.dirty import Mark
from holovitals_pipelines.store.documents import get_document
from holovitals_pipelines.store.link_states import LinkState, link_states
from holovitals_pipelines.store.outbox import StoredIntent
from holovitals_pipelines.sync.sides import Side, same

NOT_FINDABLE = JobError(
    "the answer to a create was lost, and the vendor cannot be searched for what it may have made",
    code="create.outcome_unknown",
    remedy="look at the vendor whether the resource is there, then link it or create it again",
)
AMBIGUOUS = JobError(
    "several resources at the vendor carry the identifiers of the one to be created",
    code="create.ambiguous",
    remedy="decide at the vendor which of them is meant, then link it",
)
TAKEN = JobError(
    "the vendor's resource is linked to another record already",
    code="create.linked_elsewhere",
    remedy="compare the two records; one of them may be a duplicate",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for a create's outcome brought; `findable` is False where there is nothing to search by."""

    hits: Sequence[Present]
    findable: bool = True


def identifiers_to_find(desk: Desk, intent: StoredIntent, sent: Side) -> list[Identifier]:
    """By what the vendor can be asked for the resource a create makes: our own identifier first of all."""
    capability = desk.vendor.write_capability(intent.resource_type)
    if capability.keeps_identifiers and can_carry(intent.resource_type):
        return [own_identifier(intent.link_id)]
    return business_identifiers(sent.document)


async def find_created(desk: Desk, intents: Sequence[StoredIntent]) -> dict[str, Found | VendorError]:
    """For creates in flight: what the vendor holds of them, by link id."""
    if not intents:
        return {}
    with desk.transaction() as transaction:
        sent = {
            intent.link_id: Side(get_document(transaction, bytes(intent.document_hash)))
            for intent in intents
            if intent.document_hash is not None
        }

    async def find(intent: StoredIntent) -> tuple[str, Found | VendorError]:
        identifiers = identifiers_to_find(desk, intent, sent[intent.link_id])
        if not identifiers:
            return intent.link_id, Found((), findable=False)
        try:
            return intent.link_id, Found(await desk.vendor.find(intent.resource_type, identifiers))
        except TransientError as error:
            return intent.link_id, error
        except VendorError:
            # A vendor that refuses the search, or answers less than it has, tells nothing by finding nothing.
            return intent.link_id, Found((), findable=False)

    return dict(await asyncio.gather(*(find(intent) for intent in intents)))


def settle_create(desk: Desk, transaction: sa.Connection, mark: Mark, found: Found | None) -> Seen | None:
    """A pending link: bound to what was found, or not yet at the vendor; None when a person has to look, or when the
    link was bound meanwhile, by an event of the very resource."""
    if mark.link_id not in link_states(transaction, [mark.link_id]):
        return None
    if found is None or (found.findable and not found.hits):
        return Seen(mark.link_id, mark.resource_type, None, None)
    if not found.findable or len(found.hits) > 1:
        leave_to_a_person(desk, transaction, mark.link_id, AMBIGUOUS if found.findable else NOT_FINDABLE)
        return None
    return bind(desk, transaction, mark.link_id, mark.resource_type, found.hits[0])


def bind(desk: Desk, transaction: sa.Connection, pending: str, resource_type: str, present: Present) -> Seen | None:
    """The pending link is this resource's from now on; None when another record has it already."""
    state = link_states(transaction, [pending])[pending]
    link_id = link_id_of(desk.connection, resource_type, present.remote_id)
    known = link_states(transaction, [link_id]).get(link_id)
    if known is not None and known.record_id != state.record_id:
        leave_to_a_person(desk, transaction, pending, TAKEN)
        return None
    row = LinkRow(
        link_id, desk.connection, resource_type, present.remote_id, state.record_id, "active", "sync", desk.now()
    )
    decided.bind_link(transaction, pending, row)
    return Seen(link_id, resource_type, present.remote_id, present)


def recognise(desk: Desk, transaction: sa.Connection, seen: Seen) -> Seen | None:
    """A resource that no link knows may be the one that a create of ours made: then it is that link's."""
    if seen.present is None or seen.link_id in link_states(transaction, [seen.link_id], lock=False):
        return seen
    pending = _pending_link_of(desk, transaction, seen)
    return seen if pending is None else bind(desk, transaction, pending, seen.resource_type, seen.present)


def _pending_link_of(desk: Desk, transaction: sa.Connection, seen: Seen) -> str | None:
    assert seen.present is not None
    named = link_named_in(seen.present.body)
    if named is not None:
        state: LinkState | None = link_states(transaction, [named], lock=False).get(named)
        if state is not None and state.link_state == "pending" and state.connection == desk.connection:
            return named
    present = Side(seen.present.body)
    for intent in outbox.in_flight(transaction, desk.connection):
        if intent.operation == "create" and intent.resource_type == seen.resource_type and intent.document_hash:
            sent = get_document(transaction, bytes(intent.document_hash))
            if same(_without_id(Side(sent)), _without_id(present)):
                return intent.link_id
    return None


def _without_id(side: Side) -> Side:
    return Side(write_document({name: value for name, value in side.document.items() if name != "id"}))


def leave_to_a_person(desk: Desk, transaction: sa.Connection, link_id: str, error: JobError) -> None:
    desk.left_to_people.append(error)
    decided.set_link_states(transaction, [(link_id, "review")])
    for intent in outbox.live_intents(transaction, [link_id]).values():
        outbox.finish(transaction, intent, "failed", desk.now(), error)
