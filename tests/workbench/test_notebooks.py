"""The notebooks run from top to bottom, on an empty home and on a real one, and are committed clean."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.rule_library import versions
from holovitals_pipelines.settings import Settings

from .landed_persons import NAME, land_persons
from .seeded import NOW, seed

PROJECT = Path(__file__).parents[2]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
OVERVIEW, CONFLICTS, RULES, REVIEW = (
    PROJECT / "notebooks" / f"{name}.ipynb" for name in ("01_sync_overview", "02_conflicts", "03_rules", "04_review")
)

LONGEST = 60.0
"""Seconds a notebook may take."""


class Run(Protocol):
    def __call__(self, path: Path, home: Path, scratch: Path, **changed: str) -> Any:
        """The notebook, run on the home; with `NAME = …` of a cell changed, as an analyst would."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All notebooks in one kernel, which forgets everything between two: starting one costs more than most of them."""
    folder = tmp_path_factory.mktemp("kernel")
    manager = NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3").create_kernel_manager()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "IPYTHONDIR": str(folder / "ipy")}
    asyncio.run(manager.start_kernel(env=environment, cwd=str(folder)))

    def run(path: Path, home: Path, scratch: Path, **changed: str) -> Any:
        notebook = nbformat.read(path, as_version=4)
        for name, value in changed.items():
            [cell] = [cell for cell in notebook.cells if re.search(rf"^{name} = ", cell.source, re.MULTILINE)]
            cell.source = re.sub(rf"^{name} = .*", f"{name} = {value}", cell.source, flags=re.MULTILINE)
        settings = f"os.environ['HOLOVITALS_HOME'] = {str(home)!r}\nos.chdir({str(scratch)!r})"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f\nimport os\n{settings}"))
        began = time.monotonic()
        NotebookClient(notebook, timeout=LONGEST, km=manager).execute()
        assert time.monotonic() - began < LONGEST
        del notebook.cells[0]
        return notebook

    yield run
    asyncio.run(manager.shutdown_kernel(now=True))


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def everything_shown(notebook: Any) -> str:
    return json.dumps([output.get("data", output) for output in outputs(notebook)], ensure_ascii=False)


def shown_by(notebook: Any, call: str) -> str:
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and call in cell.source]
    return json.dumps([output["data"] for output in cell.outputs], ensure_ascii=False)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    seed(home, shift=datetime.now(UTC) - NOW)
    return home


def test_the_overview_notebook_runs_and_shows_the_numbers_of_the_store(run: Run, seeded: Path, tmp_path: Path) -> None:
    notebook = run(OVERVIEW, seeded, tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}, "no errors, nothing on stderr"
    cards = shown_by(notebook, "overview_cards(bench")
    assert all(number in cards for number in ("75%", "3 of 4", "1\u202f500", "1 day ago"))
    assert all(number in shown_by(notebook, "bench.latest_outcome") for number in ("120", "300", "90"))
    assert "quantities_have_a_unit" in shown_by(notebook, "bench.quality")
    assert "wait, then retry" in shown_by(notebook, "bench.errors")
    assert "job-failed" in shown_by(notebook, "bench.recent_jobs")
    assert "Observation.status" in shown_by(notebook, "bench.quarantine")
    for chart in ("charts.trend", "charts.volumes", "charts.stages", "charts.latency"):
        shown = shown_by(notebook, chart)
        assert "application/vnd.vegalite.v5+json" in shown and "Nothing to draw" not in shown
    assert '"extracted": 1040' in shown_by(notebook, "charts.trend")


def test_the_overview_notebook_runs_on_an_empty_home_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    notebook = run(OVERVIEW, tmp_path / "empty", tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}
    assert everything_shown(notebook).count("Nothing to draw yet: run «holovitals demo»") == 4
    assert "No sync yet: run «holovitals demo»" in shown_by(notebook, "overview_cards(bench")
    assert "No check has run yet." in shown_by(notebook, "bench.quality")
    assert list((tmp_path / "empty").glob("**")) == [], "looking creates nothing"


def test_the_conflicts_notebook_runs_and_shows_what_waits_and_who_decided(
    run: Run, seeded: Path, tmp_path: Path
) -> None:
    notebook = run(CONFLICTS, seeded, tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}, "no errors, nothing on stderr"
    cards = shown_by(notebook, "conflict_cards(bench")
    assert all(number in cards for number in ("75%", "3 of 4 contradictions", "3.0 h", "1 critical"))
    assert "c0" in shown_by(notebook, "queue = bench.open_conflicts")
    assert "REMOTE_WINS" in shown_by(notebook, "table(charted")
    assert "vendor.rule" in shown_by(notebook, "table(bench.writes")
    assert "read_only" in shown_by(notebook, "table(bench.standing_differences")
    assert "1\u202f000" in shown_by(notebook, "bench.comparisons")
    for chart in ("queue", "conflicts", "contested", "decisions", "writes", "standing"):
        shown = shown_by(notebook, f"conflict_charts.{chart}(")
        assert "application/vnd.vegalite.v5+json" in shown and "Before the first sync" not in shown
    assert "secret" not in everything_shown(notebook), "what identifies a list item is content"


def test_the_conflicts_notebook_runs_on_an_empty_home_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    notebook = run(CONFLICTS, tmp_path / "empty", tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}
    assert everything_shown(notebook).count("Before the first sync: run «holovitals demo»") == 6
    assert "No sync yet: run «holovitals demo»" in shown_by(notebook, "conflict_cards(bench")
    assert "No conflict waits for a person." in shown_by(notebook, "queue = bench.open_conflicts")
    assert list((tmp_path / "empty").glob("**")) == [], "looking creates nothing"


def test_the_rules_notebook_shows_what_an_edit_does_to_landed_records_and_saves_only_when_told(
    run: Run, tmp_path: Path
) -> None:
    settings = land_persons(tmp_path / "home")
    notebook = run(RULES, settings.root, tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}, "no errors, nothing on stderr"
    assert "4 records of connection clinic" in shown_by(notebook, "desk.records(")
    assert "map: {M: male, F: female, U: unknown, O: other}" in shown_by(notebook, "old.rule(")
    assert "ignoreCase" in shown_by(notebook, "rule_trials.changes(")
    assert NAME in shown_by(notebook, "rule_trials.before_and_after(")
    assert everything_shown(notebook).count(NAME) == shown_by(notebook, "rule_trials.before_and_after(").count(NAME)
    assert "not_in_map" in shown_by(notebook, "errors = rule_trials.errors(")
    assert "gender_: not_in_map" in shown_by(notebook, "rule_charts.errors(")
    assert "rejected no longer" in shown_by(notebook, "rule_trials.effects(")
    assert "✓" in shown_by(notebook, "rule_trials.examples(")
    assert "nextgen/patient@1.0.1 is not saved" in shown_by(notebook, "desk.save(")
    assert saved_in(settings) == []

    saved = run(RULES, settings.root, tmp_path, SAVE="True", ACTIVATE="True", COMMENT='"X is other"')
    assert "nextgen/patient@1.0.1 is saved and active" in shown_by(saved, "desk.save(")
    assert saved_in(settings) == [("nextgen/patient@1.0.1", True, "X is other")]


def saved_in(settings: Settings) -> list[tuple[str, bool, str | None]]:
    with open_home(settings) as home:
        return [(one.full_name, one.active, one.comment) for one in versions(home.database)]


def test_the_rules_notebook_runs_on_an_empty_home_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    notebook = run(RULES, tmp_path / "empty", tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}
    assert "There is no store yet: run «holovitals demo»" in shown_by(notebook, "desk = open_rule_desk")
    assert "made-up records" in shown_by(notebook, "desk.records(")
    assert "nextgen/patient" in shown_by(notebook, "desk.rule_sets()")
    assert "No rule found anything wrong." in shown_by(notebook, "rule_charts.errors(")
    assert "is not saved" in shown_by(notebook, "desk.save(")
    assert list((tmp_path / "empty").glob("**")) == [], "looking creates nothing"


def test_the_review_notebook_runs_and_holds_no_value_of_what_it_shows(run: Run, seeded: Path, tmp_path: Path) -> None:
    notebook = run(REVIEW, seeded, tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}, "no errors, nothing on stderr"
    assert "2 conflicts wait for a person, 1 of them critical" in shown_by(notebook, "desk = open_review_desk")
    assert all(word in shown_by(notebook, "table(desk.waiting") for word in ("CRITICAL", "HIGH", "Observation"))
    assert "application/vnd.jupyter.widget-view+json" in shown_by(notebook, "ReviewWidget(desk)")
    assert "dr.who" in shown_by(notebook, "table(desk.decided")
    assert "secret" not in everything_shown(notebook), "what identifies a list item is content"


def test_the_review_notebook_runs_on_an_empty_home_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    notebook = run(REVIEW, tmp_path / "empty", tmp_path)
    assert {output.output_type for output in outputs(notebook)} == {"execute_result"}
    assert "There is no store yet: run «holovitals demo»" in shown_by(notebook, "desk = open_review_desk")
    assert "No conflict waits for a person." in shown_by(notebook, "table(desk.waiting")
    assert "Nobody has decided anything yet." in shown_by(notebook, "table(desk.decided")
    assert list((tmp_path / "empty").glob("**")) == [], "looking creates nothing"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs_and_agrees_with_its_text(path: Path) -> None:
    notebook, text = nbformat.read(path, as_version=4), jupytext.read(path.with_suffix(".py"))
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in text.cells
    ]
    nbformat.validate(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_three_things_and_only_from_the_workbench(path: Path) -> None:
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    imports = [line for line in code.splitlines() if line.startswith(("import", "from"))]
    assert len(imports) == 3
    assert all(line.startswith("from holovitals_pipelines.workbench") for line in imports)


def test_there_are_notebooks_to_test() -> None:
    assert {OVERVIEW, CONFLICTS, RULES, REVIEW} <= set(NOTEBOOKS)
