"""`holovitals backup` and `restore`: copy an installation while it works, and put the copy back.

Law: nothing is written over: neither another backup nor a home.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from holovitals_pipelines.cli.output import FAILED, console, errors, print_json, readable_errors, say
from holovitals_pipelines.engine.auditing import AuditReport, verify
from holovitals_pipelines.engine.backup.making import make_backup
from holovitals_pipelines.engine.backup.restoring import Restored, restore_backup
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]


def backup(
    folder: Annotated[Path, typer.Argument(help="a new folder, not in the home; best on another disk")],
    database_dumped: Annotated[
        bool, typer.Option("--database-dumped", help="the PostgreSQL was just dumped with pg_dump: copy the rest")
    ] = False,
    without_landing: Annotated[
        bool, typer.Option("--without-landing", help="leave out the landing zone: its object store keeps copies itself")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the whole installation to a new folder, while everything works.

    The store as it is at one instant, every part of the landing zone it lists, the audit log's heads, keys and
    declarations. It holds health data and keys: encrypt where it lies. Put it back with `holovitals restore`.

    ```
    holovitals backup /mnt/backup/$(date +%F)
    ```
    """
    with readable_errors(as_json), open_home() as home:
        columns = (TextColumn("copying"), BarColumn(bar_width=24), MofNCompleteColumn())
        with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
            task = bar.add_task("copying", total=None)
            manifest = make_backup(
                home,
                folder,
                store_elsewhere=database_dumped,
                landing_elsewhere=without_landing,
                told=lambda done, total: bar.update(task, completed=done, total=total),
            )
    if as_json:
        print_json({"folder": str(folder), "files": len(manifest.files), "bytes": manifest.size})
    else:
        say(console, f"{len(manifest.files):,} files, {manifest.size / 1e6:,.1f} MB: {folder}")


def restore(
    folder: Annotated[Path, typer.Argument(help="what `holovitals backup` made")],
    replace: Annotated[
        bool, typer.Option("--replace", help="the home is in use: move what is there aside, into a folder in it")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup back into the home folder, and verify the audit log and every part; exit code 1 if any is wrong.

    The home is HOLOVITALS_HOME, and has to be empty unless `--replace` says otherwise. Schedules are off afterwards.
    Then bring both sides together: `holovitals anti-entropy NAME` for every connection.

    ```
    HOLOVITALS_HOME=/srv/holovitals holovitals restore /mnt/backup/2026-01-31
    ```
    """
    with readable_errors(as_json):
        settings = Settings()
        restored = restore_backup(settings, folder, replace=replace)
        with open_home(settings) as home:
            report = verify(home, records=True)
    if as_json:
        print_json(_as_json(settings, restored, report))
    else:
        _print(settings, restored, report)
    if not report.intact:
        raise typer.Exit(FAILED)


def _as_json(settings: Settings, restored: Restored, report: AuditReport) -> dict[str, object]:
    return {
        "home": str(settings.root),
        "madeAt": restored.manifest.made_at,
        "files": len(restored.manifest.files),
        "setAside": str(restored.set_aside) if restored.set_aside else None,
        "missingSecrets": list(restored.missing_secrets),
        "auditEntries": report.entries,
        "auditFindings": [finding.code for finding in report.findings],
    }


def _print(settings: Settings, restored: Restored, report: AuditReport) -> None:
    manifest = restored.manifest
    say(console, f"{len(manifest.files):,} files, made at {manifest.made_at}: {settings.root}")
    if restored.set_aside:
        say(console, f"what was there before: {restored.set_aside}")
    for path in restored.missing_secrets:
        say(errors, f"a connection names a file that is not there: {path}")
    for finding in report.findings:
        say(errors, f"{finding.code}: {finding.message}")
        say(errors, f"  → {finding.remedy}")
    verdict = "intact" if report.intact else f"{report.finding_count:,} findings"
    say(console, f"the audit log: {verdict}, {report.entries:,} entries")
    say(console, "next: holovitals anti-entropy for every connection; schedules are off")
