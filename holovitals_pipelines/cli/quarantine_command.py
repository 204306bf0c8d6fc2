"""`holovitals quarantine`: what was refused, why, and how it is closed.

Law: ids and contents of what is held stay in the store.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.acting import acting
from holovitals_pipelines.cli.output import console, print_json, readable_errors, say
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.quarantine import (
    Closed,
    Explained,
    dismiss_held,
    explain_held,
    held_resources,
    release_held,
)
from holovitals_pipelines.model.vocabulary import SourceFormat

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
_FORMATS = {
    SourceFormat.FHIR_R4: "FHIR R4",
    SourceFormat.FHIR_STU3: "FHIR STU3",
    SourceFormat.FHIR_DSTU2: "FHIR DSTU2",
    SourceFormat.HL7_V2: "read from HL7 v2 messages",
    SourceFormat.CDA: "C-CDA",
    SourceFormat.CUSTOM_JSON: "JSON in the vendor's own form",
    SourceFormat.CUSTOM_XML: "XML in the vendor's own form",
}
Limit = Annotated[int, typer.Option(min=1, max=1000, help="how many at the most")]


def quarantine(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    limit: Limit = 50,
    closed: Annotated[bool, typer.Option("--closed", help="those that are held no more, and who closed them")] = False,
    explain: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="everything that is wrong with this one")
    ] = None,
    release: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="let this one go: the rules of today take it")
    ] = None,
    dismiss: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="close this one for good: it shall not come in")
    ] = None,
    reason: Annotated[str, typer.Option(help="why it is dismissed")] = "",
    actor: Annotated[str | None, typer.Option(help="who acts; default: the user of this system")] = None,
    as_json: AsJson = False,
) -> None:
    """Resources that were refused and are kept: where they came from, the rule they broke, what to do.

    Shown are the newest that are still held, or with --closed those that are not; ids and contents stay in the store.
    A resource leaves quarantine when a later read brings it whole: mend it at the vendor, then
    `holovitals sync --full`. One that the rules of today take, after a rule set was changed, is released and read again
    by a job; what shall not come in, or has come in by another reading, is dismissed with a reason. The bytes stay, and
    the audit log tells who closed it.

    ```
    holovitals quarantine --explain 7
    holovitals quarantine --closed
    holovitals quarantine --release 7
    holovitals quarantine --dismiss 7 --reason "a test patient"
    ```
    """
    if sum(number is not None for number in (explain, release, dismiss)) > 1:
        raise typer.BadParameter("one of them at a time", param_hint="--explain, --release, --dismiss")
    with readable_errors(as_json), open_home() as home:
        if explain is not None:
            _explain(explain_held(home, explain), as_json)
            return
        if release is not None:
            _closed(release_held(home, release, actor=acting(actor)), as_json)
            return
        if dismiss is not None:
            _closed(dismiss_held(home, dismiss, reason=reason, actor=acting(actor)), as_json)
            return
        held = held_resources(home, connection, limit, closed=closed)
    if as_json:
        print_json(held)
    elif not held:
        say(console, "Nothing has left quarantine yet." if closed else "Nothing is in quarantine.")
    else:
        for row in held:
            _print_held(row)
        if len(held) == limit:
            say(console, f"The newest {limit} are shown; more with --limit.")


def _closed(closed: Closed, as_json: bool) -> None:
    if as_json:
        print_json({"quarantineId": closed.quarantine_id, "state": closed.state, "jobId": closed.job_id})
        return
    again = ""
    if closed.state == "released":
        again = f" Job {closed.job_id} reads it again." if closed.job_id else " The next full sync reads it again."
    say(console, f"#{closed.quarantine_id} is {closed.state}.{again}")


def _explain(explained: Explained, as_json: bool) -> None:
    judged = explained.judged
    if as_json:
        names = ("severity", "path", "rule", "message", "remedy")
        issues = [{name: getattr(issue, name) for name in names} for issue in judged.issues]
        print_json({"state": explained.state, "format": judged.format, "ruleSet": judged.rule_set, "issues": issues})
        return
    made = f", made FHIR R4 by rule set {judged.rule_set}" if judged.rule_set else ""
    say(console, f"Its bytes are {_FORMATS[judged.format]}{made}.")
    if explained.closed_at is not None:
        reason = f": “{explained.closed_reason}”" if explained.closed_reason else ""
        say(
            console,
            f"It was {explained.state} by {explained.closed_by} at {explained.closed_at:%Y-%m-%d %H:%M}{reason}",
        )
    for issue in judged.issues:
        place = f" {issue.path}:" if issue.path else ""
        say(console, Text.assemble((issue.severity.lower(), "bold yellow"), f"{place} {issue.message}"))
        say(console, f"    → {issue.remedy}")
    if not judged.issues:
        say(console, "Nothing is wrong with it by the rules of today: release it, or wait for the next full sync.")


def _print_held(row: dict[str, Any]) -> None:
    head = (f"#{row['quarantineId']} {row['connection']} {row['resourceType']} ", "bold")
    element = f" at {row['path']}" if row["path"] else ""
    line = f", line {row['line']}" if row["line"] else ""
    say(console, Text.assemble(head, (row["rule"], "bold yellow"), element))
    say(console, f"    {row['message']}")
    say(console, f"    from {row['source'] or 'an unnamed place'}{line}, in {row['stage']}")
    if row["state"] == "held":
        say(console, f"    → {row['remedy']}")
        return
    by = f" by {row['closedBy']} at {row['closedAt'][:16].replace('T', ' ')}" if row["closedBy"] else ""
    say(console, f"    {row['state']}{by}")
