"""The listener's Take: an arrived message is stored, and answered when the store has it for good.

Law: no message is answered before it is durable; one that was here before is answered as it was and counted, not
applied again. What cannot be used is kept as a dead letter, and answered so that the feed goes on (docs/hl7v2.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from holovitals_pipelines.engine.hl7v2.applying import read_told
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.providers.hl7v2.listener import Answer
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.hl7_messages import DEAD, RECEIVED, ArrivedMessage, Kept, put_messages

if TYPE_CHECKING:
    from holovitals_pipelines.providers.hl7v2.listener import Arrival

MOST = 500
"""Messages of one commit."""
NO_HEADER = "hl7.no_header"
NO_TYPE = "hl7.no_type"
TOO_LONG = "mllp.too_long"
_REFUSED = ("207", "the message cannot be used; it is kept, see the receiver's dead letters")


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: ArrivedMessage
    answer: asyncio.Future[Answer]


class Intake:
    """Takes the messages of one connection: whatever arrives while a transaction commits goes into the next one."""

    def __init__(self, database: Database, connection: ConnectionConfig) -> None:
        self._database = database
        self._connection = connection
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None

    async def __call__(self, arrival: Arrival) -> Answer:
        """Store it, together with what arrives at the same time. Raises StoreError where it could not be stored: then
        nobody may say that it was."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(as_arrived(arrival, self._connection), future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await asyncio.shield(future)

    async def settled(self) -> None:
        """Return when everything taken is stored: at the end of a listener."""
        if self._committing is not None:
            await self._committing

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                for one, answer in zip(batch, await self._stored(batch), strict=True):
                    if one.answer.done():
                        continue  # whoever waited is gone; the message is stored all the same
                    if isinstance(answer, HoloVitalsError):
                        one.answer.set_exception(answer)
                    else:
                        one.answer.set_result(answer)
        finally:
            self._committing = None

    async def _stored(self, batch: Sequence[_Waiting]) -> Sequence[Answer | HoloVitalsError]:
        messages = [one.message for one in batch]
        try:
            return await asyncio.to_thread(store_arrived, self._database, self._connection.name, messages)
        except HoloVitalsError as error:
            return [error] * len(batch)


def store_arrived(database: Database, connection: str, messages: Sequence[ArrivedMessage]) -> list[Answer]:
    """One durable transaction for all of them; their answers. Raises StoreError: none is stored."""
    with database.write() as transaction:
        kept = put_messages(transaction, connection, messages, datetime.now(UTC))
    return [_answer(one) for one in kept]


def as_arrived(arrival: Arrival, connection: ConnectionConfig) -> ArrivedMessage:
    """The row of a message; one that can be seen to be of no use is dead from the beginning."""
    problem = _problem(arrival, connection)
    answer: Literal["AA", "AE", "AR"] = "AE" if problem is not None and connection.hl7v2.refuse_poison else "AA"
    if arrival.problem is not None and arrival.problem.code == TOO_LONG:
        answer = "AR"  # the listener refuses it, whatever is answered here
    header = arrival.header
    return ArrivedMessage(
        arrival.feed,
        "" if header is None else header.sender,
        "" if header is None else header.control_id,
        "" if header is None else header.event,
        arrival.body,
        answer,
        RECEIVED if problem is None else DEAD,
        *(problem or (None, None, None)),
    )


def _problem(arrival: Arrival, connection: ConnectionConfig) -> tuple[str, str, str] | None:
    """Code, words and remedy. Only who refuses such messages has to know all before the answer."""
    if arrival.problem is not None:
        return arrival.problem.code, arrival.problem.message, arrival.problem.remedy
    if arrival.header is None:
        return NO_HEADER, "the message has no header that can be read (MSH)", "ask the sender for the message"
    if not arrival.header.message_type:
        return NO_TYPE, "the message does not say what it is (MSH-9)", "ask the sender for the message"
    if not connection.hl7v2.refuse_poison:
        return None
    dead = read_told(0, arrival.body, connection.hl7v2.encoding).dead
    return None if dead is None else (dead.code or "", dead.problem or "", dead.remedy or "")


def _answer(kept: Kept) -> Answer:
    if kept.answer == "AA":
        return Answer("AA", None)
    return Answer("AE", _REFUSED)
