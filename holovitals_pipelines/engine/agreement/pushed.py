"""Record what a confirmed write means: the new agreement, the link of a new resource, the entry in the log.

Law: shadow, intent and log entry of a confirmed write commit together.
"""

from __future__ import annotations

import sqlalchemy as sa

from holovitals_pipelines.engine.agreement.confirm import Confirmed, agreed_remote
from holovitals_pipelines.engine.agreement.creates import bind
from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.engine.agreement.own_identifier import without_identifier
from holovitals_pipelines.engine.agreement.standing_rows import standing_rows
from holovitals_pipelines.fhir.canonical import HASH_VERSION
from holovitals_pipelines.store import audit, decided, outbox
from holovitals_pipelines.store.decided import ShadowRow
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.documents import get_documents, put_documents
from holovitals_pipelines.store.link_states import LinkState, link_states
from holovitals_pipelines.store.outbox import StoredIntent
from holovitals_pipelines.sync.facts import Facts
from holovitals_pipelines.sync.merge import UnitKind, merge
from holovitals_pipelines.sync.sides import Side, same


def record_confirmed(desk: Desk, transaction: sa.Connection, intent: StoredIntent, outcome: Confirmed) -> None:
    """Both shadows become what each side holds now; what the vendor added of its own is marked as news."""
    link_id = intent.link_id
    if intent.operation == "create":
        seen = bind(desk, transaction, link_id, intent.resource_type, outcome.present)
        if seen is None:
            return
        link_id = seen.link_id
    state = link_states(transaction, [link_id])[link_id]
    addresses = {intent.document_hash, intent.local_snapshot, state.remote_document}
    bodies = get_documents(transaction, [bytes(address) for address in addresses if address is not None])
    assert intent.document_hash is not None and intent.local_snapshot is not None
    sent = Side(without_identifier(bodies[bytes(intent.document_hash)]))
    snapshot = Side(bodies[bytes(intent.local_snapshot)])
    before = None
    if state.remote_document is not None:
        before = Side(without_identifier(bodies[bytes(state.remote_document)]))
    raw, stored = Side(outcome.present.body), Side(without_identifier(outcome.present.body))
    agreed = agreed_remote(sent, before, stored, trusted=outcome.trusted)
    shadow = raw if agreed is stored else agreed
    put_documents(transaction, [(side.address, side.body) for side in (raw, shadow)])
    decided.put_shadows(
        transaction,
        [
            ShadowRow(
                link_id, snapshot.hash, snapshot.address, shadow.hash, shadow.address, HASH_VERSION,
                raw.address, outcome.present.version, outcome.present.last_updated, desk.now(), None,
            )
        ],
    )  # fmt: skip
    _note_standing(desk, transaction, state, snapshot, agreed, stored)
    if agreed is not stored or state.record_document != snapshot.address or state.record_state != "active":
        named = (link_id, state.connection, state.resource_type, state.remote_id)
        mark_links(transaction, [named], Reason.LOCAL, desk.now())
    _finish(desk, transaction, intent, link_id, state.remote_document, raw.address)


def record_deleted(desk: Desk, transaction: sa.Connection, intent: StoredIntent) -> None:
    """Both sides agree that it is gone."""
    state = link_states(transaction, [intent.link_id])[intent.link_id]
    gone = ShadowRow(
        intent.link_id, None, None, None, None, HASH_VERSION, None, None, None, desk.now(), "deleted by us"
    )
    decided.put_shadows(transaction, [gone])
    decided.set_link_states(transaction, [(intent.link_id, "tombstone")])
    decided.put_standing(transaction, [intent.link_id], [])
    if state.record_state == "active":
        named = (intent.link_id, state.connection, state.resource_type, state.remote_id)
        mark_links(transaction, [named], Reason.LOCAL, desk.now())
    _finish(desk, transaction, intent, intent.link_id, state.remote_document, None)


def _note_standing(
    desk: Desk, transaction: sa.Connection, state: LinkState, snapshot: Side, agreed: Side, stored: Side
) -> None:
    """A vendor that stores something else than it was sent: the differences are listed, not sent again."""
    capability = desk.vendor.write_capability(state.resource_type)
    facts = Facts(desk.connection, state.resource_type, snapshot, stored, snapshot, agreed, desk.now(), capability)
    units = []
    if not same(snapshot, stored):
        result = merge(
            state.resource_type,
            base_local=snapshot.document,
            base_remote=agreed.document,
            local=snapshot.document,
            remote=stored.document,
            capability=capability,
        )
        units = [unit for unit in result.units if unit.kind is UnitKind.STANDING]
    rows = standing_rows(desk, facts, units, state.link_id, state.record_id)
    decided.put_standing(transaction, [state.link_id], rows)


def _finish(
    desk: Desk,
    transaction: sa.Connection,
    intent: StoredIntent,
    link_id: str,
    before: bytes | None,
    after: bytes | None,
) -> None:
    """Close the intent; the log tells what the vendor held before and after."""
    outbox.finish(transaction, intent, "done", desk.now())
    outbox.forget_unknown_outcomes(transaction, link_id)
    entry = audit.Entry(
        action="pushed",
        actor="holovitals",
        record_id=intent.record_id,
        link_id=link_id,
        connection=desk.connection,
        before_document=before,
        after_document=after,
        cause=intent.intent_id,
        job_id=desk.job_id,
        detail={"operation": intent.operation},
    )
    audit.append(transaction, [entry], at=desk.now())
