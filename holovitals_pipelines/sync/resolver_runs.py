"""Run a custom resolver apart: on copies, twice, with a deadline, and look at its answer before anyone uses it.

Law: whatever goes wrong is a `Failure`, never a value, and the decider goes on. A resolver that runs Python code is
stopped at the deadline; one that sleeps or waits in a system call is left behind; one whose C code holds the
interpreter's lock stops everything, which no thread can prevent: such a resolver must not be registered.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from holovitals_pipelines.fhir.exact import Number, exactly_equal
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.quantities import is_number
from holovitals_pipelines.sync.unit_paths import has_sidecar, is_group

if TYPE_CHECKING:
    from holovitals_pipelines.sync.resolution import ConflictView


class Abstain(Enum):
    """A resolver's answer where the unit is none of its business: the chain goes on."""

    ABSTAIN = "abstain"


ABSTAIN: Final = Abstain.ABSTAIN

Resolver = Callable[["ConflictView"], Any]
"""From all that may be looked at to the value both sides are to hold, or ABSTAIN. Pure: no clock, no state, no I/O."""


@dataclass(frozen=True, slots=True)
class Failure:
    why: str
    """For people and the log: names only, never values."""
    stuck: threading.Thread | None = None
    """The thread that is still running, where it could not be stopped."""


class _TimeUp(SystemExit):
    """Raised inside the resolver's thread; threads end on a SystemExit without a word."""


def run_apart(function: Resolver, view: ConflictView, deadline_seconds: float) -> Any:
    """The resolver's answer (a JSON value, MISSING or ABSTAIN), or a Failure. Raises nothing."""
    answers: list[Any] = []
    views = (_copied_view(view), _copied_view(view))
    thread = threading.Thread(target=_attempt, args=(function, views, answers), name="resolver", daemon=True)
    thread.start()
    thread.join(deadline_seconds)
    if not answers:
        return Failure("gave no answer in time", _stop(thread))
    answer = answers[0]
    return answer if isinstance(answer, Failure) else _fitting(answer, view.unit)


def _attempt(function: Resolver, views: tuple[ConflictView, ConflictView], answers: list[Any]) -> None:
    try:
        first, second = (function(view) for view in views)
        if not (_is_answer(first) and _is_answer(second)):
            answers.append(Failure("answered with something that is not a JSON value"))
        elif not exactly_equal(first, second):
            answers.append(Failure("gave two answers to one question"))
        else:
            answers.append(_copied(first))
    except BaseException as error:  # noqa: BLE001  a resolver may raise anything; none of it may end the decider
        # Its text could hold values of the resource.
        answers.append(Failure(f"raised {type(error).__name__}"))


def _stop(thread: threading.Thread) -> threading.Thread | None:
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
    thread.join(0.1)
    return thread if thread.is_alive() else None


def _fitting(answer: Any, unit: Unit) -> Any:
    """The answer, where it can be the unit's value: of a kind a side has, and no element of another unit in it."""
    if answer is ABSTAIN:
        return answer
    if answer is MISSING:
        return answer if MISSING in (unit.local, unit.remote) else Failure("removes what both sides have")
    held = [value for value in (unit.local, unit.remote, unit.base_local, unit.base_remote) if value is not MISSING]
    if _kind(answer) not in {_kind(value) for value in held}:
        return Failure("answered with a value of another type")
    if isinstance(answer, dict):
        known = {key for value in held if isinstance(value, dict) for key in value}
        if (is_group(unit.name) or has_sidecar(unit)) and not answer.keys() <= known:
            return Failure("answered with elements that the unit does not have")
    return answer


def _kind(value: Any) -> str:
    if is_number(value):
        return "number"
    return "string" if isinstance(value, str) else type(value).__name__


def _is_answer(value: Any) -> bool:
    return value is ABSTAIN or value is MISSING or (value is not None and _is_json(value))


def _is_json(value: Any) -> bool:
    """Whether documents can hold it: no floats, which have lost digits already."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return value is None or type(value) in (str, Number, bool, int)


def _copied_view(view: ConflictView) -> ConflictView:
    unit = view.unit
    return replace(
        view,
        unit=replace(
            unit,
            base_local=_copied(unit.base_local),
            base_remote=_copied(unit.base_remote),
            local=_copied(unit.local),
            remote=_copied(unit.remote),
        ),
        local=_copied(view.local),
        remote=_copied(view.remote),
        base=_copied(view.base),
    )


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
