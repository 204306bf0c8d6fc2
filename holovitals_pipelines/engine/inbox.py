"""The inbox: a vendor's change event is kept and its link marked, before anybody answers that it was received.

Law: only after `take_event` has returned may the sender be told 2xx; an event is completed in the transaction that
decides its link (sync-protocol.md §5, I1).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.dirty import Reason, mark_links
from holovitals_pipelines.store.events import has_body, put_event


class Receipt(StrEnum):
    """What an event was to us. All of them are answered 2xx."""

    NEW = "new"
    REPEATED = "repeated"
    """The same event again: it is kept once, and has its one effect."""
    ALTERED = "altered"
    """Another body under a known id: worth an alarm; the first body is kept, and the link is looked at again."""


def take_event(
    database: Database,
    *,
    connection: str,
    event_id: str,
    event_type: str,
    body: bytes,
    resource_type: str,
    remote_id: str,
    at: datetime,
) -> Receipt:
    """Keep an event of `connection` about one resource, and mark the resource's link. Raises StoreError: answer 5xx."""
    link_id = link_id_of(connection, resource_type, remote_id)
    with database.write() as transaction:
        receipt = Receipt.NEW
        if not put_event(
            transaction, source=connection, event_id=event_id, event_type=event_type, link_id=link_id, body=body, at=at
        ):
            repeated = has_body(transaction, connection, event_id, body)
            receipt = Receipt.REPEATED if repeated else Receipt.ALTERED
        if receipt is not Receipt.REPEATED:
            mark_links(transaction, [(link_id, connection, resource_type, remote_id)], Reason.EVENT, at)
        return receipt
