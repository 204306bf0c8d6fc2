"""`holovitals conflicts`: what contradicts, what to hold of it, and undoing what was decided.

Law: values of resources are shown by `conflicts show`, and before a question is asked; nowhere else.
"""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from holovitals_pipelines.cli.output import console, plain_table, print_json, readable_errors, say
from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.conflict_statistics import ConflictStatistics, conflict_statistics
from holovitals_pipelines.engine.conflict_view import (
    Row,
    ShownConflict,
    elements_apart,
    find_conflict_id,
    matching_conflicts,
    rows_of,
    show_conflict,
)
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.engine.review import approve_conflict, decide_conflict, mark_reviewed
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ResolutionStrategy
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict
from holovitals_pipelines.sync.facts import WHOLE

conflicts_app = typer.Typer(
    help="List conflicts, look at one side by side, decide it, undo it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="answer in JSON, for scripts")]
ConflictId = Annotated[str, typer.Argument(metavar="ID", help="the conflict; the beginning of its id is enough")]
Actor = Annotated[
    str | None, typer.Option("--actor", metavar="NAME", help="who decides; default: the operating system's user")
]
Revision = Annotated[
    int | None,
    typer.Option("--revision", metavar="N", min=1, help="the revision you looked at; needed outside a terminal"),
]

_SHORT_ID = 8
_ABSENT = "(not there)"
_BY_A_PERSON = tuple(
    strategy.value
    for strategy in ResolutionStrategy
    if strategy not in (ResolutionStrategy.MERGE, ResolutionStrategy.CUSTOM)
)
_STATUSES: Mapping[str, tuple[str, ...] | None] = {
    "open": OPEN,
    "resolved": (ConflictStatus.RESOLVED.value, ConflictStatus.IGNORED.value),
    "all": None,
}
_CHOICE = re.compile(r"(?P<unit>.+?)=(?:(?P<side>local|remote|remove)|value:(?P<value>.*))", re.DOTALL)


@conflicts_app.command("list")
def list_conflicts(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None,
    resource_type: Annotated[str | None, typer.Option("--type", "-t", help="only this resource type")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="open|resolved|all", help="default: open; with --post-review: all")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(metavar="SEVERITY", help="only CRITICAL, HIGH, MEDIUM or LOW; repeatable")
    ] = None,
    post_review: Annotated[
        bool, typer.Option("--post-review", help="only automatic decisions that a person has yet to look at")
    ] = False,
    patient: Annotated[
        str | None, typer.Option(metavar="REF", help="only about this patient, as the record refers to it")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many at the most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List conflicts, the worst first and then the oldest. No value of a resource is shown.

    ```
    holovitals conflicts list                              # what waits for a decision
    holovitals conflicts list --severity CRITICAL
    holovitals conflicts list --post-review                # decided by policy, to be looked at
    holovitals conflicts list --status all --patient Patient/123
    ```
    """
    wanted = _one_of("--status", status or ("all" if post_review else "open"), _STATUSES)
    severities = [_one_of("--severity", one.upper(), ConflictSeverity.__members__) for one in severity or ()]
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        found = matching_conflicts(
            home.database,
            connection=connection,
            resource_type=resource_type,
            statuses=_STATUSES[wanted],
            severities=severities or None,
            post_review="due" if post_review else None,
            patient=patient,
            limit=limit,
        )
    if as_json:
        print_json([_listed_as_json(conflict, elements) for conflict, elements in found])
    elif not found:
        say(console, "There is no such conflict.")
    else:
        _print_list(found)
        if len(found) == limit:
            say(console, f"The first {limit} are shown; more with --limit.")


def _one_of(option: str, value: str, known: Mapping[str, Any]) -> str:
    if value not in known:
        raise typer.BadParameter(f"choose from {', '.join(known)}", param_hint=option)
    return value


def _print_list(found: Sequence[tuple[StoredConflict, tuple[str, ...]]]) -> None:
    table = plain_table("conflict", "severity", "status", "type", "resource", "connection", "in conflict", "due")
    for conflict, elements in found:
        cells = (
            conflict.conflict_id[:_SHORT_ID],
            (conflict.severity or "-").lower(),
            _status(conflict),
            conflict.type.lower().replace("_", "-"),
            conflict.resource_type,
            conflict.connection,
            ", ".join(elements).replace(WHOLE, "whole resource") or "-",
            _due(conflict),
        )
        table.add_row(*map(Text, cells))
    console.print(table)


def _status(conflict: StoredConflict) -> str:
    if conflict.status in OPEN and conflict.decision is not None:
        return "needs approval" if conflict.two_person and not conflict.approved_by else "decided"
    return conflict.status.lower().replace("_", " ")


def _due(conflict: StoredConflict) -> str:
    if conflict.due_at is None or conflict.status not in OPEN:
        return "-"
    overdue = " overdue" if conflict.due_at < datetime.now(UTC) else ""
    return f"{conflict.due_at:%m-%d %H:%M}{overdue}"


def _listed_as_json(conflict: StoredConflict, elements: Sequence[str]) -> dict[str, Any]:
    """Nothing that names a patient or was typed by a person."""
    return {
        "conflictId": conflict.conflict_id,
        "connection": conflict.connection,
        "resourceType": conflict.resource_type,
        "recordId": conflict.record_id,
        "type": conflict.type,
        "severity": conflict.severity,
        "status": conflict.status,
        "strategy": conflict.strategy,
        "revision": conflict.revision,
        "elements": list(elements),
        "units": conflict.units,
        "twoPerson": bool(conflict.two_person),
        "rule": conflict.rule,
        "policyVersion": conflict.policy_version,
        "detectedAt": _instant(conflict.detected_at),
        "dueAt": _instant(conflict.due_at),
        "decided": conflict.decision is not None or conflict.decided_at is not None,
        "decidedBy": conflict.decided_by,
        "decidedAt": _instant(conflict.decided_at),
        "approvedBy": conflict.approved_by,
        "postReview": conflict.post_review,
        "reopened": conflict.reopened or 0,
    }


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


@conflicts_app.command("show")
def show(conflict_id: ConflictId, as_json: AsJson = False) -> None:
    """One conflict, unit by unit: what both sides agreed on last, what each holds now, and what is proposed.

    **This prints health data.** `local` is what is held here, `remote` what the vendor holds. Values are JSON. In the
    JSON answer each value is a text that holds JSON, so that no digit is lost.
    """
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
    if as_json:
        print_json(_shown_as_json(shown))
    else:
        _print_shown(shown)


def _shown_as_json(shown: ShownConflict) -> dict[str, Any]:
    conflict = shown.conflict
    elements = tuple(sorted({unit.element or "" for unit in shown.open_units}))
    return {
        **_listed_as_json(conflict, elements),
        "patient": conflict.patient,
        "reason": conflict.reason,
        "localBy": shown.local_by,
        "localUpdated": _instant(conflict.local_updated),
        "remoteBy": conflict.connection,
        "remoteUpdated": _instant(conflict.remote_updated),
        "reviewedBy": conflict.reviewed_by,
        "rows": [_row_as_json(row) for row in _rows(shown)],
        "history": [
            {"seq": h.seq, "at": h.at.isoformat(), "actor": h.actor, "action": h.action, "reason": h.reason}
            for h in shown.history
        ],
    }


def _rows(shown: ShownConflict) -> list[Row]:
    rows = rows_of(shown)
    if any(row.unit == WHOLE for row in rows):
        rows += elements_apart(shown)
    return rows


def _row_as_json(row: Row) -> dict[str, Any]:
    names = ("number", "unit", "element", "kind", "severity", "rule", "base", "local", "remote", "proposal", "why")
    told = {name: getattr(row, name) for name in names}
    return told | {"baseRemote": row.base_remote, "chosenSide": row.chosen_side, "undecided": row.undecided}


def _print_shown(shown: ShownConflict) -> None:
    conflict = shown.conflict
    severity = (conflict.severity or "not graded").lower()
    head = f"{conflict.type} of a {conflict.resource_type} at {conflict.connection}: "
    say(console, Text.assemble((head, "bold"), (severity, "bold yellow"), f", {_status(conflict)}"))
    say(console, f"  conflict {conflict.conflict_id}, revision {conflict.revision}, record {conflict.record_id}")
    say(console, f"  local  written {_when(conflict.local_updated)} by {shown.local_by or 'nobody known'}")
    say(console, f"  remote written {_when(conflict.remote_updated)} at {conflict.connection}")
    if conflict.reason:
        say(console, f"  {conflict.decided_by or 'the policy'}: {conflict.reason}")
    if conflict.two_person:
        say(console, "  a decision counts once a second person has approved it")
    for row in _rows(shown):
        _print_row(row)
    if shown.history:
        say(console, Text("\nWhat happened", style="bold"))
    for happening in shown.history:
        why = f": {happening.reason}" if happening.reason else ""
        say(
            console,
            f"  {happening.at:%Y-%m-%d %H:%M:%S} entry {happening.seq} {happening.action}, {happening.actor}{why}",
        )


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "at an unknown time"


def _print_row(row: Row) -> None:
    number = f"{row.number} " if row.number is not None else "  "
    grade = f"  {row.severity.lower()}" if row.severity else ""
    rule = f" ({row.rule})" if row.rule else ""
    kind = "" if row.number is not None else f"  {row.kind}"
    name = "* the whole resource" if row.unit == WHOLE else row.unit
    say(console, Text.assemble("\n", number, (name, "bold"), (grade, "yellow"), rule, kind))
    whole = row.unit == WHOLE
    lines = [("base", row.base), ("local", row.local), ("remote", row.remote)]
    if row.base_remote is not None:
        lines.insert(1, ("base (remote)", row.base_remote))
    for label, value in lines:
        shown = _ABSENT if value is None else "as below" if whole else value
        say(console, f"    {label:<13} {shown}")
    if row.undecided:
        say(console, f"    {'proposal':<13} to be decided")
    elif row.kind != "part" and not whole:
        side = f" ({row.chosen_side})" if row.chosen_side else ""
        say(console, f"    {'proposal':<13} {_ABSENT if row.proposal is None else row.proposal}{side}")
    elif row.chosen_side:
        say(console, f"    {'proposal':<13} {row.chosen_side}")
    if row.why:
        say(console, f"    {'why':<13} {row.why}")


@conflicts_app.command("resolve")
def resolve(
    conflict_id: ConflictId,
    strategy: Annotated[str, typer.Option(metavar="|".join(_BY_A_PERSON), help="who wins; MANUAL: as --choose says")],
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    choose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="UNIT=CHOICE",
            help="with MANUAL, for each unit in conflict: local, remote, remove, or value:JSON. "
            "UNIT is its number or its name, as `show` has them",
        ),
    ] = None,
    revision: Revision = None,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Decide a conflict. The decision counts for the values of one revision; should they change, it is asked again.

    In a terminal the units are shown and you are asked, unless `--revision` says what you have looked at. Scripts
    have to say it. LAST_WRITE_WINS and FIRST_WRITE_WINS are refused for critical conflicts and where times are unclear.

    ```
    holovitals conflicts resolve 5fde --strategy REMOTE_WINS --reason "the registry is right" --revision 1
    holovitals conflicts resolve 5fde --strategy MANUAL --reason "asked the patient" --revision 2 \\
        --choose 1=local --choose 'birthDate=value:"1951-02-03"' --choose 3=remove
    ```
    """
    how = ResolutionStrategy(_one_of("--strategy", strategy.upper(), dict.fromkeys(_BY_A_PERSON)))
    wanted = [_parsed(text) for text in choose or ()]
    if (how is ResolutionStrategy.MANUAL) is not bool(wanted):
        raise typer.BadParameter("MANUAL, and only MANUAL, takes choices", param_hint="--choose")
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
        choices = _by_name(shown, wanted)
        seen = revision or _ask(shown, "Decide so?", as_json)
        decided = decide_conflict(
            home.database,
            shown.conflict.conflict_id,
            how,
            revision=seen,
            actor=actor or getpass.getuser(),
            reason=reason,
            choices=choices,
        )
    _report(decided, as_json)


def _parsed(text: str) -> tuple[str, Choice]:
    match = _CHOICE.fullmatch(text)
    if match is None:
        raise typer.BadParameter("write UNIT=local, UNIT=remote, UNIT=remove or UNIT=value:JSON", param_hint="--choose")
    if match["side"] in ("local", "remote"):
        return match["unit"], Choice(match["side"])
    return match["unit"], Choice("value", match["value"])


def _by_name(shown: ShownConflict, wanted: Sequence[tuple[str, Choice]]) -> dict[str, Choice]:
    """A number is a unit's, unless a unit has that very name."""
    names = [unit.unit for unit in shown.open_units]
    found: dict[str, Choice] = {}
    for text, choice in wanted:
        is_number = text not in names and text.isdecimal() and 1 <= int(text) <= len(names)
        name = names[int(text) - 1] if is_number else text
        if name in found:
            raise typer.BadParameter("a unit is chosen twice", param_hint="--choose")
        found[name] = choice
    return found


def _ask(shown: ShownConflict, question: str, as_json: bool) -> int:
    """The revision that was shown and agreed to; where nobody can be asked, a mistake."""
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise typer.BadParameter(
            "say which revision you have looked at (`holovitals conflicts show`)", param_hint="--revision"
        )
    _print_shown(shown)
    typer.confirm(f"\n{question}", abort=True)
    return shown.conflict.revision


def _report(conflict: StoredConflict, as_json: bool) -> None:
    if as_json:
        print_json(_listed_as_json(conflict, ()) | {"appliedAtNextSync": not _waits_for_approval(conflict)})
    elif _waits_for_approval(conflict):
        say(console, "Decided. It counts once a second person has approved it:")
        short = conflict.conflict_id[:_SHORT_ID]
        say(console, f"  holovitals conflicts approve {short} --revision {conflict.revision}")
    else:
        say(console, "Decided. It is applied at the next sync, or now:")
        say(console, f"  holovitals writeback {conflict.connection}")


def _waits_for_approval(conflict: StoredConflict) -> bool:
    return bool(conflict.two_person) and not conflict.approved_by


@conflicts_app.command("approve")
def approve(conflict_id: ConflictId, revision: Revision = None, actor: Actor = None, as_json: AsJson = False) -> None:
    """Agree, as a second person, to a decision on who a patient is. It counts from then on.

    In a terminal the conflict is shown and you are asked, unless `--revision` says what you have looked at.

    ```
    holovitals conflicts approve 5fde --revision 1 --actor bob
    ```
    """
    with readable_errors(as_json), open_home() as home:
        shown = show_conflict(home.database, find_conflict_id(home.database, conflict_id))
        seen = revision or _ask(shown, "Approve this decision?", as_json)
        approved = approve_conflict(
            home.database, shown.conflict.conflict_id, revision=seen, actor=actor or getpass.getuser()
        )
    _report(approved, as_json)


@conflicts_app.command("reviewed")
def reviewed(conflict_id: ConflictId, actor: Actor = None, as_json: AsJson = False) -> None:
    """Note that a person has looked at an automatic decision and lets it stand.

    `holovitals conflicts list --post-review` shows those that are due; what should not stand is undone with `revert`.
    """
    with readable_errors(as_json), open_home() as home:
        found = find_conflict_id(home.database, conflict_id)
        done = mark_reviewed(home.database, found, actor=actor or getpass.getuser())
    if as_json:
        print_json(_listed_as_json(done, ()))
    else:
        say(console, "Noted.")


@conflicts_app.command("revert")
def revert(
    conflict_id: ConflictId,
    reason: Annotated[str, typer.Option(help="why, for whoever asks later")],
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Undo what a decision made of the record, by a person or by policy: a new version, which flows out to the vendors.

    Whatever else has changed since stays. Where something newer contradicts, nothing is undone and the elements are
    named. Where the vendor's side gave way, its values are restored, here and there.

    ```
    holovitals conflicts revert 5fde --reason "the passport was somebody else's"
    ```
    """
    with readable_errors(as_json), open_home() as home:
        found = find_conflict_id(home.database, conflict_id)
        undone = revert_conflict(home.database, found, actor=actor or getpass.getuser(), reason=reason)
    if as_json:
        record = undone.record
        told = {"recordId": record.record_id, "version": record.version, "state": record.state, "seq": undone.seq}
        print_json({"conflictId": found, **told})
        return
    say(console, f"Undone: the record has version {undone.record.version}. It reaches the vendors at the next sync.")
    say(console, f"  To undo this: holovitals records revert {undone.seq}")


@conflicts_app.command("statistics")
def statistics(
    connection: Annotated[str | None, typer.Option(help="only this connection")] = None, as_json: AsJson = False
) -> None:
    """What the conflicts add up to: how they were decided, how soon, and how many decisions did not last."""
    with readable_errors(as_json), open_home() as home:
        if connection is not None:
            home.connection(connection)
        told = conflict_statistics(home.database, connection)
    if as_json:
        print_json(_statistics_as_json(told))
    else:
        _print_statistics(told)


def _statistics_as_json(told: ConflictStatistics) -> dict[str, Any]:
    return {
        "total": told.total,
        "open": told.open,
        "overdue": told.overdue,
        "clean": told.clean,
        "automatic": told.automatic,
        "byPeople": told.by_people,
        "automaticShare": told.automatic_share,
        "overridden": told.overridden,
        "overriddenShare": told.overridden_share,
        "reopened": told.reopened,
        "reviewDue": told.review_due,
        "medianSeconds": told.median_seconds,
        "p95Seconds": told.p95_seconds,
        "groups": [
            {
                "connection": group.connection,
                "resourceType": group.resource_type,
                "type": group.type,
                "severity": group.severity,
                "status": group.status,
                "strategy": group.strategy,
                "count": group.count,
            }
            for group in told.groups
        ],
        "contested": [
            {"resourceType": one.resource_type, "element": one.element, "count": one.count} for one in told.contested
        ],
    }


def _print_statistics(told: ConflictStatistics) -> None:
    if not told.total:
        say(console, "There is no conflict yet.")
        return
    say(console, f"{told.total:,} cases in which both sides changed; {told.clean:,} of them without contradiction")
    say(console, f"  open        {told.open:,}, of which {told.overdue:,} are overdue")
    say(console, f"  by policy   {told.automatic:,}{_share(told.automatic_share)}; {told.review_due:,} to be looked at")
    say(console, f"  overridden  {told.overridden:,}{_share(told.overridden_share)} of those")
    took = "" if told.median_seconds is None else f"; median {_span(told.median_seconds)}"
    worst = "" if told.p95_seconds is None else f", 95th percentile {_span(told.p95_seconds)}"
    say(console, f"  by people   {told.by_people:,}{took}{worst}")
    say(console, f"  re-opened   {told.reopened:,}, because the values had changed")
    table = plain_table("connection", "resource", "type", "severity", "status", "strategy", ">count")
    for group in told.groups:
        words = (group.type, group.severity or "-", group.status, group.strategy or "-")
        plain = (word.lower().replace("_", " ") for word in words)
        table.add_row(group.connection, group.resource_type, *plain, f"{group.count:,}")
    console.print(table)
    for one in told.contested:
        say(console, f"  {one.count:>6,}  {one.resource_type}.{one.element}")


def _share(share: float | None) -> str:
    return "" if share is None else f" ({share:.0%})"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
