"""Many calls of a function that is not ours, each with a limit of time.

Law: whatever a call does costs its own row at most, and the rows after it go on. As with resolvers, Python code is
stopped at its limit, a call that waits in the system is left behind, and one whose C code holds the interpreter's lock
stops everything, which no thread can prevent.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

FAILED: Final = "failed"
TIMED_OUT: Final = "timed_out"

Answer = tuple[Any, str | None]
"""A value, or a failure's code."""

_LEFT_BEHIND_AT_MOST: Final = 3
_TOO_SLOW_AT_MOST: Final = 10
"""Calls over their limit in one batch; after them the rest is not tried: a batch has to end."""


class _TimeUp(SystemExit):
    """Raised inside the thread; threads end on a SystemExit without a word."""


@dataclass
class TimeBox:
    """The threads that one function has left behind. While there are too many, it is not called at all."""

    seconds: float
    """For one call. Between once and twice as much is given: the caller looks in that rhythm."""
    stuck: list[threading.Thread] = field(default_factory=list)

    def answers(self, call: Callable[[Any], Answer], rows: Sequence[Any]) -> list[Answer]:
        """Each row's answer, or None and a code: failed for whatever `call` raises, timed_out."""
        answers: list[Answer] = []
        slow = 0
        while len(answers) < len(rows):
            self.stuck = [thread for thread in self.stuck if thread.is_alive()]
            if slow >= _TOO_SLOW_AT_MOST or len(self.stuck) >= _LEFT_BEHIND_AT_MOST:
                return answers + [(None, TIMED_OUT)] * (len(rows) - len(answers))
            run = _Run(call, rows[len(answers) :])
            overdue = run.wait(self.seconds)
            answers += run.answers
            if overdue is not None:
                slow += 1
                self.stuck += overdue.left_behind
                # Otherwise it answered in the last moment, and the row after it was hit: that one is tried again.
                if len(run.answers) == overdue.row:
                    answers.append((None, TIMED_OUT))
        return answers


@dataclass(frozen=True)
class _Overdue:
    row: int
    left_behind: list[threading.Thread]


class _Run:
    """One thread going through rows, until it is done or a row takes too long."""

    def __init__(self, call: Callable[[Any], Answer], rows: Sequence[Any]) -> None:
        self._call = call
        self._rows = rows
        self._made: list[Answer] = []
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="transform function", daemon=True)
        self.answers: Sequence[Answer] = ()

    def _work(self) -> None:
        made, call = self._made, self._call
        for row in self._rows:
            try:
                answer = call(row)
            except _TimeUp:
                return
            except BaseException:  # noqa: BLE001  whatever it is, it ends no thread unseen
                answer = (None, FAILED)
            made.append(answer)
            if self._abandoned:
                return

    def wait(self, seconds: float) -> _Overdue | None:
        """The row that took too long, if one did; afterwards `answers` holds those before it."""
        self._thread.start()
        seen, since = 0, time.monotonic()
        while True:
            self._thread.join(seconds)
            row, now = len(self._made), time.monotonic()
            if not self._thread.is_alive():
                self.answers = self._made
                return None
            if row != seen:
                seen, since = row, now
            elif now - since >= seconds:
                return self._end(row)

    def _end(self, row: int) -> _Overdue:
        self._abandoned = True
        _interrupt(self._thread)
        self._thread.join(0.1)
        self.answers = tuple(self._made)
        return _Overdue(row, [self._thread] if self._thread.is_alive() else [])


def _interrupt(thread: threading.Thread) -> None:
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
