"""How conflicts are shown: lists without a value of any resource, one conflict side by side, what they add up to.

Law: only `print_shown` and `shown_as_json` show values.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from holovitals_pipelines.cli.output import console, plain_table, say
from holovitals_pipelines.engine.conflict_statistics import ConflictStatistics
from holovitals_pipelines.engine.conflict_view import (
    Row,
    ShownConflict,
    decision_code,
    elements_apart,
    rows_of,
)
from holovitals_pipelines.model.vocabulary import ConflictType
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict
from holovitals_pipelines.sync.unit_paths import WHOLE

SHORT_ID = 8
_ABSENT = "(not there)"


def print_list(found: Sequence[tuple[StoredConflict, tuple[str, ...]]]) -> None:
    table = plain_table("conflict", "severity", "status", "of a", "in conflict", "due")
    for column in table.columns[:3]:
        column.no_wrap = True
    for conflict, elements in found:
        cells = (
            conflict.conflict_id[:SHORT_ID],
            (conflict.severity or "-").lower(),
            _status(conflict),
            f"{conflict.resource_type} at {conflict.connection}",
            _contested(conflict, elements),
            _due(conflict),
        )
        table.add_row(*map(Text, cells))
    console.print(table)


def _status(conflict: StoredConflict) -> str:
    if decision_code(conflict) is not None:
        return "needs approval" if needs_approval(conflict) else "decided"
    return conflict.status.lower().replace("_", " ")


def needs_approval(conflict: StoredConflict) -> bool:
    return bool(conflict.two_person) and not conflict.approved_by


def _contested(conflict: StoredConflict, elements: Sequence[str]) -> str:
    if WHOLE not in elements and conflict.type == ConflictType.UPDATE_UPDATE:
        return ", ".join(elements) or "-"
    kind = conflict.type.lower().replace("_", "/")
    return f"{kind}: {', '.join(elements).replace(WHOLE, 'all of it') or '-'}"


def _due(conflict: StoredConflict) -> str:
    if conflict.due_at is None or conflict.status not in OPEN:
        return "-"
    overdue = " overdue" if conflict.due_at < datetime.now(UTC) else ""
    return f"{conflict.due_at:%m-%d %H:%M}{overdue}"


def listed_as_json(conflict: StoredConflict, elements: Sequence[str] | None = None) -> dict[str, Any]:
    """Nothing that names a patient or was typed by a person. `elements`: those in conflict, where they are known."""
    named = {} if elements is None else {"elements": list(elements)}
    return named | {
        "conflictId": conflict.conflict_id,
        "connection": conflict.connection,
        "resourceType": conflict.resource_type,
        "recordId": conflict.record_id,
        "type": conflict.type,
        "severity": conflict.severity,
        "status": conflict.status,
        "strategy": conflict.strategy,
        "revision": conflict.revision,
        "units": conflict.units,
        "twoPerson": bool(conflict.two_person),
        "rule": conflict.rule,
        "policyVersion": conflict.policy_version,
        "detectedAt": _instant(conflict.detected_at),
        "dueAt": _instant(conflict.due_at),
        "decision": decision_code(conflict),
        "decided": conflict.decision is not None or conflict.decided_at is not None,
        "decidedBy": conflict.decided_by,
        "decidedAt": _instant(conflict.decided_at),
        "approvedBy": conflict.approved_by,
        "postReview": conflict.post_review,
        "reopened": conflict.reopened or 0,
    }


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def shown_as_json(shown: ShownConflict) -> dict[str, Any]:
    conflict = shown.conflict
    elements = tuple(sorted({unit.element or "" for unit in shown.open_units}))
    return {
        **listed_as_json(conflict, elements),
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


def print_shown(shown: ShownConflict) -> None:
    conflict = shown.conflict
    severity = (conflict.severity or "not graded").lower()
    head = f"{conflict.type} of a {conflict.resource_type} at {conflict.connection}: "
    say(console, Text.assemble((head, "bold"), (severity, "bold yellow"), f", {_status(conflict)}"))
    say(console, f"  conflict {conflict.conflict_id}, revision {conflict.revision}, record {conflict.record_id}")
    say(console, f"  local  written {_when(conflict.local_updated)} by {shown.local_by or 'nobody known'}")
    say(console, f"  remote written {_when(conflict.remote_updated)} at {conflict.connection}")
    if conflict.reason:
        say(console, f"  {conflict.decided_by or 'the policy'}: {conflict.reason}")
    code = decision_code(conflict)
    if code is not None:
        say(console, f"  decision {code} waits to be {'approved' if needs_approval(conflict) else 'applied'}")
    elif conflict.two_person and conflict.status in OPEN:
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


def statistics_as_json(told: ConflictStatistics) -> dict[str, Any]:
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


def print_statistics(told: ConflictStatistics) -> None:
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
        place = f"{one.resource_type}, all of it" if one.element == WHOLE else f"{one.resource_type}.{one.element}"
        say(console, f"  {one.count:>6,}  {place}")


def _share(share: float | None) -> str:
    return "" if share is None else f" ({share:.0%})"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
