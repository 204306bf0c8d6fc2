"""People who decide conflicts: they look at the values, decide, approve; sometimes on what is no longer so.

Law: a person decides on what a conflict showed; the checker knows what that was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from holovitals_pipelines.engine.review import Choice, approve_conflict, decide_conflict, show_conflict
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import ResolutionStrategy
from holovitals_pipelines.store.tables import sync_conflict
from proof.documents import tokens_in

if TYPE_CHECKING:
    from proof.world import World

_REFUSALS = ("conflict.undecidable", "conflict.stale", "conflict.not_decided", "conflict.closed")


@dataclass(frozen=True)
class HumanDecision:
    """What a person saw and said: unit → (local, remote) as shown, unit → side."""

    conflict_id: str
    revision: int
    shown: dict[str, tuple[str | None, str | None]]
    sides: dict[str, str]
    actor: str


def _is_decided(row: Any) -> bool:
    return row.decision is not None and row.decision["revision"] == row.revision


def _is_settled(row: Any) -> bool:
    return _is_decided(row) and (not row.two_person or bool(row.approved_by))


class People:
    def __init__(self, world: World) -> None:
        self.world = world
        self.decisions: list[HumanDecision] = []
        self.approvals: set[tuple[str, int, str]] = set()
        """(conflict, revision, who)."""

    def decide_one(self) -> bool:
        """Look at one waiting conflict and decide or approve it; False when all that waits is decided already."""
        world = self.world
        with world.database.read() as transaction:
            query = sa.select(
                sync_conflict.c.conflict_id, sync_conflict.c.revision, sync_conflict.c.decision,
                sync_conflict.c.two_person, sync_conflict.c.approved_by,
            ).where(sync_conflict.c.status == "PENDING_REVIEW")  # fmt: skip
            waiting = list(transaction.execute(query.order_by(sync_conflict.c.conflict_id)))
        open_ones = [row for row in waiting if not _is_settled(row)]
        if waiting and world.chance.random() < 0.1:
            open_ones = waiting  # somebody decides what is decided already
        if not open_ones:
            return False
        chosen = world.chance.choice(open_ones)
        if _is_decided(chosen) and chosen.two_person and not chosen.approved_by:
            world.process(lambda: self._approve(chosen.conflict_id, chosen.revision))
        else:
            world.process(lambda: self._decide(chosen.conflict_id))
        return True

    def _decide(self, conflict_id: str) -> None:
        world = self.world
        shown = show_conflict(world.database, conflict_id)
        units = {u.unit: (u.local, u.remote) for u in shown.units if u.kind == "conflict"}
        stale = shown.conflict.revision > 1 and world.chance.random() < 0.05
        revision = shown.conflict.revision - 1 if stale else shown.conflict.revision
        strategy, choices = self._choice(list(units))
        sides = {name: choice.side for name, choice in choices.items()} or dict.fromkeys(
            units, "local" if strategy is ResolutionStrategy.LOCAL_WINS else "remote"
        )
        decision = HumanDecision(conflict_id, revision, units, sides, "ben")
        if not stale:
            # Noted before: a crash after the commit leaves it decided.
            self.decisions.append(decision)
        try:
            decide_conflict(
                world.database, conflict_id, strategy, revision=revision, actor="ben", reason="looked", choices=choices
            )
        except StoreError as error:
            assert error.code in _REFUSALS, error
            return
        if stale:
            world.history.accepted_stale += 1
        for choice in choices.values():
            world.history.by_people |= tokens_in(choice.value)

    def _choice(self, units: list[str]) -> tuple[ResolutionStrategy, dict[str, Choice]]:
        draw = self.world.chance.random()
        if draw < 0.35:
            return ResolutionStrategy.LOCAL_WINS, {}
        if draw < 0.7 or units == ["*"]:
            return ResolutionStrategy.REMOTE_WINS, {}
        return ResolutionStrategy.MANUAL, {unit: self._one_choice(unit) for unit in units}

    def _one_choice(self, unit: str) -> Choice:
        if unit == "birthDate" and self.world.chance.random() < 0.4:
            from proof.documents import date_of

            return Choice("value", f'"{date_of(self.world.token())}"')
        return Choice(self.world.chance.choice(("local", "remote")))

    def _approve(self, conflict_id: str, revision: int) -> None:
        actor = "ben" if self.world.chance.random() < 0.1 else "cleo"
        self.approvals.add((conflict_id, revision, actor))
        try:
            approve_conflict(self.world.database, conflict_id, revision=revision, actor=actor)
        except StoreError as error:
            assert error.code in _REFUSALS or (actor == "ben" and error.code == "conflict.same_person"), error
