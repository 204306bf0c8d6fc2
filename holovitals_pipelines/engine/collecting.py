"""Rarer garbage collections while a job works: with the usual thresholds they cost a third of a large reconcile.

Rows come and go by the million and hold no cycles; what the collector walks again and again is everything else.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (50_000, 20, 100)
_lock = threading.Lock()
_users: list[tuple[int, int, int]] = []
"""The thresholds that were in force, once for each job that is at work in this process."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """What is there is left alone, what comes is looked at seldom; all as before at the end of the last user."""
    with _lock:
        _users.append(_users[-1] if _users else gc.get_threshold())
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        with _lock:
            before = _users.pop()
            if not _users:
                gc.unfreeze()
                gc.set_threshold(*before)
