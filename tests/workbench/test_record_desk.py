"""Records and persons in a notebook: what was known when, where values came from, and that each look is noted."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.workbench.record_desk import RecordDesk, open_record_desk

from .charted_person import EDITOR, FAMILY, MARRIED, NORTH, SAID_HERE, SOUTH, chart_person


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return chart_person(tmp_path_factory.mktemp("charted") / "home")


@pytest.fixture
def desk(home: Settings) -> RecordDesk:
    return RecordDesk(home)


def test_the_person_known_at_the_most_connections_is_chosen_and_nothing_of_a_record_is_opened(home: Settings) -> None:
    for noted in (home.root / "access").glob("*"):
        noted.unlink()
    desk = RecordDesk(home)
    (person,) = desk.patients().to_dict("records")
    assert (person["records"], person["connections"], person["versions"]) == (2, 2, 4)
    assert desk.choose() == person["patient_key"] == desk.choose(person["patient_key"][:6])
    assert list((home.root / "access").glob("*")) == []
    with pytest.raises(StoreError, match=r"person\.unknown"):
        desk.choose("nobody")


def test_the_timeline_has_the_persons_records_of_every_connection_and_nobody_elses(desk: RecordDesk) -> None:
    told = desk.timeline(desk.choose())
    assert told[["connection", "resource_type", "what"]].values.tolist() == [
        [SOUTH, "Condition", "Asthma"],
        [NORTH, "Observation", "Body weight: 71 kg"],
    ], "the deleted Observation and the other patient's Condition are not in it"
    assert told["happened"].tolist() == [pd.Timestamp("2019-01-01", tz="UTC"), pd.Timestamp("2024-03-05", tz="UTC")]


def test_side_by_side_says_who_agrees_and_who_differs(desk: RecordDesk) -> None:
    sides = desk.side_by_side(desk.choose()).set_index(["element", "connection"])
    assert sides["value"]["name", NORTH] == f"Mina {MARRIED}" and sides["value"]["name", SOUTH] == f"Mina {FAMILY}"
    assert set(sides["agreement"]["name"]) == {"differs"} and set(sides["agreement"]["gender"]) == {"as most"}
    assert (sides["agreement"]["maritalStatus", NORTH], sides["agreement"]["maritalStatus", SOUTH]) == (
        "told by one",
        "not told",
    )
    assert "identifier" not in sides.index, "every vendor numbers for itself"


def test_every_value_says_since_when_by_whom_and_why(desk: RecordDesk) -> None:
    origins = desk.origins(desk.choose())
    here = origins[origins["connection"] == NORTH].set_index("element")
    assert here.loc["maritalStatus", ["value", "version", "by", "actor", "why"]].tolist() == [
        SAID_HERE, 2, "person", EDITOR, "edited here",
    ]  # fmt: skip
    assert here.loc["name", ["version", "by", "strategy"]].tolist() == [3, "policy", "MERGE"]
    assert here.loc["birthDate", ["version", "by", "actor"]].tolist() == [1, "vendor", NORTH]


def test_a_moment_shows_what_was_known_then(desk: RecordDesk) -> None:
    patient = desk.choose()
    history = desk.history(patient)
    edited = history[history["actor"] == EDITOR]["at"].item()
    before, after = (edited - pd.Timedelta(microseconds=1)).to_pydatetime(), edited.to_pydatetime()
    then = desk.then_and_now(patient, before).set_index("element")
    assert pd.isna(then.loc["maritalStatus", "then"]) and then.loc["maritalStatus", "now"] == SAID_HERE
    assert then.loc["name", ["then", "now"]].tolist() == [f"Mina {FAMILY}", f"Mina {MARRIED}"]
    assert then.loc["(record)", ["then", "now", "why"]].tolist() == ["active", "deleted", "the vendor deleted it"]
    assert sorted(desk.then_and_now(patient, after)["element"]) == ["(record)", "name"], "the edit is of that moment"
    assert desk.then_and_now(patient, None).empty, "now is as now"
    assert desk.then_and_now(patient, "2001-01-01").empty, "nothing was known yet"
    last = desk.last_change(patient)
    assert last is not None and last == history["at"].max().to_pydatetime() - pd.Timedelta(microseconds=1)


def test_records_known_grow_and_shrink_by_connection(desk: RecordDesk) -> None:
    known = desk.known(desk.choose())
    assert known[known["connection"] == NORTH]["records"].tolist()[-2:] == [3, 2]
    assert known[known["connection"] == SOUTH]["records"].max() == 2


def test_between_two_jobs_is_what_changed_by_whom_and_why(desk: RecordDesk) -> None:
    jobs = desk.jobs()
    assert jobs["connection"].tolist() == [NORTH, SOUTH, NORTH]
    changes = desk.changes(desk.between())
    assert sorted(zip(changes["resource_type"], changes["by"], changes["why"], strict=True)) == [
        ("Observation", "vendor", "the vendor deleted it"),
        ("Patient", "person", "edited here"),
        ("Patient", "policy", "both sides changed, nothing contradicted"),
    ]
    first, second = jobs["job_id"].iloc[2], jobs["job_id"].iloc[1]
    assert set(desk.changes(desk.between(first[:12], second))["why"]) == {"first read from the vendor"}
    with pytest.raises(StoreError, match=r"job\.unknown"):
        desk.between("none")


def test_each_look_at_a_person_is_noted_before_it_is_shown(home: Settings, desk: RecordDesk) -> None:
    patient = desk.choose()
    desk.timeline(patient)
    lines = [json.loads(line) for path in (home.root / "access").iterdir() for line in path.read_text().splitlines()]
    last = lines[-1]
    assert (last["call"], last["subject"]) == ("workbench timeline", patient)
    assert last["caller"].startswith("notebook:")
    assert MARRIED not in json.dumps(lines)


def test_a_writer_is_never_held_up_and_the_store_is_not_changed(home: Settings, desk: RecordDesk) -> None:
    from holovitals_pipelines.store.database import open_database

    before = desk.history(desk.choose())["seq"].max()
    database = open_database(home.resolved_database_url)
    with database.write():
        assert len(desk.timeline(desk.choose())) == 2, "read while another writes"
    database.close()
    assert desk.history(desk.choose())["seq"].max() == before


def test_an_empty_home_gives_the_same_columns_without_rows_and_creates_nothing(home: Settings, tmp_path: Path) -> None:
    full, empty = RecordDesk(home), open_record_desk(tmp_path / "nothing")
    patient = full.choose()
    assert empty.choose() is None and empty.between() is None and empty.last_change(None) is None
    for name in ("timeline", "side_by_side", "origins", "conflicts", "history", "known"):
        frame = getattr(empty, name)(None)
        assert frame.empty and list(frame.columns) == list(getattr(full, name)(patient).columns), name
    assert empty.changes(None).empty and empty.jobs().empty and empty.then_and_now(None, None).empty
    assert "run «holovitals demo»" in repr(empty)
    assert list(tmp_path.iterdir()) == []
