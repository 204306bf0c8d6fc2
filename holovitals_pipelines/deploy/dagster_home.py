"""The Dagster home of an installation, generated from the templates; a file that was edited is left alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

WORKSPACE = "workspace.yaml"
INSTANCES = {False: "dagster.local.yaml", True: "dagster.distributed.yaml"}
"""The template of dagster.yaml by whether it is for several machines."""


def prepare_dagster_home(folder: Path, *, distributed: bool = False) -> Path:
    """Create `folder` with the dagster.yaml and workspace.yaml it lacks; returns the folder.

    A dagster.yaml that is the other template, unedited, is replaced: the setting was changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / "dagster.yaml", template(INSTANCES[distributed]), instead_of=template(INSTANCES[not distributed]))
    _put(folder / WORKSPACE, template(WORKSPACE))
    return folder


def template(name: str) -> bytes:
    return (files("holovitals_pipelines.deploy") / name).read_bytes()


def _put(target: Path, content: bytes, instead_of: bytes | None = None) -> None:
    if target.exists() and target.read_bytes() != instead_of:
        return
    partial = target.with_name(f".{target.name}.part")
    partial.write_bytes(content)
    partial.replace(target)
