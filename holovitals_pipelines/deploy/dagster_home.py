"""The Dagster home of an installation, generated from the template; an edited dagster.yaml is left alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

TEMPLATE = "dagster.local.yaml"


def prepare_dagster_home(folder: Path) -> Path:
    """Create `folder` with a dagster.yaml if it has none; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "dagster.yaml"
    if not target.exists():
        partial = folder / ".dagster.yaml.part"
        partial.write_text((files("holovitals_pipelines.deploy") / TEMPLATE).read_text(encoding="utf-8"), encoding="utf-8")
        partial.replace(target)
    return folder
