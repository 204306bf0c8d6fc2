"""Changing memberships: rows, history, audit log and the persons' rows, in one transaction.

Law: no membership changes without a line in the history and one in the audit log; both name systems, never values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.store import audit
from holovitals_pipelines.store.person_rows import write_rows
from holovitals_pipelines.store.persons import HistoryRow, Member, add_history, put_members

POLICY = "policy:identity"
"""Who decided what no person did. People cannot take such a name."""


@dataclass(frozen=True, slots=True)
class Decision:
    """By what memberships change: one id for all the records that it moves."""

    decision_id: str
    action: str
    actor: str
    at: datetime
    reason: str | None = None
    proposal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A membership before and after. None before: the record is new."""

    before: Member
    after: Member
    action: str


def commit_moves(transaction: sa.Connection, decision: Decision, moves: Sequence[Moved]) -> None:
    """Write the memberships and what tells of them; make the rows of all persons concerned anew."""
    put_members(transaction, [move.after for move in moves])
    add_history(
        transaction,
        [
            HistoryRow(
                decision.decision_id, decision.at, move.action, decision.actor, decision.reason, move.after.record_id,
                move.after.patient_key, image(move.before), image(move.after), decision.proposal_id,
            )
            for move in moves
        ],
    )  # fmt: skip
    write_rows(transaction, {key for move in moves for key in (move.before.patient_key, move.after.patient_key)})
    log(transaction, decision, ((move.action, move.after, {"from": move.before.patient_key}) for move in moves))


def log(
    transaction: sa.Connection, decision: Decision, entries: Iterable[tuple[str, Member, Mapping[str, Any]]]
) -> None:
    """What a person wrote as the reason stays in the history."""
    audit.append(
        transaction,
        [
            audit.Entry(
                action=f"person_{action}",
                actor=decision.actor,
                record_id=member.record_id,
                connection=member.connection,
                cause=decision.decision_id,
                detail={
                    "person": member.patient_key,
                    "how": member.how,
                    **({"system": member.identifier_system} if member.identifier_system else {}),
                    **({"proposal": decision.proposal_id} if decision.proposal_id else {}),
                    **more,
                },
            )
            for action, member, more in entries
        ],
        at=decision.at,
    )


_IMAGE = ("patient_key", "how", "identifier_system", "decided_by")


def image(member: Member) -> dict[str, Any]:
    """What of a membership somebody decided, as the history keeps it."""
    return {**{name: getattr(member, name) for name in _IMAGE}, "at": member.at.isoformat()}


def restored(member: Member, kept: Mapping[str, Any]) -> Member:
    """The membership as it was when `kept` was written; the record's own state stays as it is now."""
    return member._replace(**{name: kept[name] for name in _IMAGE}, at=datetime.fromisoformat(kept["at"]))
