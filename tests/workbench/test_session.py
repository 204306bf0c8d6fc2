"""The frames: their numbers come from the store, their columns are documented, and opening them holds nobody up."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.warehouse import current_snapshot
from holovitals_pipelines.workbench import Workbench, open_workbench
from holovitals_pipelines.workbench.queries import load_query

from .seeded import FAILED, FIRST, NOW, OTHER, SECOND, add_job, seed

PROJECT = Path(__file__).parents[2]
FRAMES = (
    "overview", "trend", "volumes", "slowest_stages", "recent_jobs", "latest_outcome", "quality", "errors", "latency",
    "quarantine", "records", "freshness", "conflict_overview", "conflicts", "decisions", "contested_elements",
    "open_conflicts", "standing_differences", "writes", "comparisons",
    "persons", "person_overlap", "person_proposals", "providers", "quality_trend", "operations_overview", "job_queue",
    "job_parts", "job_endings", "webhook_events", "dead_letters",
)  # fmt: skip


def test_the_overview_counts_what_there_is_and_what_waits(bench: Workbench) -> None:
    (row,) = bench.overview().to_dict("records")
    assert row.pop("last_sync_at") == NOW - timedelta(days=1)
    assert row == {
        "connections": 2,
        "linked_records": 13,
        "jobs": 4,
        "active_jobs": 0,
        "completed_jobs": 3,
        "failed_jobs": 1,
        "success_rate": 0.75,
        "resources_read": 1500,
        "open_conflicts": 2,
        "quarantined": 4,
        "failing_checks": 1,
    }


def test_the_trend_has_a_row_a_day_and_connection_and_counts_failed_jobs(bench: Workbench) -> None:
    trend = bench.trend().set_index(["day", "connection"])
    assert [(f"{day:%m-%d}", name) for day, name in trend.index] == [
        ("03-07", "epic"),
        ("03-08", "epic"),
        ("03-09", "epic"),
        ("03-09", "lab"),
    ]
    assert trend["extracted"].tolist() == [1040, 160, 0, 300]
    assert trend["failed_jobs"].tolist() == [0, 0, 1, 0]
    assert trend["seconds"].tolist() == [63.5, 5.75, 0, 10]


def test_days_limits_how_far_a_frame_looks_back(bench: Workbench) -> None:
    assert bench.trend(days=1)["connection"].tolist() == ["epic", "lab"]
    assert bench.volumes(days=1)["resources"].sum() == 300
    assert bench.volumes(days=None)["resources"].sum() == 1500
    assert bench.slowest_stages(days=2)["seconds"].sum() == 5.75 + 10
    assert bench.latency(days=2)["requests"].tolist() == [10]
    assert len(bench.errors(days=1)) == 1 and len(Workbench(bench._settings).errors(days=1)) == 0


def test_every_reading_is_in_exactly_one_outcome(bench: Workbench) -> None:
    volumes = bench.volumes()
    assert volumes["resources"].sum() == bench.overview()["resources_read"].item()
    observations = volumes[(volumes["connection"] == "epic") & (volumes["resource_type"] == "Observation")]
    assert dict(zip(observations["outcome"], observations["resources"], strict=True)) == {
        "created": 1005,
        "updated": 7,
        "unchanged": 90,
        "conflicts": 3,
        "quarantined": 5,
        "duplicates": 10,
    }


def test_the_costliest_stage_comes_first(bench: Workbench) -> None:
    stages = bench.slowest_stages()
    assert stages.iloc[0][["connection", "resource_type", "stage", "jobs", "seconds"]].tolist() == [
        "epic", "Observation", "extract", 2, 34.0
    ]  # fmt: skip
    assert stages["seconds"].is_monotonic_decreasing
    assert bench.slowest_stages(limit=2).shape[0] == 2
    assert (stages["resources_per_second"].iloc[0]) == pytest.approx(1120 / 34, abs=0.05)


def test_recent_jobs_are_newest_first_and_say_why_they_failed(bench: Workbench) -> None:
    jobs = bench.recent_jobs()
    assert set(jobs["job_id"][:2]) == {FAILED, OTHER} and jobs["job_id"][2:].tolist() == [SECOND, FIRST]
    failed = jobs.set_index("job_id").loc[FAILED]
    assert (failed["status"], failed["error_code"], failed["attempt"]) == ("FAILED", "http.503", 2)
    assert jobs.set_index("job_id").loc[FIRST, ["duration_seconds", "extracted", "changed"]].tolist() == [
        120,
        1040,
        1025,
    ]


def test_the_latest_outcome_is_that_of_each_connections_last_job(bench: Workbench) -> None:
    latest = bench.latest_outcome().set_index(["connection", "resource_type"])
    assert list(latest.index) == [("epic", "Observation"), ("epic", "Patient"), ("lab", "Observation")]
    columns = ["extracted", "created", "updated", "unchanged", "conflicts", "held", "quarantined", "pushed", "seconds"]
    assert latest.loc[("epic", "Observation"), columns].tolist() == [120, 20, 7, 90, 3, 2, 0, 6, 4.5]
    assert latest.loc[("lab", "Observation"), columns].tolist() == [300, 300, 0, 0, 0, 0, 0, 0, 10.0]


def test_quality_shows_the_newest_result_of_a_check_and_failing_ones_first(bench: Workbench) -> None:
    quality = bench.quality()
    assert quality[["check_name", "passed", "unexpected", "unexpected_percent"]].values.tolist() == [
        ["quantities_have_a_unit", False, 4, 2.5],
        ["ids_are_unique", True, 0, 0.0],
    ]


def test_equal_errors_are_counted_together_with_their_remedy(bench: Workbench) -> None:
    (error,) = bench.errors().to_dict("records")
    assert (error["code"], error["times"], error["line"], error["remedy"]) == ("http.503", 2, 12, "wait, then retry")


def test_latency_weighs_medians_by_requests_and_keeps_the_worst_job(bench: Workbench) -> None:
    row = bench.latency().set_index("operation").loc["GET Observation?patient={id}"]
    assert row["p50_ms"] == (40 * 20 + 10 * 70) / 50
    assert (row["requests"], row["p95_ms"], row["max_ms"], row["failures"]) == (50, 400, 800, 2)


def test_only_what_is_still_held_is_shown_as_quarantined(bench: Workbench) -> None:
    (row,) = bench.quarantine().to_dict("records")
    assert (row["rule"], row["path"], row["resources"]) == ("required", "Observation.status", 4)


def test_records_and_freshness_are_by_connection_and_type(bench: Workbench) -> None:
    assert bench.records()[["connection", "records"]].values.tolist() == [["epic", 9], ["lab", 4]]
    assert bench.freshness()["read_up_to"].tolist() == [NOW - timedelta(days=2)]


def test_the_conflict_overview_counts_each_conflict_once_in_its_present_state(bench: Workbench) -> None:
    (row,) = bench.conflict_overview().to_dict("records")
    assert row.pop("compared_at") == NOW - timedelta(days=3)
    assert row == {
        "conflicts": 7, "clean": 1, "automatic": 3, "by_people": 1, "automatic_share": 0.75, "median_hours": 3.0,
        "open_conflicts": 2, "open_critical": 1, "overdue": 1, "reviews_due": 1, "standing": 3, "standing_critical": 1,
        "written": 6, "waiting_writes": 1, "failed_writes": 1,
    }  # fmt: skip
    assert row["clean"] + row["automatic"] + row["by_people"] + row["open_conflicts"] == row["conflicts"]


def test_conflicts_are_counted_by_severity_and_strategy(bench: Workbench) -> None:
    conflicts = bench.conflicts()
    assert conflicts["conflicts"].sum() == 7 and conflicts["conflicts"].is_monotonic_decreasing
    found = conflicts.set_index(["severity", "strategy"])["conflicts"].to_dict()
    assert found == {
        ("LOW", "REMOTE_WINS"): 2, ("CRITICAL", ""): 1, ("CRITICAL", "MANUAL"): 1, ("HIGH", ""): 1,
        ("HIGH", "MERGE"): 1, ("LOW", "MERGE"): 1,
    }  # fmt: skip
    assert len(bench.conflicts(days=1)) == 0


def test_a_share_decided_by_policy_leaves_out_what_merged_cleanly(bench: Workbench) -> None:
    decisions = bench.decisions().set_index("severity")
    assert list(decisions.index) == ["CRITICAL", "HIGH", "LOW"]
    columns = ["conflicts", "still_open", "clean", "automatic", "by_people", "reopened"]
    assert decisions[columns].values.tolist() == [[2, 1, 0, 0, 1, 1], [2, 1, 0, 1, 0, 0], [3, 0, 1, 2, 0, 0]]
    assert decisions["automatic_share"].tolist() == [0.0, 1.0, 1.0]
    assert decisions.loc["CRITICAL", ["median_hours", "p90_hours"]].tolist() == [3.0, 3.0]


def test_the_most_contested_element_comes_first_by_its_worst_severity_and_without_keys(bench: Workbench) -> None:
    elements = bench.contested_elements()
    columns = ["resource_type", "element", "conflicts", "still_open", "severity", "took_remote"]
    assert elements[columns].values.tolist() == [
        ["Observation", "note", 3, 0, "HIGH", 2],
        ["Observation", "status", 3, 2, "CRITICAL", 0],
    ]
    assert bench.contested_elements(limit=1).shape[0] == 1


def test_the_queue_begins_with_the_most_overdue(bench: Workbench) -> None:
    queue = bench.open_conflicts()
    assert queue[["conflict_id", "severity"]].values.tolist() == [["c0", "CRITICAL"], ["c1", "HIGH"]]
    overdue, in_time = queue["due_in_hours"]
    assert overdue < 0 < in_time <= 24
    assert (queue["open_hours"] > 0).all()


def test_standing_differences_are_counted_by_element_the_gravest_first(bench: Workbench) -> None:
    standing = bench.standing_differences()
    assert standing[["element", "severity", "differences", "records"]].values.tolist() == [
        ["status", "CRITICAL", 1, 1],
        ["note", "LOW", 2, 1],
    ]


def test_writes_are_counted_by_state_with_those_that_were_unguarded(bench: Workbench) -> None:
    writes = bench.writes().set_index("state")
    assert writes["writes"].to_dict() == {"done": 6, "failed": 1, "pending": 1}
    assert writes.loc["done", ["unguarded", "median_seconds"]].tolist() == [1, 2.0]
    assert writes.loc["failed", "usual_error"] == "vendor.rule"


def test_comparisons_say_what_the_ordinary_way_had_missed(bench: Workbench) -> None:
    (row,) = bench.comparisons().to_dict("records")
    assert (row["resource_type"], row["compared"], row["missed"], row["unsent"]) == ("Observation", 1000, 2, 1)


@pytest.mark.parametrize("name", FRAMES)
def test_an_empty_home_gives_the_same_columns_without_rows(name: str, bench: Workbench, empty_bench: Workbench) -> None:
    empty, full = getattr(empty_bench, name)(), getattr(bench, name)()
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == (1 if name.endswith("overview") else 0)
    assert len(full) > 0 or name == "job_queue", "nothing waits in this history"


@pytest.mark.parametrize("name", FRAMES)
def test_taking_a_frame_says_nothing_on_the_side(name: str, bench: Workbench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(bench, name)()


def test_persons_are_counted_by_records_and_connections_and_what_waits_by_grounds(bench: Workbench) -> None:
    rows = bench.persons().to_dict("records")
    assert rows == [
        {"records": 1, "connections": 1, "joined": "not joined", "persons": 1, "all_records": 1},
        {"records": 2, "connections": 2, "joined": "by identifier", "persons": 1, "all_records": 2},
    ]
    assert bench.person_overlap().to_dict("records") == [
        {"connection": "epic", "other_connection": "lab", "persons": 1}
    ]
    (waiting,) = bench.person_proposals().to_dict("records")
    assert (waiting["state"], waiting["grounds"], waiting["proposals"]) == ("open", "splink", 1)
    assert waiting["lowest_score"] == 0.97 and waiting["oldest_open_days"] > 0


def test_every_query_is_a_frame_and_says_what_a_row_is() -> None:
    folder = PROJECT / "holovitals_pipelines" / "workbench" / "sql"
    assert {path.stem for path in folder.glob("*.sql")} == set(FRAMES)
    for name in FRAMES:
        assert re.match(r"-- One row.+[.:]", load_query(name))
        assert all(len(line) <= 120 for line in load_query(name).splitlines())


def test_an_empty_home_says_what_to_run(empty_bench: Workbench) -> None:
    assert empty_bench.as_of is None
    assert "No sync yet: run «holovitals demo»" in repr(empty_bench)


def test_the_snapshot_says_how_old_it_is(seeded_home: Settings) -> None:
    later = current_snapshot(seeded_home.warehouse_folder).as_of + timedelta(minutes=5, seconds=2)
    with Workbench(seeded_home, now=lambda: later) as bench:
        assert "5 minutes old" in bench.headline()


def test_other_questions_take_parameters_and_cannot_write(bench: Workbench) -> None:
    asked = bench.sql("select count(*) as n from sync_jobs where status = $status", status="FAILED")
    assert asked["n"].item() == 1
    with pytest.raises(duckdb.Error):
        bench.sql("delete from sync_jobs")


def test_a_relative_home_is_found_from_the_notebooks_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(tmp_path / ".holovitals")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("HOLOVITALS_HOME", raising=False)
    with open_workbench() as bench:
        assert bench.home == (tmp_path / ".holovitals").resolve()
        assert bench.overview()["jobs"].item() == 4
    monkeypatch.setenv("HOLOVITALS_HOME", str(tmp_path / "elsewhere"))
    with open_workbench() as bench:
        assert bench.as_of is None


def test_refresh_moves_on_and_an_open_workbench_keeps_what_it_shows(tmp_path: Path) -> None:
    settings = seed(tmp_path)
    with Workbench(settings) as bench:
        before = bench.as_of
        add_job(settings, "job-new", datetime.now(UTC))
        assert bench.overview()["jobs"].item() == 4
        assert bench.refresh().overview()["jobs"].item() == 5
        assert before is not None and bench.as_of is not None and bench.as_of > before


def test_a_workbench_opened_before_the_first_sync_sees_it_after_a_refresh(tmp_path: Path) -> None:
    with Workbench(Settings(home=tmp_path)) as bench:
        seed(tmp_path)
        assert bench.refresh().overview()["jobs"].item() == 4


def test_a_workbench_open_in_another_process_never_blocks_publishing(tmp_path: Path) -> None:
    settings = seed(tmp_path)
    notebook = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys\n"
            "from holovitals_pipelines.workbench import open_workbench\n"
            "bench = open_workbench(sys.argv[1])\n"
            "for _ in sys.stdin:\n"
            "    held = bench.overview()['jobs'].item()\n"
            "    print(held, bench.refresh().overview()['jobs'].item(), flush=True)\n",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    )  # fmt: skip
    assert notebook.stdin is not None and notebook.stdout is not None
    with notebook:
        for number in range(5, 8):
            notebook.stdin.write("look\n")
            notebook.stdin.flush()
            held, refreshed = map(int, notebook.stdout.readline().split())
            assert refreshed == number - 1 and held in (number - 2, number - 1)
            started = datetime.now(UTC)
            add_job(settings, f"job-{number}", started)
            assert (datetime.now(UTC) - started).total_seconds() < 10
        notebook.stdin.close()
    assert notebook.returncode == 0


def test_importing_the_workbench_imports_neither_pandas_nor_altair_nor_dagster() -> None:
    program = (
        "import sys, holovitals_pipelines.workbench;"
        "print(sorted({'pandas', 'altair', 'dagster', 'great_expectations', 'IPython'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
