"""The drop folder: deliveries that a receiver outside of ours has put down as files, `drop/<connection>/<name>.json`.

Law: a file goes to `done/` only after what it brought is committed; one that cannot be used goes to `refused/`, whole.
A crash in between takes the file once more, and the inbox knows what it has.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pyarrow import fs

from holovitals_pipelines.engine.events import VendorEvent, request_after
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.job_queue import submit
from holovitals_pipelines.engine.webhooks.receiving import LARGEST_BODY, Delivery, take_deliveries
from holovitals_pipelines.providers.webhooks.notices import Kind, plain_notice

MOST_A_TIME = 200
LARGEST_FILE = 2 * LARGEST_BODY
STILL_WRITTEN = timedelta(seconds=60)
"""A file that is no JSON yet may be half of one, if it is younger; writers had better rename it when it is whole."""
REQUESTED_BY = "drop folder"


@dataclass(slots=True)
class Dropped:
    """How many files were …"""

    taken: int = 0
    refused: int = 0
    waiting: int = 0
    """… left for the next time: half written, or more than are taken at once."""


@dataclass(frozen=True, slots=True)
class _File:
    connection: str
    path: str = field(repr=False)
    at: datetime
    content: bytes = field(repr=False)


def take_dropped(home: Home) -> Dropped:
    """Take what lies in the home's drop folder, and under `drop/` of a landing zone that is an object store.

    Raises StoreError: nothing was taken that is not kept, and all of it lies there still.
    """
    dropped = Dropped()
    for files, root in _places(home):
        _take_from(home, files, root, dropped)
    return dropped


def remove_done(home: Home, before: datetime) -> int:
    """Remove files that were taken before then; what was refused stays until somebody looks. How many there were."""
    removed = 0
    for files, root in _places(home):
        for one in files.get_file_info(fs.FileSelector(f"{root}/done", allow_not_found=True, recursive=True)):
            if one.is_file and one.mtime.astimezone(UTC) < before:
                files.delete_file(one.path)
                removed += 1
    return removed


def _places(home: Home) -> Iterator[tuple[fs.FileSystem, str]]:
    yield fs.LocalFileSystem(), str(home.settings.root / "drop")
    url = home.settings.resolved_landing_url
    if "://" in url and not url.startswith("file:"):
        files, root = fs.FileSystem.from_uri(url)
        yield files, f"{root}/drop"


def _take_from(home: Home, files: fs.FileSystem, root: str, dropped: Dropped) -> None:
    deliveries: list[tuple[_File, Delivery]] = []
    hints: dict[str, list[tuple[_File, VendorEvent]]] = {}
    for file in _files(files, root, dropped):
        told = _parsed(file.content)
        connection = home.connections.get(file.connection)
        if told is None and datetime.now(UTC) - file.at < STILL_WRITTEN:
            dropped.waiting += 1
        elif told is not None and connection is not None and (delivery := _delivery(told, file.at)):
            deliveries.append((file, delivery))
        elif told is not None and connection is not None and connection.unsigned_hints and (hint := _hint(told)):
            hints.setdefault(file.connection, []).append((file, hint))
        else:
            _put_away(files, root, "refused", file)
            dropped.refused += 1
    answers = take_deliveries(home, [delivery for _, delivery in deliveries]) if deliveries else []
    for (file, _), answer in zip(deliveries, answers, strict=True):
        taken = answer.status < 300
        _put_away(files, root, "done" if taken else "refused", file)
        dropped.taken, dropped.refused = dropped.taken + taken, dropped.refused + (not taken)
    for name, told_of in hints.items():
        request = request_after(name, [hint for _, hint in told_of])
        submit(home, request, requested_by=REQUESTED_BY, idempotency_key=_key(name, [file for file, _ in told_of]))
        for file, _ in told_of:
            _put_away(files, root, "done", file)
            dropped.taken += 1


def _files(files: fs.FileSystem, root: str, dropped: Dropped) -> Iterator[_File]:
    """The oldest names first; `<connection>/<name>.json` and nothing deeper."""
    found = []
    for folder in files.get_file_info(fs.FileSelector(root, allow_not_found=True)):
        if folder.type is fs.FileType.Directory and folder.base_name not in ("done", "refused"):
            inside = files.get_file_info(fs.FileSelector(folder.path))
            found += [(folder.base_name, one) for one in inside if one.is_file and one.extension == "json"]
    found.sort(key=lambda pair: pair[1].path)
    dropped.waiting += max(0, len(found) - MOST_A_TIME)
    for connection, one in found[:MOST_A_TIME]:
        with files.open_input_stream(one.path) as stream:
            content = stream.read(LARGEST_FILE + 1)
        yield _File(connection, one.path, one.mtime.astimezone(UTC), content)


def _parsed(content: bytes) -> Mapping[str, Any] | None:
    if len(content) > LARGEST_FILE:
        return {}
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else {}


def _delivery(told: Mapping[str, Any], at: datetime) -> Delivery | None:
    """`{"token", "headers", "body" or "bodyBase64"}` as it came in over HTTP; None for what is none."""
    headers, token = told.get("headers"), told.get("token")
    if not isinstance(headers, dict) or not (token is None or isinstance(token, str)):
        return None
    try:
        raw = (
            base64.b64decode(told["bodyBase64"], validate=True) if "bodyBase64" in told else str(told["body"]).encode()
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    return Delivery(token, {str(name).lower(): str(value) for name, value in headers.items()}, raw, at)


def _hint(told: Mapping[str, Any]) -> VendorEvent | None:
    """What an unsigned file says to read again; None for nothing."""
    notice = plain_notice(told)
    if notice.kind is Kind.CHANGE and notice.resource_type is not None and notice.remote_id is not None:
        return VendorEvent(notice.remote_id, notice.resource_type)
    return VendorEvent(notice.patient_id) if notice.patient_id is not None else None


def _key(connection: str, told_of: list[_File]) -> str:
    """The same for the same files, should they be taken once more."""
    digest = hashlib.sha256()
    for file in told_of:
        digest.update(file.path.encode() + b"\n" + file.content + b"\n" + file.at.isoformat().encode())
    return f"drop:{connection}:{digest.hexdigest()[:32]}"


def _put_away(files: fs.FileSystem, root: str, where: str, file: _File) -> None:
    """Under a name that no other file of the same name takes away."""
    folder = f"{root}/{where}/{file.connection}"
    files.create_dir(folder, recursive=True)
    name = file.path.rpartition("/")[2].removesuffix(".json")
    files.move(file.path, f"{folder}/{name}.{hashlib.sha256(file.content).hexdigest()[:8]}.json")
