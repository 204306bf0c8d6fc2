"""Notebooks 05 to 09 run from top to bottom: on homes with a history, and on an empty one, where they say what to run.

All of them in one kernel, which forgets everything between two: starting one costs more than most of them.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from holovitals_pipelines.store.database import open_database
from holovitals_pipelines.store.tables import sync_job
from holovitals_pipelines.store.warehouse import publish
from holovitals_pipelines.workbench import open_workbench
from holovitals_pipelines.workbench.cards import operations_cards

from .charted_person import EDITOR, FAMILY, MARRIED, SAID_HERE, chart_person
from .seeded import NOW, seed

PROJECT = Path(__file__).parents[2]
PROVIDERS, PATIENT, QUALITY, OPERATIONS, TIME = NOTEBOOKS = (
    "05_provider_comparison", "06_patient_360", "07_data_quality", "08_operations", "09_time_machine",
)  # fmt: skip
LONGEST = 60.0
"""Seconds a notebook may take."""

Shown = dict[tuple[str, str], list[Any]]
"""The executed code cells of each notebook on each home."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history of seeded.py; besides a job that waits and one that needed a retry."""
    now = datetime.now(UTC)
    settings = seed(tmp_path_factory.mktemp("busy"), shift=now - NOW)
    database = open_database(settings.resolved_database_url)
    job = {"connection": "epic", "provider": "epic", "type": "PATIENT_SYNC", "direction": "INBOUND", "priority": 2,
           "resource_types": [], "request": {}, "fence": 1}  # fmt: skip
    asked = now - timedelta(minutes=40)
    retried = {"status": "COMPLETED", "attempt": 2, "started_at": asked + timedelta(seconds=9),
               "finished_at": asked + timedelta(seconds=99)}  # fmt: skip
    waits = {"status": "PENDING", "attempt": 1, "queued_at": asked, "lane": "worker"}
    with database.write() as transaction:
        for name, values in (("job-retried", retried), ("job-waits", waits)):
            transaction.execute(sync_job.insert().values(job_id=name, created_at=asked, **job, **values))
    publish(database, settings.warehouse_folder)
    database.close()
    return settings.root


@pytest.fixture(scope="module")
def shown(busy: Path, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    charted = chart_person(tmp_path_factory.mktemp("charted") / "home").root
    scratch = tmp_path_factory.mktemp("kernel")
    homes = dict.fromkeys((PROVIDERS, QUALITY, OPERATIONS), busy) | dict.fromkeys((PATIENT, TIME), charted)
    runs = [(name, "full", home) for name, home in homes.items()]
    runs += [(name, "empty", scratch / "empty") for name in NOTEBOOKS]
    together = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for name, which, home in runs:
        code = [
            c
            for c in nbformat.read(PROJECT / "notebooks" / f"{name}.ipynb", as_version=4).cells
            if c.cell_type == "code"
        ]
        forget = nbformat.v4.new_code_cell(f"%reset -f\nimport os\nos.environ['HOLOVITALS_HOME'] = {str(home)!r}")
        together.cells += [forget, *(nbformat.v4.new_code_cell(c.source, metadata={"of": [name, which]}) for c in code)]
    client = NotebookClient(
        together, timeout=LONGEST, kernel_name="python3", resources={"metadata": {"path": str(scratch)}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(PROJECT), "IPYTHONDIR": str(scratch / "ipy")})
    assert not (scratch / "empty").exists(), "looking creates nothing"
    found: Shown = {}
    for cell in together.cells:
        if "of" in cell.metadata:
            found.setdefault(tuple(cell.metadata["of"]), []).append(cell)
    return found


def text(cells: list[Any], call: str = "") -> str:
    return json.dumps([o["data"] for c in cells if call in c.source for o in c.outputs], ensure_ascii=False)


@pytest.mark.parametrize("which", ["full", "empty"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_time_and_every_cell_shows_something(shown: Shown, name: str, which: str) -> None:
    cells = shown[name, which]
    said = [output.output_type for cell in cells for output in cell.outputs]
    assert said == ["execute_result"] * len(cells), "no errors, nothing on stderr, no cell without a use"
    stamps = [cell.metadata["execution"] for cell in cells]
    began, ended = (
        datetime.fromisoformat(one) for one in (stamps[0]["iopub.execute_input"], stamps[-1]["shell.execute_reply"])
    )
    assert (ended - began).total_seconds() < LONGEST


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_on_an_empty_home_says_what_to_run_and_draws_no_empty_chart(shown: Shown, name: str) -> None:
    said = text(shown[name, "empty"])
    assert "run «holovitals demo»" in said
    assert '"mark": {"type": "rect"' not in said and '"mark": {"type": "bar"' not in said


def test_providers_are_compared_in_panels_and_by_what_they_hold(shown: Shown) -> None:
    cells = shown[PROVIDERS, "full"]
    panels = text(cells, "provider_charts.compared")
    assert all(one in panels for one in ("records held", "slow request (ms)", '"resources_per_second": '))
    assert '"records": 9' in text(cells, "provider_charts.coverage") and '"persons": 1' in text(cells, "charts.overlap")
    assert "http.503" in text(cells, "bench.errors")


def test_quality_shows_what_failed_what_was_refused_and_what_was_missed(shown: Shown) -> None:
    cells = shown[QUALITY, "full"]
    assert "a warning fails" in text(cells, "quality_charts.checks")
    assert "quantities_have_a_unit" in text(cells, "found = ")
    assert "Observation.status · required" in text(cells, "quality_charts.refused")
    assert "splink" in text(cells, "bench.person_proposals") and "1\u202f000" in text(cells, "bench.comparisons")


def test_operations_show_the_queue_the_waits_and_the_dead_letters(shown: Shown, busy: Path) -> None:
    cells = shown[OPERATIONS, "full"]
    assert "job-waits" in text(cells, "bench.job_queue") and "job-retried" not in text(cells, "bench.job_queue")
    assert "waits to begin" in text(cells, "operation_charts.parts")
    assert "completed after a retry" in text(cells, "operation_charts.endings")
    assert "RETRYING" in text(cells, "operation_charts.events")
    assert "webhook.handler_failed" in text(cells, "bench.dead_letters")
    assert "vendors-id" not in text(cells), "a vendor's id is not in the warehouse"
    with open_workbench(busy) as bench:
        (row,) = bench.operations_overview().to_dict("records")
        assert (row["waiting_jobs"], row["dead_letters"], row["waiting_events"], row["events"]) == (1, 1, 1, 5)
        assert row["oldest_minutes"] >= 40 and row["event_p95_seconds"] == pytest.approx(4.85)
        events = bench.webhook_events().set_index("status")
        assert events.loc["COMPLETED", ["events", "repeats", "p50_seconds"]].tolist() == [3, 2, 3]
        (parts,) = bench.job_parts().query("type == 'PATIENT_SYNC'").to_dict("records")
        assert (parts["waited_seconds"], parts["worked_seconds"], parts["other_seconds"]) == (9, 0, 90)
        assert "the oldest for 4" in repr(operations_cards(bench.operations_overview(), ""))


def test_patient_360_shows_the_person_across_vendors(shown: Shown) -> None:
    cells = shown[PATIENT, "full"]
    assert all(
        word in text(cells, "record_charts.timeline") for word in ("Asthma", "Body weight: 71 kg", "north", "south")
    )
    assert all(word in text(cells, "apart = ") for word in (FAMILY, MARRIED))
    assert all(word in text(cells, "origins = ") for word in (SAID_HERE, EDITOR, "MERGE"))


def test_the_time_machine_shows_a_moment_and_two_runs(shown: Shown) -> None:
    cells = shown[TIME, "full"]
    assert "the vendor deleted it" in text(cells, "then_and_now = ")
    assert EDITOR in text(cells, "later = ") and EDITOR in text(cells, "decided = ")
    between = text(cells, "record_charts.changes")
    assert "edited here" in between and MARRIED not in between + text(cells, "decided = "), "no content between runs"
