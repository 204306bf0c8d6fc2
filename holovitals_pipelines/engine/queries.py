"""The engine's set operations, kept as SQL files where they can be read and formatted."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load_query(name: str) -> str:
    return (files("holovitals_pipelines.engine") / "sql" / f"{name}.sql").read_text(encoding="utf-8")
