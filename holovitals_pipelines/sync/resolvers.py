"""The resolvers that policies may name, and the two we ship: `cautious@1` and `authoritative_lab@1`.

Law: a policy names a resolver, it never contains one; only a registration made in code leads from text to code.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Final

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sync.concepts import codes, element_of
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.resolver_runs import ABSTAIN, Failure, Resolver, run_apart
from holovitals_pipelines.sync.unit_paths import UnitPattern, members, places

if TYPE_CHECKING:
    from holovitals_pipelines.model.writing import Document
    from holovitals_pipelines.sync.resolution import ConflictView


class Resolvers:
    """Registered resolvers by `name@version`. No version is given twice: what decided yesterday can be named today."""

    def __init__(self, *, deadline_seconds: float = 1.0) -> None:
        self._functions: dict[str, Resolver] = {}
        self._stuck: dict[str, threading.Thread] = {}
        self._deadline = deadline_seconds

    def register(self, name: str, version: int, function: Resolver) -> None:
        """Raises ConfigurationError for a name that is taken or is none (lower case letters, digits, underscore)."""
        full = f"{name}@{version}"
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}@[1-9][0-9]{0,8}", full):
            raise ConfigurationError(
                f"{full!r} is no name and version of a resolver",
                code="resolvers.name",
                remedy="lower case letters, digits and underscores; versions count from 1",
            )
        if full in self._functions:
            raise ConfigurationError(
                f"a resolver {full} is registered already",
                code="resolvers.taken",
                remedy="give changed behaviour a new version",
            )
        self._functions[full] = function

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._functions))

    def run(self, name: str, view: ConflictView) -> Any:
        """What the resolver answers: a JSON value, MISSING, ABSTAIN; or a Failure. Raises nothing.

        At most one call of each resolver can be left behind: while one is, further calls fail at once.
        """
        function = self._functions.get(name)
        if function is None:
            return Failure("is not registered")
        if name in self._stuck and self._stuck[name].is_alive():
            return Failure("is still running from an earlier call")
        answer = run_apart(function, view, self._deadline)
        if isinstance(answer, Failure) and answer.stuck is not None:
            self._stuck[name] = answer.stuck
        return answer


def shipped_resolvers(*, deadline_seconds: float = 1.0) -> Resolvers:
    """A new registry that holds ours; add your own to it and pass it to `load_policy`."""
    resolvers = Resolvers(deadline_seconds=deadline_seconds)
    resolvers.register("cautious", 1, cautious)
    resolvers.register("authoritative_lab", 1, authoritative_lab)
    return resolvers


_CAUTION: Final = {
    "clinicalStatus": {"active": 2, "recurrence": 2, "relapse": 2, "inactive": 1, "remission": 1, "resolved": 1},
    "verificationStatus": {"confirmed": 2, "unconfirmed": 1, "provisional": 1, "differential": 1},
    "criticality": {"high": 3, "unable-to-assess": 2, "low": 1},
}


def cautious(view: ConflictView) -> Any:
    """The side that warns more: active over resolved, confirmed over unconfirmed, the higher criticality.

    Allergies and problems only. Abstains where each side warns more in one respect, and where a status says something
    about the record itself (refuted, entered-in-error) rather than about the patient.
    """
    if view.resource_type not in ("AllergyIntolerance", "Condition"):
        return ABSTAIN
    unit = view.unit
    ahead = set()
    for element in [place[0] for place in places(unit) if place in {(name,) for name in _CAUTION}]:
        local, remote = (codes(element_of(value, element)) for value in (unit.local, unit.remote))
        if local == remote:
            continue
        ranks = [[_CAUTION[element].get(code) for code in side] for side in (local, remote)]
        ours, theirs = (rank[0] if len(rank) == 1 else None for rank in ranks)
        if ours is None or theirs is None:
            return ABSTAIN
        if ours != theirs:
            ahead.add("local" if ours > theirs else "remote")
    if len(ahead) != 1:
        return ABSTAIN
    return unit.local if ahead == {"local"} else unit.remote


_RESULT_TEXT: Final = """
value[x] dataAbsentReason interpretation referenceRange component status effective[x] issued method specimen conclusion
conclusionCode result presentedForm
"""
_RESULT: Final = [UnitPattern(element) for element in _RESULT_TEXT.split()]
_CORRECTED: Final = 2
_REPORTED: Final = {"final": 1, "corrected": _CORRECTED, "amended": _CORRECTED, "appended": _CORRECTED}


def authoritative_lab(view: ConflictView) -> Any:
    """The vendor's side of a final laboratory result: its category is laboratory, its status final or beyond.

    Abstains outside the result itself, where the vendor has no value, where local has been corrected or amended and the
    vendor has not (or not later, by the times of writing), and where a side says entered-in-error or cancelled.
    """
    local, remote = view.local, view.remote
    if view.resource_type not in ("Observation", "DiagnosticReport") or local is None or remote is None:
        return ABSTAIN
    unit = view.unit
    if unit.remote is MISSING or unit.remote == {} or not _is_result(unit) or not _is_laboratory(remote):
        return ABSTAIN
    ours, theirs = _stage(local), _stage(remote)
    if ours is None or theirs is None or theirs == 0 or ours > theirs:
        return ABSTAIN
    if ours == theirs == _CORRECTED and not _later_there(view):
        return ABSTAIN
    return unit.remote


def _is_result(unit: Unit) -> bool:
    return all(any(pattern.covers(place) for pattern in _RESULT) for place in members(unit.name))


def _is_laboratory(document: Document) -> bool:
    category = document.get("category")
    return any({"laboratory", "LAB"} & codes(concept) for concept in category) if isinstance(category, list) else False


def _stage(document: Document) -> int | None:
    """0 not reported yet, 1 final, 2 corrected since; None: withdrawn, or a status that says neither."""
    status = document.get("status")
    if status in ("registered", "partial", "preliminary"):
        return 0
    return _REPORTED.get(status) if isinstance(status, str) else None


def _later_there(view: ConflictView) -> bool:
    ours, theirs = view.local_written_at, view.remote_written_at
    if ours is None or theirs is None or ours.tzinfo is None or theirs.tzinfo is None:
        return False
    return (theirs - ours).total_seconds() > view.tie_seconds
