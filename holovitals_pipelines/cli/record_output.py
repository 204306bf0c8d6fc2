"""How records are shown: lists, versions and links without content.

Law: nothing here shows a value of a resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from holovitals_pipelines.cli.output import console, plain_table, print_json, say
from holovitals_pipelines.engine.local_records import LocalRecord, RecordVersion
from holovitals_pipelines.engine.record_view import ListedRecord, RecordLink

_WIDE = 96
_SHORT_ID = 12
"""Of a record's id where the whole would be broken in two: enough to name one among millions, and to copy."""


def record_as_json(record: LocalRecord) -> dict[str, Any]:
    return {
        "recordId": record.record_id,
        "resourceType": record.resource_type,
        "version": record.version,
        "state": record.state,
    }


def print_list(found: Sequence[ListedRecord]) -> None:
    table = plain_table("record", "resource", ">version", "state", "changed by", "changed")
    shown = None if console.width >= _WIDE else _SHORT_ID
    for one in found:
        cells = (one.record_id[:shown], one.resource_type, str(one.version), one.state, one.changed_by)
        table.add_row(*map(Text, cells), f"{one.updated_at:%Y-%m-%d %H:%M}")
    console.print(table)


def listed_as_json(one: ListedRecord) -> dict[str, Any]:
    return {
        "recordId": one.record_id,
        "resourceType": one.resource_type,
        "version": one.version,
        "state": one.state,
        "changedBy": one.changed_by,
        "updatedAt": one.updated_at.isoformat(),
    }


def print_versions(versions: Sequence[RecordVersion]) -> None:
    table = plain_table(">version", "state", "changed by", "at", "content")
    for one in versions:
        at = f"{one.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.version), one.state, Text(one.changed_by), at, one.document_hash.hex())
    console.print(table)


def version_as_json(one: RecordVersion) -> dict[str, Any]:
    return {
        "version": one.version,
        "state": one.state,
        "changedBy": one.changed_by,
        "at": one.at.isoformat(),
        "document": one.document_hash.hex(),
    }


def link_as_json(one: RecordLink) -> dict[str, Any]:
    waiting = one.waiting
    return {
        "linkId": one.link_id,
        "connection": one.connection,
        "remoteId": one.remote_id,
        "state": one.state,
        "agreed": one.agreed,
        "changedHere": one.changed_here,
        "marked": one.marked,
        "conflictId": one.conflict_id,
        "standing": [
            {"element": s.element, "severity": s.severity, "reason": s.reason, "since": s.since.isoformat()}
            for s in one.standing
        ],
        "waiting": None
        if waiting is None
        else {
            "operation": waiting.operation,
            "state": waiting.state,
            "attempts": waiting.attempts,
            "nextAt": waiting.next_at.isoformat() if waiting.next_at else None,
            "error": waiting.error,
        },
    }


def print_link(one: RecordLink) -> None:
    remote = f" as {one.remote_id}" if one.remote_id else ", not created there yet"
    say(console, Text.assemble((one.connection, "bold"), f"{remote}, {one.state}"))
    agreed = {True: "both sides held the same", False: "the sides differed", None: "none"}[one.agreed]
    say(console, f"    last agreement: {agreed}{'; changed here since' if one.changed_here else ''}")
    for standing in one.standing:
        since = f"since {standing.since:%Y-%m-%d}"
        say(
            console, f"    stays different: {standing.element}, {standing.severity.lower()}, {standing.reason}, {since}"
        )
    if one.conflict_id is not None:
        say(console, f"    in conflict: holovitals conflicts show {one.conflict_id[:8]}")
    if one.waiting is not None:
        error = f", {one.waiting.error}" if one.waiting.error else ""
        tried = f"{one.waiting.attempts} attempts"
        say(console, f"    to be written: {one.waiting.operation}, {one.waiting.state}, {tried}{error}")
    if one.marked is not None:
        say(console, f"    will be looked at again: {one.marked.replace('_', ' ')}")


def report_change(record: LocalRecord, as_json: bool) -> None:
    if as_json:
        print_json(record_as_json(record))
    else:
        now = "is deleted" if record.state == "deleted" else "is as you wanted it"
        say(console, f"The record {now}: version {record.version}. It reaches its vendors at the next sync.")
        say(console, f"  {record.record_id}")
