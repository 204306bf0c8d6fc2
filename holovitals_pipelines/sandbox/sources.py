"""Where a simulated vendor's resources come from: NDJSON files as they are, or the synthetic population."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from holovitals_pipelines.model.errors import ConfigurationError

_SUFFIXES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")


def ndjson_files(path: Path) -> list[Path]:
    """The file itself, or the folder's NDJSON files by name. Raises ConfigurationError when there are none."""
    if path.is_file():
        return [path]
    found = sorted(child for child in path.rglob("*") if child.name.endswith(_SUFFIXES)) if path.is_dir() else []
    if not found:
        raise ConfigurationError(
            "no NDJSON found",
            code="sandbox.no_data",
            place=str(path),
            remedy=f"give a file or a folder with files ending in {', '.join(_SUFFIXES)}",
        )
    return found


def ndjson_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """(place, resource bytes) of every non-empty line; `place` is `file:line`."""
    for file in ndjson_files(path):
        with _open(file) as lines:
            for number, line in enumerate(lines, start=1):
                body = line.strip()
                if body:
                    yield f"{file.name}:{number}", body


def _open(file: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb")
