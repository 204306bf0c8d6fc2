"""Where conflicts are reviewed from a notebook: the queue, one conflict, decisions, undoing, policies, writing back.

Law: everything that is decided here is decided by the engine's own functions, under the revision that was looked at and
in the name of who looked. A home that is not there is not created by looking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.conflict_view import ShownConflict, matching_conflicts, show_conflict
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.engine.policy_rows import ProposedRows, add_rows, propose_rows, unit_pattern
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.engine.review import (
    approve_conflict,
    decide_conflict,
    mark_reviewed,
    withdraw_decision,
)
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, StoreError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import ConflictSeverity, Direction, JobType, ResolutionStrategy
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict, units_of_many
from holovitals_pipelines.store.tables import outbox, sync_conflict
from holovitals_pipelines.workbench.review_state import (
    State,
    bodies,
    entry,
    for_one_decision,
    likeness,
    opened,
    sides_by_pattern,
)
from holovitals_pipelines.workbench.session import found_nearby

NO_STORE = "There is no store yet: run «holovitals demo», or «holovitals sync», then the cells above again."
PAGE = 500
MOST_ALIKE = 2_000
VIEWS: Mapping[str, Mapping[str, Any]] = {
    "open": {"statuses": OPEN},
    "reviews": {"post_review": "due"},
    "closed": {"statuses": ("RESOLVED", "IGNORED")},
}
"""Waiting for a decision; decided by policy and to be looked at; decided, and to be undone where that was wrong."""
_NOT_CRITICAL = tuple(one.value for one in ConflictSeverity if one is not ConflictSeverity.CRITICAL)
_BY_UNIT = (ResolutionStrategy.MANUAL, ResolutionStrategy.MERGE)


def open_review_desk(home: Path | str | None = None) -> ReviewDesk:
    """The desk of the installation at `home`; by default of HOLOVITALS_HOME, found as `open_workbench` finds it."""
    return ReviewDesk(found_nearby(Settings() if home is None else Settings(home=Path(home))))


class ReviewDesk:
    """Every method opens the home for itself, so a notebook holds nothing up. Who acts is named each time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __repr__(self) -> str:
        if not self.is_there():
            return f"{self._settings.root}: {NO_STORE}"
        waiting = self.waiting()
        critical = int(waiting.loc[waiting["severity"] == "CRITICAL", "conflicts"].sum())
        total = int(waiting["conflicts"].sum())
        wait = "conflict waits" if total == 1 else "conflicts wait"
        return f"{self._settings.root}: {total:,} {wait} for a person, {critical:,} of them critical."

    def is_there(self) -> bool:
        """Whether there is a store to look at."""
        return self._settings.database_url is not None or (self._settings.root / "operational.sqlite").exists()

    def named(self, actor: str) -> str:
        """The name as decisions keep it. Raises StoreError (`actor.invalid`)."""
        with self._home() as home, home.database.read() as transaction:
            return person_named(transaction, actor)

    # --- looked at ----------------------------------------------------------------------------------------------

    def queue(self, view: str = "open", after: str | None = None, limit: int = PAGE) -> State:
        """A page of entries, the worst first; `after` is the last id of the page before, None when it was the last."""
        if not self.is_there():
            return {"entries": [], "after": None, "nothing": NO_STORE}
        with self._home() as home:
            found = matching_conflicts(home.database, **VIEWS[view], limit=limit, after=after)
        entries = [entry(conflict, elements) for conflict, elements in found]
        return {"entries": entries, "after": entries[-1]["id"] if len(entries) == limit else None, "nothing": None}

    def opened(self, conflict_id: str) -> State:
        """One conflict side by side: health data. Raises StoreError (`conflict.unknown`)."""
        with self._home() as home:
            return opened(show_conflict(home.database, conflict_id))

    def bodies(self, conflict_id: str) -> State:
        """The resources themselves, by side: health data."""
        with self._home() as home:
            return bodies(show_conflict(home.database, conflict_id))

    def waiting(self) -> pd.DataFrame:
        """One row a connection, resource type and severity: how many conflicts are open, and since when."""
        columns = ("severity", "connection", "resource_type", "conflicts", "oldest")
        named = sync_conflict.c
        query = (
            sa.select(
                named.severity, named.connection, named.resource_type, sa.func.count(), sa.func.min(named.detected_at)
            )
            .where(named.status.in_(OPEN))
            .group_by(named.severity, named.connection, named.resource_type)
        )
        frame = self._frame(query, columns)
        ranks = {severity.value: rank for rank, severity in enumerate(ConflictSeverity)}
        return frame.sort_values("severity", key=lambda graded: graded.map(ranks), kind="stable", ignore_index=True)

    def decided(self, limit: int = 20) -> pd.DataFrame:
        """One row a conflict that a person decided, the newest first, and what became of writing it to the vendor."""
        columns = (
            "conflict", "connection", "resource_type", "severity", "strategy", "decided_by", "approved_by",
            "decided_at", "status", "written",
        )  # fmt: skip
        named = sync_conflict.c
        newest = (
            sa.select(outbox.c.state)
            .where(outbox.c.link_id == named.link_id, outbox.c.created_at >= named.decided_at)
            .order_by(outbox.c.created_at.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = (
            sa.select(
                sa.func.substr(named.conflict_id, 1, 8), named.connection, named.resource_type, named.severity,
                named.strategy, named.decided_by, named.approved_by, named.decided_at, named.status, newest,
            )
            .where(named.decided_by.is_not(None), sa.not_(named.decided_by.startswith("policy:")))
            .order_by(named.decided_at.desc())
            .limit(limit)
        )  # fmt: skip
        return self._frame(query, columns)

    # --- decided ------------------------------------------------------------------------------------------------

    def decide(
        self,
        conflict_id: str,
        strategy: str,
        *,
        revision: int,
        actor: str,
        reason: str,
        choices: Mapping[str, Choice] | None = None,
    ) -> State:
        """As `holovitals conflicts resolve` does it. Raises StoreError, `conflict.stale` among others."""
        how = ResolutionStrategy(strategy)
        with self._home() as home:
            decide_conflict(
                home.database,
                conflict_id,
                how,
                revision=revision,
                actor=actor,
                reason=reason,
                choices=choices if how in _BY_UNIT else None,
            )
            return opened(show_conflict(home.database, conflict_id))

    def approve(self, conflict_id: str, *, revision: int, decision: str | None, actor: str) -> State:
        """A second person agrees to the decision that was shown under the code `decision`."""
        with self._home() as home:
            approve_conflict(home.database, conflict_id, revision=revision, decision=decision, actor=actor)
            return opened(show_conflict(home.database, conflict_id))

    def take_back(self, conflict_id: str, *, decision: str | None, actor: str) -> State:
        """The decision that was shown under the code `decision` is not to be applied. Refused once it has been."""
        with self._home() as home:
            withdraw_decision(home.database, conflict_id, decision=decision, actor=actor)
            return opened(show_conflict(home.database, conflict_id))

    def let_stand(self, conflict_id: str, *, actor: str) -> State:
        """A person has looked at an automatic decision, and it stands."""
        with self._home() as home:
            mark_reviewed(home.database, conflict_id, actor=actor)
            return opened(show_conflict(home.database, conflict_id))

    def undo(self, conflict_id: str, *, actor: str, reason: str) -> State:
        """A new version that restores what was before the decision; it flows out to the vendors."""
        with self._home() as home:
            undone = revert_conflict(home.database, conflict_id, actor=actor, reason=reason)
            shown = opened(show_conflict(home.database, conflict_id))
        return shown | {"undone": {"version": undone.record.version, "seq": undone.seq}}

    # --- several at once ----------------------------------------------------------------------------------------

    def alike(self, conflict_id: str) -> list[State]:
        """Open conflicts of the same connection, types and places that may be decided by the same decision."""
        with self._home() as home:
            shown = show_conflict(home.database, conflict_id)
            conflict = shown.conflict
            found = matching_conflicts(
                home.database,
                connection=conflict.connection,
                resource_type=conflict.resource_type,
                statuses=OPEN,
                severities=_NOT_CRITICAL,
                limit=MOST_ALIKE,
            )
            able = {one.conflict_id: (one, names) for one, names in found if for_one_decision(one)}
            with home.database.read() as transaction:
                units = units_of_many(transaction, [one for one, _ in able.values()]) if able else {}
        wanted = likeness(conflict, shown.open_units)
        return [
            entry(one, names)
            for one, names in able.values()
            if one.conflict_id != conflict_id and likeness(one, units[one.conflict_id]) == wanted
        ]

    def decide_alike(
        self,
        model_id: str,
        others: Sequence[tuple[str, int]],
        strategy: str,
        sides: Mapping[str, str],
        *,
        actor: str,
        reason: str,
    ) -> State:
        """Decide each of `others` (id and the revision that was listed) as the model was decided, each for itself.

        What is refused is told with its reason and stays as it was; the others are decided.
        """
        how = ResolutionStrategy(strategy)
        decided: list[str] = []
        refused: list[State] = []
        with self._home() as home:
            model = show_conflict(home.database, model_id)
            shared = sides_by_pattern(model, sides) if how in _BY_UNIT else {}
            if shared is None:
                raise StoreError(
                    "a value of one's own, or different sides for items of one list, fit no other conflict",
                    code="conflict.not_shared",
                    place=f"conflict {model_id}",
                    remedy="choose one side for each place, or decide them one by one",
                )
            wanted = likeness(model.conflict, model.open_units)
            for conflict_id, revision in others:
                try:
                    shown = show_conflict(home.database, conflict_id)
                    _refuse_unlike(shown, wanted)
                    choices = {unit.unit: Choice(shared[unit_pattern(unit)]) for unit in shown.open_units if shared}
                    decide_conflict(
                        home.database,
                        conflict_id,
                        how,
                        revision=revision,
                        actor=actor,
                        reason=reason,
                        choices=choices,
                    )
                    decided.append(conflict_id)
                except HoloVitalsError as error:
                    refused.append({"id": conflict_id, **told(error)})
        return {"decided": decided, "refused": refused}

    # --- policies, and the vendor -------------------------------------------------------------------------------

    def proposed_rows(self, conflict_id: str, strategy: str, sides: Mapping[str, str], *, actor: str) -> ProposedRows:
        """The policy rows that would decide so from now on; nothing is written."""
        with self._home() as home:
            shown = show_conflict(home.database, conflict_id)
            return propose_rows(home, shown, ResolutionStrategy(strategy), sides, actor=actor)

    def add_rows(
        self, conflict_id: str, strategy: str, sides: Mapping[str, str], *, actor: str, code: str
    ) -> ProposedRows:
        """Write the rows that were shown under `code`."""
        with self._home() as home:
            shown = show_conflict(home.database, conflict_id)
            return add_rows(home, shown, ResolutionStrategy(strategy), sides, actor=actor, code=code)

    def write_back(self, connection: str) -> JobReport:
        """Apply decisions and send what waits for this vendor now, as `holovitals writeback` does."""
        from holovitals_pipelines.engine.sync import run_sync  # all of the sync; looking needs none of it

        request = SyncRequest(connection, JobType.INCREMENTAL_SYNC, direction=Direction.OUTBOUND)
        with self._home() as home, ThreadPoolExecutor(1) as beside:  # a notebook's own thread runs an event loop
            return beside.submit(run_sync, home, request).result()

    # ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _home(self) -> Iterator[Home]:
        if not self.is_there():
            raise ConfigurationError(
                "there is no store yet",
                code="home.empty",
                place=str(self._settings.root),
                remedy="run «holovitals demo», or «holovitals sync»",
            )
        with open_home(self._settings) as home:
            yield home

    def _frame(self, query: sa.Select[Any], columns: Sequence[str]) -> pd.DataFrame:
        rows: list[tuple[Any, ...]] = []
        if self.is_there():
            with self._home() as home, home.database.read() as transaction:
                rows = [tuple(row) for row in transaction.execute(query)]
        return pd.DataFrame(rows, columns=list(columns))


def told(error: HoloVitalsError) -> State:
    """An error as the widget shows it."""
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def _refuse_unlike(shown: ShownConflict, wanted: tuple[Any, ...]) -> None:
    conflict: StoredConflict = shown.conflict
    if not for_one_decision(conflict) or likeness(conflict, shown.open_units) != wanted:
        raise StoreError(
            "it is not like the one that was decided, or no longer is",
            code="conflict.not_alike",
            place=f"conflict {conflict.conflict_id}",
            remedy="open it and decide it for itself",
        )
