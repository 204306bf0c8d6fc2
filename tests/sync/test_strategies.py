"""The seven strategies: what each gives for each type of conflict and severity, ties of time, and merge options."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.sync.merge import MISSING, Unit, UnitKind
from holovitals_pipelines.sync.policy import Row, Step, default_policy, load_policy
from holovitals_pipelines.sync.resolution import ConflictView, Deferred, Resolved, resolve
from holovitals_pipelines.sync.resolvers import shipped_resolvers

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DELETES = ("UPDATE_DELETE", "DELETE_UPDATE")
LAST, FIRST = ResolutionStrategy.LAST_WRITE_WINS, ResolutionStrategy.FIRST_WRITE_WINS


def view(unit: Unit, kind: str = "UPDATE_UPDATE", severity: str = "MEDIUM", **other: Any) -> ConflictView:
    facts = {
        "connection": "epic_main",
        "resource_type": "Patient",
        "conflict_type": ConflictType[kind],
        "severity": ConflictSeverity[severity],
        "unit": unit,
        "local": {},
        "remote": {},
        "base": {},
        "local_written_at": NOW - timedelta(hours=2),
        "remote_written_at": NOW - timedelta(hours=1),
        "now": NOW,
    }
    return ConflictView(**facts | other)


def unit(name: str, local: Any, remote: Any, base: Any = MISSING) -> Unit:
    element = name.partition("[")[0].partition(".")[0]
    return Unit(name, element, UnitKind.CONFLICT, base, base, local, remote)


def of_type(kind: str) -> Unit:
    """A conflict of the type: in one unit, or in the whole document where a delete met an update."""
    document = {"resourceType": "Patient", "id": "1"}
    sides = {"UPDATE_DELETE": (document, MISSING), "DELETE_UPDATE": (MISSING, document)}
    return (
        unit("*", *sides[kind], base=document) if kind in sides else unit("maritalStatus", {"text": "a"}, {"text": "b"})
    )


# Remote wrote an hour later than local. `theirs@1` answers with remote's value, or with local's where remote has none.
TABLE = """
                                    CRITICAL  HIGH    MEDIUM  LOW
    UPDATE_UPDATE LAST_WRITE_WINS   defer     remote  remote  remote
    UPDATE_UPDATE FIRST_WRITE_WINS  defer     local   local   local
    UPDATE_UPDATE LOCAL_WINS        defer     local   local   local
    UPDATE_UPDATE REMOTE_WINS       defer     remote  remote  remote
    UPDATE_UPDATE MERGE             defer     defer   defer   defer
    UPDATE_UPDATE MANUAL            defer     defer   defer   defer
    UPDATE_UPDATE CUSTOM            defer     remote  remote  remote
    UPDATE_DELETE LAST_WRITE_WINS   defer     remote  remote  remote
    UPDATE_DELETE FIRST_WRITE_WINS  defer     local   local   local
    UPDATE_DELETE LOCAL_WINS        defer     local   local   local
    UPDATE_DELETE REMOTE_WINS       defer     remote  remote  remote
    UPDATE_DELETE MERGE             defer     local   local   local
    UPDATE_DELETE MANUAL            defer     defer   defer   defer
    UPDATE_DELETE CUSTOM            defer     local   local   local
    DELETE_UPDATE LAST_WRITE_WINS   defer     remote  remote  remote
    DELETE_UPDATE FIRST_WRITE_WINS  defer     local   local   local
    DELETE_UPDATE LOCAL_WINS        defer     local   local   local
    DELETE_UPDATE REMOTE_WINS       defer     remote  remote  remote
    DELETE_UPDATE MERGE             defer     remote  remote  remote
    DELETE_UPDATE MANUAL            defer     defer   defer   defer
    DELETE_UPDATE CUSTOM            defer     remote  remote  remote
    CREATE_CREATE LAST_WRITE_WINS   defer     remote  remote  remote
    CREATE_CREATE FIRST_WRITE_WINS  defer     local   local   local
    CREATE_CREATE LOCAL_WINS        defer     local   local   local
    CREATE_CREATE REMOTE_WINS       defer     remote  remote  remote
    CREATE_CREATE MERGE             defer     defer   defer   defer
    CREATE_CREATE MANUAL            defer     defer   defer   defer
    CREATE_CREATE CUSTOM            defer     remote  remote  remote
"""


def cells() -> list[tuple[str, str, str, str]]:
    header, *lines = [line.split() for line in TABLE.strip().splitlines()]
    return [
        (kind, strategy, severity, outcome)
        for kind, strategy, *outcomes in lines
        for severity, outcome in zip(header, outcomes, strict=True)
    ]


def theirs(seen: ConflictView) -> Any:
    return seen.unit.local if seen.unit.remote is MISSING else seen.unit.remote


def policy_text(kind: str, strategy: str, severity: str | None) -> str:
    step = "{strategy: CUSTOM, resolver: theirs@1}" if strategy == "CUSTOM" else strategy
    match = f"type: {kind}" + (f", severity: {severity}" if severity else "")
    return f'version: "1"\nrows:\n  - name: the-row\n    match: {{{match}}}\n    chain: [{step}]\n'


def test_a7_the_table_has_every_type_strategy_and_severity_once() -> None:
    found = {(kind, strategy, severity) for kind, strategy, severity, _ in cells()}
    everything = {
        (k.value, s.value, v.value) for k in ConflictType for s in ResolutionStrategy for v in ConflictSeverity
    }
    assert found == everything and len(cells()) == 112


@pytest.mark.parametrize(("kind", "strategy", "severity", "outcome"), cells())
def test_a7_every_strategy_does_what_the_table_says(kind: str, strategy: str, severity: str, outcome: str) -> None:
    resolvers = shipped_resolvers()
    resolvers.register("theirs", 1, theirs)
    named = policy_text(kind, strategy, severity)
    if severity == "CRITICAL" and strategy != "MANUAL":
        with pytest.raises(ConfigurationError, match="decided by people"):
            load_policy(named, "policy.yml", resolvers=resolvers)
    else:
        load_policy(named, "policy.yml", resolvers=resolvers)
    policy = load_policy(policy_text(kind, strategy, None), "policy.yml", resolvers=resolvers)
    conflict = of_type(kind)
    row = policy.row_for(
        connection="epic_main",
        resource_type="Patient",
        unit=conflict.name,
        conflict_type=ConflictType[kind],
        severity=ConflictSeverity[severity],
    )
    assert row.name == "the-row"
    decided = resolve(view(conflict, kind, severity), row)
    if outcome == "defer":
        assert isinstance(decided, Deferred)
    else:
        assert isinstance(decided, Resolved)
        assert (decided.strategy.value, decided.side) == (strategy, outcome)
        assert decided.value is getattr(conflict, outcome) or decided.value == getattr(conflict, outcome)


@pytest.mark.parametrize("strategy", list(ResolutionStrategy))
@pytest.mark.parametrize("tie", [None, *(ResolutionStrategy[name] for name in ("LOCAL_WINS", "REMOTE_WINS"))])
def test_a8_no_chain_decides_a_critical_conflict(strategy: ResolutionStrategy, tie: ResolutionStrategy | None) -> None:
    asked = []
    resolvers = shipped_resolvers()
    resolvers.register("theirs", 1, lambda seen: asked.append(seen) or theirs(seen))
    row = Row(
        "x", (Step(strategy, "preferLocal", "theirs@1"), Step(ResolutionStrategy.REMOTE_WINS)), tie, resolvers=resolvers
    )
    for kind in ConflictType:
        assert isinstance(resolve(view(of_type(kind.value), kind.value, "CRITICAL"), row), Deferred)
    assert asked == []


def test_the_shipped_policy_keeps_the_update_where_a_delete_met_it() -> None:
    for kind, side in (("UPDATE_DELETE", "local"), ("DELETE_UPDATE", "remote")):
        for severity in ("HIGH", "MEDIUM", "LOW"):
            row = default_policy().row_for(
                connection="x",
                resource_type="Condition",
                unit="*",
                conflict_type=ConflictType[kind],
                severity=ConflictSeverity[severity],
            )
            decided = resolve(view(of_type(kind), kind, severity), row)
            assert isinstance(decided, Resolved) and decided.side == side and decided.value is not MISSING


def test_a_chain_goes_on_where_a_merge_has_no_option_and_ends_with_a_person() -> None:
    conflict = unit("maritalStatus", "a", "b")
    row = Row("x", (Step(ResolutionStrategy.MERGE), Step(ResolutionStrategy.REMOTE_WINS)))
    decided = resolve(view(conflict), row)
    assert isinstance(decided, Resolved) and decided.strategy is ResolutionStrategy.REMOTE_WINS
    row = Row("x", (Step(ResolutionStrategy.MERGE), Step(ResolutionStrategy.MANUAL)))
    assert isinstance(resolve(view(conflict), row), Deferred)
    assert isinstance(resolve(view(conflict), Row("x", ())), Deferred)


# times


def timed(strategy: ResolutionStrategy, tie: str | None, severity: str = "MEDIUM", **times: Any) -> Resolved | Deferred:
    row = Row("x", (Step(strategy),), ResolutionStrategy[tie] if tie else None)
    return resolve(view(unit("maritalStatus", "ours", "theirs"), severity=severity, **times), row)


_WITHIN = st.floats(-2, 2, allow_nan=False)


@settings(deadline=None)
@given(_WITHIN, st.sampled_from([LAST, FIRST]))
def test_a14_times_within_the_skew_have_no_order(seconds: float, strategy: ResolutionStrategy) -> None:
    times = {"local_written_at": NOW, "remote_written_at": NOW + timedelta(seconds=seconds)}
    assert isinstance(timed(strategy, "MANUAL", **times), Deferred)
    for tie, value in (("LOCAL_WINS", "ours"), ("REMOTE_WINS", "theirs")):
        decided = timed(strategy, tie, **times)
        assert isinstance(decided, Resolved)
        assert (decided.value, decided.strategy.value) == (value, tie)


@settings(deadline=None)
@given(st.floats(2.001, 1e6), st.booleans())
def test_a14_times_beyond_the_skew_decide(seconds: float, remote_later: bool) -> None:
    earlier = {"local_written_at": NOW - timedelta(seconds=seconds), "remote_written_at": NOW}
    times = earlier if remote_later else {"local_written_at": NOW, "remote_written_at": earlier["local_written_at"]}
    last, first = timed(LAST, "MANUAL", **times), timed(FIRST, "MANUAL", **times)
    assert isinstance(last, Resolved) and isinstance(first, Resolved)
    assert (last.side, first.side) == (("remote", "local") if remote_later else ("local", "remote"))


def test_a14_the_tolerance_is_the_links_own() -> None:
    times = {"local_written_at": NOW - timedelta(seconds=30), "remote_written_at": NOW}
    assert isinstance(timed(LAST, "MANUAL", **times), Resolved)
    assert isinstance(timed(LAST, "MANUAL", **times, tie_seconds=30.0), Deferred)


@pytest.mark.parametrize(
    "times",
    [
        {"remote_written_at": None},
        {"local_written_at": None},
        {"remote_written_at": NOW + timedelta(seconds=2.5)},
        {"local_written_at": NOW + timedelta(hours=1)},
        {"remote_written_at": NOW.replace(tzinfo=None) - timedelta(hours=1)},
    ],
)
@pytest.mark.parametrize("strategy", [LAST, FIRST])
def test_a14_times_that_are_missing_or_impossible_are_a_tie(
    strategy: ResolutionStrategy, times: dict[str, Any]
) -> None:
    assert isinstance(timed(strategy, "MANUAL", **times), Deferred)
    decided = timed(strategy, "LOCAL_WINS", **times)
    assert isinstance(decided, Resolved) and decided.value == "ours"


def test_a14_an_undeclared_tie_break_is_a_person_for_high_and_remote_otherwise() -> None:
    times = {"remote_written_at": None}
    assert isinstance(timed(LAST, None, "HIGH", **times), Deferred)
    for severity in ("MEDIUM", "LOW"):
        decided = timed(LAST, None, severity, **times)
        assert isinstance(decided, Resolved) and decided.side == "remote"


# merge options


def merged(option: str, local: Any, remote: Any, name: str = "valueQuantity", separator: str | None = None) -> Any:
    row = Row("x", (Step(ResolutionStrategy.MERGE, option, separator=separator), Step(ResolutionStrategy.REMOTE_WINS)))
    decided = resolve(view(unit(name, local, remote)), row)
    return decided.value if isinstance(decided, Resolved) else decided


def grams(value: Any, named: str = "g", **other: Any) -> dict[str, Any]:
    return {"value": value, "unit": named} | other


@pytest.mark.parametrize(
    ("option", "local", "remote", "expected"),
    [
        ("preferLocal", "a", "b", "a"),
        ("preferRemote", "a", "b", "b"),
        ("preferLocal", MISSING, "b", "b"),
        ("preferRemote", "a", MISSING, "a"),
        ("average", 1, 4, None),
        ("average", 2, 4, 3),
        ("average", Number("0.1"), Number("0.2"), Number("0.15")),
        (
            "average",
            Number("1.000000000000000000000000000000000001"),
            0,
            Number("0.5000000000000000000000000000000000005"),
        ),
        ("max", Number("2.5"), Number("2.50"), Number("2.50")),
        ("min", Number("10.0"), 9, 9),
        ("max", grams(1), grams(Number("1.5")), grams(Number("1.5"))),
        ("average", grams(1), grams(2), grams(Number("1.5"))),
        ("max", grams(1), grams(2, "mg"), None),
        ("max", grams(1), grams(2, comparator="<"), None),
        ("average", "1", "3", None),
        ("average", True, False, None),
        ("average", "2026-01-01", "2026-01-03", None),
        ("max", "2026-01-01", "2026-01-03", "2026-01-03"),
        ("min", "2026-01", "2026-03", "2026-01"),
        ("min", "2026", "2026-03", None),
        ("max", "2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z", "2026-01-01T09:00:00Z"),
        ("max", "2026-01-01T10:00:00", "2026-01-01T09:00:00Z", None),
        ("max", "2026-01-01", "2026-01-01T09:00:00Z", None),
        ("max", "b", "a", None),
        ("max", {"text": "b"}, {"text": "a"}, None),
        ("max", MISSING, 3, None),
        ("average", Number("1e999999999"), 3, None),
    ],
)
def test_an_option_gives_an_exact_value_or_leaves_it_to_a_person(
    option: str, local: Any, remote: Any, expected: Any
) -> None:
    value = merged(option, local, remote)
    if expected is None:
        assert isinstance(value, Deferred)
    else:
        assert value == expected and type(value) is type(expected)


def test_concatenate_joins_texts_once_and_only_texts() -> None:
    both = merged("concatenate", "with food", "before bed", "patientInstruction", "; ")
    assert both == "with food; before bed"
    assert merged("concatenate", both, "before bed", "patientInstruction", "; ") == both
    assert merged("concatenate", both, "with food", "patientInstruction", "; ") == both
    assert isinstance(merged("concatenate", "male", "female", "gender", "; "), Deferred)
    assert isinstance(merged("concatenate", Number("1.0"), Number("2.0"), "text", "; "), Deferred)


def test_concatenate_joins_annotations_of_one_author_and_time_only() -> None:
    ours, theirs = ({"time": "2026-01-01", "text": text} for text in ("dizzy", "pale"))
    assert merged("concatenate", ours, theirs, "note[1]", " / ") == {"time": "2026-01-01", "text": "dizzy / pale"}
    assert isinstance(merged("concatenate", ours, theirs | {"time": "2026"}, "note[1]", " / "), Deferred)
    concepts = ({"coding": [{"code": "1"}], "text": text} for text in ("a", "b"))
    assert isinstance(merged("concatenate", *concepts, "code", " / "), Deferred)


def test_a_group_is_joined_where_one_element_of_it_differs() -> None:
    rest = {"interpretation": [{"text": "high"}]}
    name = "value[x]+dataAbsentReason+interpretation+referenceRange"
    ours, theirs = {"valueQuantity": grams(1)} | rest, {"valueQuantity": grams(3)} | rest
    assert merged("average", ours, theirs, name) == {"valueQuantity": grams(2)} | rest
    assert isinstance(merged("average", ours, {"valueQuantity": grams(3)}, name), Deferred)
    assert isinstance(merged("average", ours, {"valueString": "3"} | rest, name), Deferred)
    assert merged("preferLocal", {}, theirs, name) == theirs
    sidecars = ({"birthDate": day, "_birthDate": {"id": "x"}} for day in ("2026-01-01", "2026-01-02"))
    assert merged("min", *sidecars, "birthDate") == {"birthDate": "2026-01-01", "_birthDate": {"id": "x"}}


_VALUES = st.one_of(
    st.integers(-(10**9), 10**9),
    st.decimals(-(10**6), 10**6, places=4).map(lambda number: Number(str(number))),
    st.text("ab 1-", max_size=4),
    st.dates().map(str),
    st.just(MISSING),
    st.booleans(),
)
_OPTIONS = st.sampled_from(["average", "max", "min", "concatenate"])


@settings(deadline=None)
@given(_OPTIONS, _VALUES, _VALUES)
def test_a_value_never_depends_on_anything_but_the_values(option: str, local: Any, remote: Any) -> None:
    separator = "; " if option == "concatenate" else None
    once = merged(option, local, remote, "text", separator)
    random.random()
    assert merged(option, local, remote, "text", separator) == once
    if option != "concatenate":
        swapped = merged(option, remote, local, "text", separator)
        assert isinstance(swapped, Deferred) if isinstance(once, Deferred) else swapped == once


def test_what_is_said_of_a_decision_holds_no_value() -> None:
    secret = "Zyxwvut"
    for option in ("average", "max", "concatenate", "preferLocal"):
        row = Row("x", (Step(ResolutionStrategy.MERGE, option, separator="; "),))
        decided = resolve(view(unit("text", secret, {"text": secret})), row)
        assert secret not in decided.why
