"""Crashes: a process dies between two steps, and what it had not committed is gone.

Law: a failpoint is named by who was about to do what; the product knows nothing of them.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from types import TracebackType

import sqlalchemy as sa

from holovitals_pipelines.store.database import Database


class Crash(BaseException):
    """The process was killed at a failpoint. No `except Exception` of the product may stop it."""

    def __init__(self, name: str, *, committed: bool = False) -> None:
        super().__init__(name)
        self.committed = committed


class Failpoints:
    """Where a schedule may crash: by chance, or at the planned (name, hit)."""

    def __init__(self, chance: random.Random, probability: float, plan: tuple[str, int] | None = None) -> None:
        self.chance = chance
        self.probability = probability
        self.plan = plan
        self.hits: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.armed = True
        self.dead = False
        """The process is gone: whatever of it still runs gets no further."""

    @classmethod
    def none(cls) -> Failpoints:
        """Between schedules nobody is killed."""
        failpoints = cls(random.Random(0), 0.0)
        failpoints.armed = False
        return failpoints

    def reach(self, name: str, *, committed: bool = False) -> None:
        if self.dead:
            raise Crash("dead")
        if not self.armed:
            return
        self.hits[name] += 1
        planned = self.plan == (name, self.hits[name])
        if planned or (self.probability and self.chance.random() < self.probability):
            self.crashes[name] += 1
            self.dead = True
            raise Crash(name, committed=committed)


class CrashingDatabase(Database):
    """The operational store of a process that may be killed right before and right after each commit."""

    failpoints: Failpoints

    def write(self) -> _Transaction:  # type: ignore[override]
        caller = sys._getframe(1)
        place = f"{caller.f_globals['__name__'].rpartition('.')[2]}.{caller.f_code.co_name}"
        return _Transaction(self, place)

    def reopen(self) -> None:
        """As after a kill: connections are gone, and with them whatever was not committed."""
        self._engine.dispose()


class _Transaction:
    def __init__(self, database: CrashingDatabase, place: str) -> None:
        self._database = database
        self._place = place

    def __enter__(self) -> sa.Connection:
        if self._database.failpoints.dead:
            raise Crash("dead")
        self._inner = Database.write(self._database)
        return self._inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        failpoints = self._database.failpoints
        if error is not None:
            return self._inner.__exit__(kind, error, trace)
        try:
            failpoints.reach(f"{self._place}: before commit")
        except Crash as crash:
            self._inner.__exit__(Crash, crash, crash.__traceback__)
            raise
        self._inner.__exit__(None, None, None)
        failpoints.reach(f"{self._place}: after commit", committed=True)
        return None
