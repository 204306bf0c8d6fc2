"""The Dagster home of an installation, generated from the templates; a file that was edited is left alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

TEMPLATES = {"dagster.yaml": "dagster.local.yaml", "workspace.yaml": "workspace.yaml"}


def prepare_dagster_home(folder: Path) -> Path:
    """Create `folder` with the dagster.yaml and workspace.yaml it lacks; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in TEMPLATES.items():
        target = folder / name
        if not target.exists():
            partial = folder / f".{name}.part"
            partial.write_bytes((files("holovitals_pipelines.deploy") / template).read_bytes())
            partial.replace(target)
    return folder
