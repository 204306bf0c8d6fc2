"""docs/analysts.md: its examples run, and it describes exactly the frames and columns there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from holovitals_pipelines.workbench import Workbench
from holovitals_pipelines.workbench.queries import load_query

from .seeded import NOW, seed

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "analysts.md").read_text(encoding="utf-8")
FRAMES = sorted(path.stem for path in (PROJECT / "holovitals_pipelines" / "workbench" / "sql").glob("*.sql"))


def test_the_examples_run_as_they_are_written(tmp_path: Path) -> None:
    home = seed(tmp_path / "home", shift=datetime.now(UTC) - NOW).root
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) >= 5
    script = tmp_path / "examples.py"
    script.write_text("\n".join(examples), encoding="utf-8")
    env = {**os.environ, "HOLOVITALS_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", script], env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"Patient\s+0\.50\b", ran.stdout), "half of the patients read had not changed"
    assert re.search(r"Observation\s+75\.00?\s", ran.stdout), "seconds by type"
    assert re.search(r"Observation\s+0\.75\b", ran.stdout), "three of four contradictions decided by policy"
    assert re.search(r"epic\s+1\b", ran.stdout), "one job of epic failed"


def test_every_frame_is_described_with_its_columns(bench: Workbench) -> None:
    sections = dict(re.findall(r"### `(\w+)\(\)`\n(.*?)(?=\n###? )", PAGE, re.DOTALL))
    assert sorted(sections) == FRAMES
    for name, text in sections.items():
        assert re.findall(r"^\| `(\w+)` \| \S", text, re.MULTILINE) == list(getattr(bench, name)().columns), name


def test_every_described_frame_is_a_public_method_with_a_docstring() -> None:
    for name in FRAMES:
        assert (getattr(Workbench, name).__doc__ or "").startswith("One row"), name
        assert load_query(name).startswith("-- One row")
