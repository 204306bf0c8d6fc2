"""The wall clock and the random ids of use cases that people call, replaced by the schedule's own.

Law: only this process's time and ids are replaced; no step of the product is.
"""

from __future__ import annotations

import datetime as real
from collections.abc import Callable
from typing import Any
from uuid import UUID

from holovitals_pipelines.engine import linking, local_records, review

UTC = real.UTC
_now: list[Callable[[], real.datetime]] = []
_new_id: list[Callable[[], str]] = []


class Instants(real.datetime):
    """`datetime` whose `now` is the schedule's."""

    @classmethod
    def now(cls, tz: Any = None) -> real.datetime:  # type: ignore[override]
        return _now[-1]()


def _uuid4() -> UUID:
    return UUID(_new_id[-1]())


_REPLACED = (("datetime", Instants), ("uuid4", _uuid4))
_own = [(module, name, getattr(module, name)) for module in (linking, local_records, review)
        for name, _ in _REPLACED if hasattr(module, name)]  # fmt: skip


def pin(now: Callable[[], real.datetime], new_id: Callable[[], str]) -> None:
    _now[:], _new_id[:] = [now], [new_id]
    for module, name, _ in _own:
        setattr(module, name, dict(_REPLACED)[name])


def release() -> None:
    """The process's own time and ids again: the schedule is over."""
    for module, name, own in _own:
        setattr(module, name, own)
