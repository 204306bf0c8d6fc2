"""`holovitals audit`: verify the log of all changes, look at it, sign its head, hand it on as FHIR Provenance.

Law: bodies of records are shown only when asked for with `--images`, and only on standard output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from holovitals_pipelines.cli.output import (
    FAILED,
    console,
    errors,
    plain_table,
    print_json,
    readable_errors,
    say,
)
from holovitals_pipelines.engine.auditing import (
    AuditReport,
    Walked,
    images_of,
    list_entries,
    show_entry,
    sign_head,
    verify,
)
from holovitals_pipelines.engine.conflict_view import find_conflict_id
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import find_job_id
from holovitals_pipelines.engine.provenance_export import export_provenance
from holovitals_pipelines.engine.record_view import find_record_id
from holovitals_pipelines.model.errors import JobError, StoreError
from holovitals_pipelines.store.audit import LoggedEntry
from holovitals_pipelines.store.audit.heads import Head

audit_app = typer.Typer(
    help="Verify the log of all changes, look at it, sign it, export it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]

_ABSENT = "(absent)"


@audit_app.command("verify")
def verify_log(
    records: Annotated[
        bool, typer.Option("--records", help="also replay the log and compare every record with it")
    ] = False,
    heads: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="believe these signed heads: a copy of heads.jsonl kept elsewhere"),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="believe only heads signed with this public key; repeatable"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk the whole log and say whether it is as it was written; exit code 1 when it is not.

    The chain shows entries that were edited, removed or moved. Only signed heads show entries that were cut off the
    end, or a log that was written anew: keep a copy of them where nobody who can write to the store can write.

    ```
    holovitals audit verify
    holovitals audit verify --records
    holovitals audit verify --heads /mnt/elsewhere/heads.jsonl --key auditor.pub.pem
    ```
    """
    with readable_errors(as_json), open_home() as home, _bar(errors) as walked:
        report = verify(home, heads_file=heads, key_files=key or (), records=records, walked=walked)
    if as_json:
        print_json(_report_as_json(report))
    else:
        _print_report(report)
    if not report.intact:
        raise typer.Exit(FAILED)


@contextmanager
def _bar(target: Console) -> Iterator[Walked]:
    """Silent where nobody looks at a terminal."""
    columns = (TextColumn("verifying"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=target, transient=True, disable=not target.is_terminal) as progress:
        task = progress.add_task("verifying", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_report(report: AuditReport) -> None:
    for finding in report.findings:
        place = f" entry {finding.seq}:" if finding.seq is not None else ""
        say(console, Text.assemble((finding.code, "bold red"), f"{place} {finding.message}"))
        say(console, f"    → {finding.remedy}")
    if report.finding_count > len(report.findings):
        say(console, f"… and {report.finding_count - len(report.findings):,} more findings")
    verdict = ("intact", "bold green") if report.intact else (f"{report.finding_count:,} findings", "bold red")
    say(console, Text.assemble(verdict, f": {report.entries:,} entries, {report.heads:,} signed heads"))
    if report.newest_head is not None:
        signed = f"the newest head names entry {report.newest_head.seq:,}, signed {_instant(report.newest_head)}"
        say(console, f"  {signed}; {report.unsigned:,} entries came after it")
    if report.before_the_log:
        say(console, f"  {report.before_the_log:,} records are older than the log and have no entry")


def _instant(told: Head | LoggedEntry) -> str:
    return f"{told.at:%Y-%m-%d %H:%M:%S} UTC"


def _report_as_json(report: AuditReport) -> dict[str, Any]:
    return {
        "intact": report.intact,
        "entries": report.entries,
        "heads": report.heads,
        "newestHead": _head_as_json(report.newest_head),
        "unsigned": report.unsigned,
        "findingCount": report.finding_count,
        "findings": [
            {"code": one.code, "seq": one.seq, "message": one.message, "remedy": one.remedy} for one in report.findings
        ],
        "recordsBeforeTheLog": report.before_the_log,
    }


def _head_as_json(head: Head | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {
        "seq": head.seq,
        "entryHash": head.entry_hash.hex(),
        "at": head.at.isoformat(),
        "count": head.count,
        "keyId": head.key_id,
    }


@audit_app.command("list")
def list_log(
    record: Annotated[str | None, typer.Option(help="only this record")] = None,
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    conflict: Annotated[str | None, typer.Option(help="only this conflict")] = None,
    job: Annotated[str | None, typer.Option(help="only this job")] = None,
    since_seq: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="from the entry after N onwards, instead of the newest first")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List changes, the newest first: who did what to which record, and why. Times are UTC.

    No content of a record is shown; `holovitals audit show` looks closer. The beginning of an id is enough, unless only
    the log knows it.
    """
    with readable_errors(as_json), open_home() as home:
        found = list_entries(
            home,
            record_id=_whole(record, lambda name: find_record_id(home.database, name)),
            connection=connection,
            conflict_id=_whole(conflict, lambda name: find_conflict_id(home.database, name)),
            job_id=_whole(job, lambda name: find_job_id(home, name)),
            since_seq=since_seq,
            limit=limit,
        )
    if as_json:
        print_json([_entry_as_json(one) for one in found])
    elif not found:
        say(console, "The audit log has no such entry.")
    else:
        _print_entries(found)


def _whole(name: str | None, find: Callable[[str], str]) -> str | None:
    """The whole id. Raises what `find` raises for one that is not clear; an unknown one the log may know."""
    if name is None:
        return None
    try:
        return find(name)
    except (JobError, StoreError) as error:
        if not error.code.endswith(".unknown"):
            raise
        return name


def _print_entries(found: Sequence[LoggedEntry]) -> None:
    table = plain_table(">seq", "at", "actor", "action", "record", "version", "cause")
    for one in found:
        cells = (
            f"{one.seq}",
            f"{one.at:%m-%d %H:%M:%S}",
            one.actor,
            one.action,
            one.record_id or "-",
            _versions(one),
            one.cause or "-",
        )
        table.add_row(*map(Text, cells))  # as text: an actor's name is not markup
    console.print(table)


def _versions(one: LoggedEntry) -> str:
    if one.before_version is None and one.after_version is None:
        return "-"
    return f"{one.before_version or '·'} → {one.after_version or '·'}"


def _entry_as_json(one: LoggedEntry) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "at": one.at.isoformat(),
        "actor": one.actor,
        "action": one.action,
        "linkId": one.link_id,
        "recordId": one.record_id,
        "connection": one.connection,
        "conflictId": one.conflict_id,
        "beforeDocument": _hex(one.before_document),
        "afterDocument": _hex(one.after_document),
        "beforeVersion": one.before_version,
        "afterVersion": one.after_version,
        "cause": one.cause,
        "jobId": one.job_id,
        "policyVersion": one.policy_version,
        "detail": one.detail,
        "previousEntry": _hex(one.previous_entry),
        "entryHash": one.entry_hash.hex(),
    }


def _hex(value: bytes | None) -> str | None:
    return value.hex() if value is not None else None


@audit_app.command("show")
def show(
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="the entry's number, as `holovitals audit list` shows it")],
    images: Annotated[
        bool, typer.Option("--images", help="also the record's body before and after: this prints health data")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One entry with everything it says; with `--images` the record's exact body before and after it.

    Bodies are health data: they go to standard output and nowhere else.
    """
    with readable_errors(as_json), open_home() as home:
        told = _entry_as_json(show_entry(home, seq))
        if images:
            before, after = images_of(home, seq)
            told |= {"before": _text(before), "after": _text(after)}
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        if name not in ("before", "after"):
            say(console, Text.assemble((f"{name:<15}", "bold"), f" {'-' if value is None else value}"))
    if images:
        for name in ("before", "after"):
            sys.stdout.write(f"\n{name}:\n{_ABSENT if told[name] is None else told[name]}\n")


def _text(body: bytes | None) -> str | None:
    """Bodies were valid UTF-8 when they were taken in."""
    return body.decode(errors="replace") if body is not None else None


@audit_app.command("sign")
def sign(
    begin_anew: Annotated[
        bool,
        typer.Option("--begin-anew", help="set the old heads aside and begin anew: after a restore, see docs/audit.md"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign the newest entry and keep the head outside the store, in the folder `audit` of the home.

    The key is made at the first use. Copy `heads.jsonl` and the public key to a place where nobody who can write to the
    store can write: only that proves a log that was cut or written anew.
    """
    with readable_errors(as_json), open_home() as home:
        head = sign_head(home, begin_anew=begin_anew)
    if as_json:
        print_json(_head_as_json(head))
    elif head is None:
        say(console, "The audit log is empty: there is nothing to sign yet.")
    else:
        say(console, f"Entry {head.seq:,} is the newest signed one; signed {_instant(head)} with key {head.key_id}.")


@audit_app.command("export")
def export(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="NDJSON file to write; - for standard output")
    ] = Path("-"),
    since_seq: Annotated[int, typer.Option(min=0, metavar="N", help="only entries after N")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a FHIR R4 Provenance for every entry that changed a record, one a line.

    It has references, versions, who and why, and no content of a record.

    ```
    holovitals audit export -o provenance.ndjson
    holovitals audit export -o provenance-2.ndjson --since-seq 120000
    ```
    """
    with readable_errors(as_json), open_home() as home, _written(output) as out:
        exported = export_provenance(home, out, since_seq=since_seq)
    if as_json and output != Path("-"):
        print_json({"count": exported.count, "lastSeq": exported.last_seq})
    else:
        more = f"the next export begins with --since-seq {exported.last_seq}"
        say(errors, f"{exported.count:,} Provenance resources written; {more}.")


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all, readable by its owner only."""
    if path == Path("-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            yield out
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
