"""Custom resolvers: nothing that goes wrong in one picks a value or stops the decider; what the shipped ones say."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.sync.merge import MISSING, Unit, UnitKind
from holovitals_pipelines.sync.policy import Row, Step
from holovitals_pipelines.sync.resolution import ConflictView, Deferred, Resolved, resolve
from holovitals_pipelines.sync.resolver_runs import ABSTAIN
from holovitals_pipelines.sync.resolvers import Resolvers, shipped_resolvers

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "Zyxwvut"
CONCEPT = {"coding": [{"code": "1"}], "text": SECRET}


def view(unit: Unit, resource_type: str = "Condition", **other: Any) -> ConflictView:
    facts = {
        "connection": "epic_main",
        "resource_type": resource_type,
        "conflict_type": ConflictType.UPDATE_UPDATE,
        "severity": ConflictSeverity.HIGH,
        "unit": unit,
        "local": {"code": {"text": SECRET}},
        "remote": {"code": CONCEPT},
        "base": None,
        "local_written_at": NOW,
        "remote_written_at": NOW,
        "now": NOW,
    }
    return ConflictView(**facts | other)


def unit(name: str, local: Any, remote: Any) -> Unit:
    element = name.partition("[")[0].partition(".")[0].partition("+")[0]
    return Unit(name, element, UnitKind.CONFLICT, MISSING, MISSING, local, remote)


CODE = unit("code", {"text": SECRET}, CONCEPT)


def run(
    function: Callable[[ConflictView], Any],
    seen: ConflictView | None = None,
    *,
    deadline: float = 5.0,
    step: Step | None = None,
) -> Resolved | Deferred:
    """What becomes of a conflict whose chain is the resolver, then REMOTE_WINS."""
    resolvers = Resolvers(deadline_seconds=deadline)
    resolvers.register("mine", 1, function)
    first = step or Step(ResolutionStrategy.CUSTOM, resolver="mine@1")
    row = Row("x", (first, Step(ResolutionStrategy.REMOTE_WINS)), resolvers=resolvers)
    return resolve(seen or view(CODE), row)


def test_a_resolvers_value_is_taken_and_named() -> None:
    decided = run(lambda seen: {"text": "joined"})
    assert decided == Resolved({"text": "joined"}, ResolutionStrategy.CUSTOM, "both", "resolver mine@1 by policy row x")
    assert run(lambda seen: seen.unit.local).side == "local"  # type: ignore[union-attr]
    as_option = run(lambda seen: seen.unit.remote, step=Step(ResolutionStrategy.MERGE, "custom", "mine@1"))
    assert isinstance(as_option, Resolved)
    assert (as_option.side, as_option.strategy) == ("remote", ResolutionStrategy.MERGE)


def test_a_resolver_that_abstains_leaves_it_to_the_next_step() -> None:
    decided = run(lambda seen: ABSTAIN)
    assert isinstance(decided, Resolved) and decided.strategy is ResolutionStrategy.REMOTE_WINS


def raising(error: BaseException) -> Callable[[ConflictView], Any]:
    def resolver(seen: ConflictView) -> Any:
        raise error

    return resolver


def endless(seen: ConflictView) -> Any:
    deep: list[Any] = []
    deep.append(deep)
    return deep


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (raising(ValueError(SECRET)), "raised ValueError"),
        (raising(KeyError(SECRET)), "raised KeyError"),
        (raising(SystemExit(1)), "raised SystemExit"),
        (raising(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (endless, "raised RecursionError"),
        (lambda seen: None, "not a JSON value"),
        (lambda seen: 1.5, "not a JSON value"),
        (lambda seen: {"text": {1}}, "not a JSON value"),
        (lambda seen: {1: "text"}, "not a JSON value"),
        (lambda seen: datetime(2026, 1, 1, tzinfo=UTC), "not a JSON value"),
        (lambda seen: SECRET, "another type"),
        (lambda seen: [seen.unit.local], "another type"),
        (lambda seen: Number("1.0"), "another type"),
        (lambda seen: MISSING, "removes what both sides have"),
    ],
)
def test_f21_whatever_goes_wrong_in_a_resolver_is_left_to_a_person(
    function: Callable[[ConflictView], Any], says: str
) -> None:
    for step in (None, Step(ResolutionStrategy.MERGE, "custom", "mine@1")):
        decided = run(function, step=step)
        assert isinstance(decided, Deferred)
        assert says in decided.why and "mine@1" in decided.why
        assert SECRET not in decided.why


def test_f21_a_resolver_that_answers_differently_the_second_time_is_not_believed() -> None:
    counter = itertools.count()
    decided = run(lambda seen: {"text": str(next(counter))})
    assert isinstance(decided, Deferred) and "two answers" in decided.why
    truths = itertools.cycle([{"rank": 1}, {"rank": True}])
    assert isinstance(run(lambda seen: next(truths)), Deferred)


def test_f21_a_resolver_cannot_change_what_it_looks_at() -> None:
    def vandal(seen: ConflictView) -> Any:
        for document in (seen.unit.local, seen.unit.remote, seen.local, seen.remote):
            document.clear()
        return {"text": "clean"}

    seen = view(unit("code", {"coding": [{"code": "1"}]}, {"text": "b"}), local={"a": [1]}, remote={"b": {"c": 1}})
    assert run(vandal, seen) == run(lambda seen: {"text": "clean"}, seen)
    assert seen == view(
        unit("code", {"coding": [{"code": "1"}]}, {"text": "b"}), local={"a": [1]}, remote={"b": {"c": 1}}
    )


def test_f21_a_value_that_a_resolver_keeps_is_not_the_one_that_is_used() -> None:
    kept: list[Any] = []

    def hoarder(seen: ConflictView) -> Any:
        kept.append({"text": "a"})
        return kept[-1]

    decided = run(hoarder)
    for value in kept:
        value["text"] = "changed afterwards"
    assert isinstance(decided, Resolved) and decided.value == {"text": "a"}


def test_f21_a_resolver_cannot_reach_elements_outside_its_unit() -> None:
    statuses = unit("status+statusReason", {"status": "active"}, {"status": "on-hold", "statusReason": {"text": "x"}})
    outside = run(lambda seen: {"status": "active", "subject": {"reference": "Patient/2"}}, view(statuses))
    assert isinstance(outside, Deferred) and "elements that the unit does not have" in outside.why
    inside = run(lambda seen: {"status": "active", "statusReason": {"text": "y"}}, view(statuses))
    assert isinstance(inside, Resolved)
    dates = unit("recordedDate", {"recordedDate": "2026"}, {"recordedDate": "2025", "_recordedDate": {"id": "1"}})
    assert isinstance(run(lambda seen: {"recordedDate": "2026", "code": {}}, view(dates)), Deferred)


def test_f21_a_resolver_that_loops_for_ever_is_stopped_and_the_decider_goes_on() -> None:
    running: list[threading.Thread] = []

    def loop(seen: ConflictView) -> Any:
        running.append(threading.current_thread())
        while True:
            pass

    began = time.monotonic()
    decided = run(loop, deadline=0.2)
    assert isinstance(decided, Deferred) and "in time" in decided.why
    assert time.monotonic() - began < 30
    assert isinstance(run(lambda seen: seen.unit.local), Resolved)
    (thread,) = running
    thread.join(30)
    assert not thread.is_alive()


def test_f21_a_resolver_that_cannot_be_stopped_is_left_behind_once() -> None:
    released: list[bool] = []
    calls: list[int] = []

    def stubborn(seen: ConflictView) -> Any:
        calls.append(1)
        while not released:
            try:
                while not released:
                    time.sleep(0.01)
            except BaseException:
                continue
        return seen.unit.local

    resolvers = Resolvers(deadline_seconds=0.2)
    resolvers.register("stubborn", 1, stubborn)
    row = Row("x", (Step(ResolutionStrategy.CUSTOM, resolver="stubborn@1"),), resolvers=resolvers)
    outcomes = [resolve(view(CODE), row) for _ in range(20)]
    released.append(True)
    assert all(isinstance(outcome, Deferred) for outcome in outcomes)
    assert "still running" in outcomes[-1].why and len(calls) == 1
    for _ in range(100):
        if isinstance(resolve(view(CODE), row), Resolved):
            break
        time.sleep(0.05)
    else:
        pytest.fail("a resolver that has come back is asked again")


def test_a_resolver_that_nobody_registered_is_left_to_a_person() -> None:
    row = Row("x", (Step(ResolutionStrategy.CUSTOM, resolver="nobody@1"), Step(ResolutionStrategy.REMOTE_WINS)))
    assert isinstance(resolve(view(CODE), row), Deferred)


def test_a_version_is_registered_once_and_registries_do_not_know_each_other() -> None:
    resolvers = shipped_resolvers()
    assert resolvers.names() == ("authoritative_lab@1", "cautious@1")
    resolvers.register("cautious", 2, lambda seen: ABSTAIN)
    with pytest.raises(ConfigurationError, match=r"cautious@1 is registered already"):
        resolvers.register("cautious", 1, lambda seen: ABSTAIN)
    for name, version in (("Cautious", 1), ("a b", 1), ("", 1), ("x@1", 1), ("x", 0)):
        with pytest.raises(ConfigurationError):
            resolvers.register(name, version, lambda seen: ABSTAIN)
    assert "cautious@2" not in shipped_resolvers()


# cautious@1


def concept(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


def shipped(name: str, seen: ConflictView) -> str:
    """The side a shipped resolver takes; `nobody` where it abstains."""
    row = Row("x", (Step(ResolutionStrategy.CUSTOM, resolver=name),), resolvers=shipped_resolvers(deadline_seconds=5.0))
    decided = resolve(seen, row)
    return decided.side if isinstance(decided, Resolved) else "nobody"


def statuses(clinical: str | None, verification: str) -> dict[str, Any]:
    return {"verificationStatus": concept(verification)} | ({"clinicalStatus": concept(clinical)} if clinical else {})


@pytest.mark.parametrize(
    ("name", "local", "remote", "side"),
    [
        (
            "clinicalStatus+verificationStatus",
            statuses("active", "confirmed"),
            statuses("resolved", "confirmed"),
            "local",
        ),
        (
            "clinicalStatus+verificationStatus",
            statuses("resolved", "confirmed"),
            statuses("active", "confirmed"),
            "remote",
        ),
        (
            "clinicalStatus+verificationStatus",
            statuses("active", "confirmed"),
            statuses("active", "unconfirmed"),
            "local",
        ),
        (
            "clinicalStatus+verificationStatus",
            statuses("active", "confirmed"),
            statuses("inactive", "unconfirmed"),
            "local",
        ),
        (
            "clinicalStatus+verificationStatus",
            statuses("active", "unconfirmed"),
            statuses("inactive", "confirmed"),
            "nobody",
        ),
        ("clinicalStatus+verificationStatus", statuses("active", "confirmed"), statuses("active", "refuted"), "nobody"),
        (
            "clinicalStatus+verificationStatus",
            statuses("active", "confirmed"),
            statuses(None, "entered-in-error"),
            "nobody",
        ),
        ("criticality", "low", "high", "remote"),
        ("criticality", "unable-to-assess", "low", "local"),
        ("criticality", "high", MISSING, "nobody"),
        ("code", concept("active"), concept("resolved"), "nobody"),
    ],
)
def test_cautious_takes_the_side_that_warns_more(name: str, local: Any, remote: Any, side: str) -> None:
    seen = view(unit(name, local, remote), "AllergyIntolerance")
    assert shipped("cautious@1", seen) == side
    mirrored = {"local": "remote", "remote": "local", "nobody": "nobody"}[side]
    assert shipped("cautious@1", view(unit(name, remote, local), "AllergyIntolerance")) == mirrored


def test_cautious_speaks_of_allergies_and_problems_only() -> None:
    status = unit(
        "clinicalStatus+verificationStatus", statuses("active", "confirmed"), statuses("resolved", "confirmed")
    )
    assert shipped("cautious@1", view(status, "Condition")) == "local"
    assert shipped("cautious@1", view(status, "Basic")) == "nobody"


# authoritative_lab@1

VALUE = "value[x]+dataAbsentReason+interpretation+referenceRange"


def lab(status: str, category: str = "laboratory") -> dict[str, Any]:
    return {"resourceType": "Observation", "status": status, "category": [concept(category)]}


def result(ours: str, theirs: str, name: str = VALUE, **other: Any) -> ConflictView:
    sides = {"local": lab(ours), "remote": lab(theirs)} | other
    return view(unit(name, {"valueString": "a"}, {"valueString": "b"}), "Observation", **sides)


@pytest.mark.parametrize(
    ("ours", "theirs", "side"),
    [
        ("preliminary", "final", "remote"),
        ("final", "final", "remote"),
        ("final", "corrected", "remote"),
        ("corrected", "final", "nobody"),
        ("amended", "final", "nobody"),
        ("corrected", "amended", "nobody"),
        ("preliminary", "preliminary", "nobody"),
        ("final", "preliminary", "nobody"),
        ("final", "entered-in-error", "nobody"),
        ("entered-in-error", "final", "nobody"),
        ("unknown", "final", "nobody"),
    ],
)
def test_the_laboratory_is_believed_of_final_results_never_over_a_correction(ours: str, theirs: str, side: str) -> None:
    assert shipped("authoritative_lab@1", result(ours, theirs)) == side


def test_of_two_corrections_the_laboratorys_counts_only_where_it_is_later() -> None:
    both = result("corrected", "corrected")
    assert shipped("authoritative_lab@1", replace(both, local_written_at=NOW - timedelta(minutes=1))) == "remote"
    assert shipped("authoritative_lab@1", replace(both, remote_written_at=NOW - timedelta(minutes=1))) == "nobody"
    assert shipped("authoritative_lab@1", replace(both, remote_written_at=None)) == "nobody"


def test_the_laboratory_is_asked_about_laboratory_results_only() -> None:
    assert shipped("authoritative_lab@1", result("final", "final", remote=lab("final", "vital-signs"))) == "nobody"
    assert shipped("authoritative_lab@1", result("final", "final", "subject")) == "nobody"
    assert shipped("authoritative_lab@1", result("final", "final", "effective[x]")) == "remote"
    assert shipped("authoritative_lab@1", result("final", "final", "component[1].value[x]+interpretation")) == "remote"
    assert shipped("authoritative_lab@1", replace(result("final", "final"), resource_type="Condition")) == "nobody"
    gone = result("final", "final")
    for value in (MISSING, {}):
        assert shipped("authoritative_lab@1", replace(gone, unit=replace(gone.unit, remote=value))) == "nobody"


@pytest.mark.parametrize("name", ["cautious@1", "authoritative_lab@1"])
def test_the_shipped_resolvers_survive_documents_of_any_shape(name: str) -> None:
    shapes: list[Any] = [None, True, 1, "x", [], [1], {}, {"coding": 1}, {"coding": [1, {"code": 1}]}]
    for resource_type in ("AllergyIntolerance", "Observation"):
        for shape in shapes:
            document = {"status": shape, "category": shape}
            seen = view(
                unit("clinicalStatus+verificationStatus", shape, "x"), resource_type, local=document, remote=document
            )
            row = Row("x", (Step(ResolutionStrategy.CUSTOM, resolver=name),), resolvers=shipped_resolvers())
            assert "raised" not in resolve(seen, row).why
