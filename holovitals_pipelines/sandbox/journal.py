"""What was written at the simulated vendors, in a file: a sandbox started again with it stands where it stood.

Law: a write is in the file before it is answered, and the file is repeated in the order in which it was written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.people import retire
from holovitals_pipelines.sandbox.site import Site

Origin = Mapping[str, Any]
"""What the vendors held before anything was written: `{"patients": 40, "seed": 1}`, or `{"data": "/path"}`."""


class _Head(msgspec.Struct):
    origin: dict[str, Any]


class _Line(msgspec.Struct, omit_defaults=True):
    """One write at `vendor`: a resource that was put or deleted, or two patients that were made one.

    `at` is in milliseconds since the epoch, by the sandbox's clock.
    """

    vendor: str
    at: int = 0
    type: str = ""
    id: str = ""
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    survivor: str | None = None
    """Of the patient `id`, who was merged into this one."""


_read_head = msgspec.json.Decoder(_Head).decode
_read_line = msgspec.json.Decoder(_Line).decode


def origin_of(*, data: Path | None, patients: int, seed: int) -> Origin:
    return {"data": str(data.resolve())} if data is not None else {"patients": patients, "seed": seed}


def read_origin(path: Path) -> Origin | None:
    """What the journal's vendors held at first; None where there is no journal yet. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            first = file.readline()
    except FileNotFoundError:
        return None
    return _origin_in(first, path) if first else None


def _origin_in(line: bytes, path: Path) -> Origin:
    try:
        return _read_head(line).origin
    except msgspec.MsgspecError:
        raise _damaged(path, 1) from None


class Journal:
    """An open journal; no second sandbox can open it until this one has ended."""

    def __init__(self, path: Path, origin: Origin) -> None:
        """Raises ConfigurationError when it is in use, damaged, or another population's."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._lock()
            self._drop_half_a_line()
            known = read_origin(path)
            if known is None:
                self._append(orjson.dumps({"origin": dict(origin)}))
            elif known != origin:
                raise ConfigurationError(
                    f"the journal's vendors began with {_told(known)}, these with {_told(origin)}",
                    code="sandbox.journal_of_others",
                    place=str(path),
                    remedy="start them as they were begun, or name another journal",
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._file)

    def repeat(self, sites: Mapping[str, Site]) -> int:
        """Do all writes again at those vendors that run, with their times and versions; then note every new one.

        Returns how many were done. Raises ConfigurationError naming the line that is damaged.
        """
        count = 0
        for number, line in self._lines():
            site = sites.get(line.vendor)
            if site is not None:
                try:
                    _do(site, line)
                except (ValueError, KeyError):
                    raise _damaged(self._path, number) from None
                count += 1
        for name, site in sites.items():
            site.records.note = self._noting(name)
            site.note_merge = self._noting_merges(name)
        return count

    def _lines(self) -> Iterator[tuple[int, _Line]]:
        with self._path.open("rb") as file:
            file.readline()
            for number, line in enumerate(file, start=2):
                try:
                    yield number, _read_line(line)
                except msgspec.MsgspecError:
                    raise _damaged(self._path, number) from None

    def _noting(self, vendor: str) -> Any:
        def note(at: int, kind: str, identity: str, body: bytes | None) -> None:
            raw = msgspec.Raw(body) if body is not None else msgspec.UNSET
            self._append(msgspec.json.encode(_Line(vendor, at, kind, identity, raw)))

        return note

    def _noting_merges(self, vendor: str) -> Any:
        def note(retired: str, survivor: str) -> None:
            self._append(msgspec.json.encode(_Line(vendor, type="Patient", id=retired, survivor=survivor)))

        return note

    def _append(self, line: bytes) -> None:
        os.write(self._file, line + b"\n")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                "another sandbox has the journal open",
                code="sandbox.journal_in_use",
                place=str(self._path),
                remedy="end it, or use the vendors that it runs",
            ) from None

    def _drop_half_a_line(self) -> None:
        """A write that did not get into the file whole was never answered."""
        whole = self._path.read_bytes()
        os.ftruncate(self._file, whole.rfind(b"\n") + 1)


def _do(site: Site, line: _Line) -> None:
    if line.survivor is not None:
        retire(site, line.id, line.survivor)
    elif line.body is not msgspec.UNSET:
        site.records.put(line.type, line.id, bytes(line.body), at_ms=line.at)
    else:
        site.records.delete(line.type, line.id, at_ms=line.at)


def _told(origin: Origin) -> str:
    return ", ".join(f"{name} {value}" for name, value in origin.items())


def _damaged(path: Path, line: int) -> ConfigurationError:
    return ConfigurationError(
        "the line is not a journal's",
        code="sandbox.journal_damaged",
        place=f"{path}:{line}",
        remedy="restore the file, or take it away: the vendors then begin anew",
    )
