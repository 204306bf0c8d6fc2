"""Stored HL7 v2 messages, for people: lists, one message, and applying dead letters once more."""

from __future__ import annotations

from collections.abc import Sequence

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.hl7_messages import (
    DEAD,
    ListedMessage,
    list_messages,
    read_stored,
    replay_messages,
)


def messages_of(
    database: Database, connection: str | None = None, state: str | None = None, limit: int = 50
) -> list[ListedMessage]:
    """The newest first, without their content."""
    with database.read() as transaction:
        return list_messages(transaction, connection, state, limit)


def message_named(database: Database, message_id: int) -> tuple[ListedMessage, bytes]:
    """A message with its exact bytes. Raises StoreError where there is none."""
    with database.read() as transaction:
        found = read_stored(transaction, message_id)
    if found is None:
        raise StoreError(
            f"there is no message {message_id}",
            code="hl7.message_unknown",
            remedy="holovitals messages list shows those there are",
        )
    return found


def replay(database: Database, connection: str | None, message_ids: Sequence[int]) -> int:
    """Dead letters go back to those that wait: the named ones, or all of the connection. Returns how many.

    Raises StoreError where a named one is none.
    """
    for message_id in message_ids:
        listed, _ = message_named(database, message_id)
        if listed.state != DEAD:
            raise StoreError(
                f"message {message_id} is {listed.state}, and no dead letter",
                code="hl7.message_not_dead",
                remedy="only dead letters are applied once more: holovitals messages list --state dead",
            )
    with database.write() as transaction:
        return replay_messages(transaction, connection, list(message_ids) or None)
