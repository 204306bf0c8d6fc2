"""The workbench's queries, kept as SQL files where they can be read, formatted and tested."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_query(name: str) -> str:
    return (files("holovitals_pipelines.workbench") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
