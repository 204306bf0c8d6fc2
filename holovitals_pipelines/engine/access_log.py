"""Who opened health data through the API: one line a call, a file a day, in the home and outside the store.

Law: the line is written before the answer is given; a call whose line cannot be written is not answered.

Reading must not wait for the store's writers, so this is no table; the log of changes is another (docs/audit.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.model.paging import Page, cursor_of, place_of

_KIND = "access"
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """One call. `subject` is the id it named."""

    at: datetime
    caller: str
    call: str
    status: int
    subject: str | None
    call_id: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def access_folder(home: Home) -> Path:
    return home.settings.root / "access"


def write_access(home: Home, access: Access) -> None:
    """Append the line; processes that append at once do not mix their lines."""
    append_access(access_folder(home), access)


def append_access(folder: Path, access: Access) -> None:
    """The same without an opened home, for readers that open none."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{access.at:%Y-%m-%d}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, orjson.dumps(access.plain(), option=orjson.OPT_APPEND_NEWLINE))
    finally:
        os.close(descriptor)


def access_page(home: Home, *, caller: str | None, subject: str | None, cursor: str | None, limit: int) -> Page[Access]:
    """The newest first. Raises StoreError (`page.cursor_invalid`)."""
    day, end = place_of(cursor, _KIND, str, int) if cursor else (None, None)
    found: list[Access] = []
    for path in sorted(access_folder(home).glob("*.jsonl"), reverse=True):
        if day is not None and path.stem > day:
            continue
        for offset, line in _backwards(path, end if path.stem == day else None):
            told = _read(line)
            if told is None or caller not in (None, told.caller) or subject not in (None, told.subject):
                continue
            found.append(told)
            if len(found) == limit:
                return Page(tuple(found), cursor_of(_KIND, path.stem, offset))
    return Page(tuple(found), None)


def _read(line: bytes) -> Access | None:
    """None for a line that a killed process has left half written."""
    try:
        plain = orjson.loads(line)
        return Access(**plain | {"at": datetime.fromisoformat(plain["at"]).astimezone(UTC)})
    except (ValueError, TypeError, KeyError):
        return None


def _backwards(path: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """The lines before `end`, the last first, each with the place at which it begins."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        place = min(end, size) if end is not None else size
        tail = b""
        while place > 0:
            step = min(_BLOCK, place)
            place -= step
            file.seek(place)
            block = file.read(step) + tail
            head, newline, rest = block.partition(b"\n") if place > 0 else (b"", b"", block)
            if place > 0 and not newline:
                tail = block
                continue
            begins = place + len(head) + len(newline)
            lines = rest.splitlines(keepends=True)
            offset = begins + len(rest)
            for line in reversed(lines):
                offset -= len(line)
                yield offset, line
            tail = head + newline
