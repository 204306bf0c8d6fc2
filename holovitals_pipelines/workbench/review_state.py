"""What the review widget shows: entries of the queue, one conflict side by side, conflicts that are alike.

Law: an entry holds no value of any resource; values are in an opened conflict only. Everything is JSON of plain types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from holovitals_pipelines.engine.conflict_view import Row, ShownConflict, decision_code, elements_apart, rows_of
from holovitals_pipelines.engine.policy_rows import unit_pattern
from holovitals_pipelines.fhir.exact import read_value, write_value
from holovitals_pipelines.fhir.rendered import differing, label, side_by_side
from holovitals_pipelines.model.vocabulary import ConflictSeverity
from holovitals_pipelines.store.conflicts import OPEN, StoredConflict, StoredUnit
from holovitals_pipelines.sync.unit_paths import WHOLE, last_step

State = dict[str, Any]

SHORT_ID = 8


def entry(conflict: StoredConflict, elements: Sequence[str]) -> State:
    """A line of the queue: names and times."""
    return {
        "id": conflict.conflict_id,
        "severity": conflict.severity,
        "type": conflict.type,
        "resourceType": conflict.resource_type,
        "connection": conflict.connection,
        "elements": ["the whole resource" if name == WHOLE else name for name in elements],
        "detected": _epoch(conflict.detected_at),
        "due": _epoch(conflict.due_at) if conflict.status in OPEN else None,
        "state": state_of(conflict),
        "revision": conflict.revision,
        "twoPerson": bool(conflict.two_person),
        "postReview": conflict.post_review == "due",
        "decidedBy": conflict.decided_by,
    }


def state_of(conflict: StoredConflict) -> str:
    """`open`, `waits for approval`, `decided` (not applied yet) or `closed`."""
    if conflict.status not in OPEN:
        return "closed"
    if decision_code(conflict) is None:
        return "open"
    return "waits for approval" if conflict.two_person and not conflict.approved_by else "decided"


def opened(shown: ShownConflict) -> State:
    """A conflict with all that a person needs to decide it: health data."""
    conflict = shown.conflict
    elements = tuple(sorted({unit.element or "" for unit in shown.open_units}))
    rows = rows_of(shown)
    if any(row.unit == WHOLE for row in rows):
        rows += elements_apart(shown)
    decision = conflict.decision if conflict.status in OPEN else None
    return entry(conflict, elements) | {
        "record": conflict.record_id,
        "job": conflict.job_id,
        "patient": conflict.patient,
        "rule": conflict.rule,
        "policy": conflict.policy_version,
        "localBy": shown.local_by,
        "localUpdated": _epoch(conflict.local_updated),
        "remoteUpdated": _epoch(conflict.remote_updated),
        "remoteVersion": conflict.remote_version,
        "reason": conflict.reason,
        "strategy": decision["strategy"] if decision is not None else conflict.strategy,
        "decisionCode": decision_code(conflict),
        "decidedAt": _epoch(conflict.decided_at),
        "approvedBy": conflict.approved_by,
        "reopened": conflict.reopened or 0,
        "sides": {"local": shown.local is not None, "remote": shown.remote is not None},
        "rows": [_row(row) for row in rows],
        "history": [
            {"at": _epoch(one.at), "actor": one.actor, "action": one.action, "reason": one.reason}
            for one in shown.history
        ],
    }


def _row(row: Row) -> State:
    proposal = None if row.undecided else row.proposal
    texts = {
        "base": row.base, "baseRemote": row.base_remote, "local": row.local, "remote": row.remote, "proposal": proposal,
    }  # fmt: skip
    whole = row.unit == WHOLE
    shown = {side: _in_brief(text) for side, text in texts.items()} if whole else side_by_side(texts)
    compared = {"local": shown["remote"], "remote": shown["local"]}
    return {
        "number": row.number,
        "unit": row.unit,
        "label": "The whole resource" if whole else _label(row),
        "element": row.element,
        "kind": row.kind,
        "severity": row.severity,
        "rule": row.rule,
        "why": row.why,
        "chosen": row.chosen_side,
        "undecided": row.undecided,
        "whole": whole,
        "cells": {
            side: None
            if text is None
            else differing(text, compared[side])
            if side in compared and not whole
            else [(text, False)]
            for side, text in shown.items()
        },
        "json": {} if whole else texts,
        "plain": not whole and all(_is_text(text) for text in (row.base, row.local, row.remote) if text is not None),
    }


def _in_brief(text: str | None) -> str | None:
    """A whole resource stands for itself: its elements are listed below it."""
    return None if text is None else "kept"


def _label(row: Row) -> str:
    element, last = row.element or "", last_step(row.unit)
    if "+" in row.unit:
        return f"{label(element)} and what belongs to it"
    return label(element) if last in (element, "") else f"{label(element)}: {label(last)}"


def _is_text(text: str) -> bool:
    return text.startswith('"')


def bodies(shown: ShownConflict) -> State:
    """The resources of all sides as JSON, over several lines, each digit as it was sent."""
    sides = {
        "base": shown.base_local,
        "base at the vendor": shown.base_remote if shown.base_remote != shown.base_local else None,
        "local": shown.local,
        "remote": shown.remote,
        "proposal": shown.proposal,
    }
    return {side: _indented(read_value(body.decode())) for side, body in sides.items() if body is not None}


def _indented(value: Any, margin: str = "") -> str:
    deeper = margin + "  "
    if isinstance(value, dict) and value:
        inside = [f"{deeper}{write_value(name)}: {_indented(one, deeper)}" for name, one in value.items()]
        return "{\n" + ",\n".join(inside) + f"\n{margin}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{deeper}{_indented(one, deeper)}" for one in value) + f"\n{margin}]"
    return write_value(value)


# conflicts that are alike

Likeness = tuple[str, str, str, tuple[str, ...]]


def likeness(conflict: StoredConflict, units: Sequence[StoredUnit]) -> Likeness:
    """Connection, resource type, type of conflict, and which places of a resource are in conflict."""
    patterns = tuple(sorted({unit_pattern(unit) for unit in units if unit.kind == "conflict"}))
    return conflict.connection, conflict.resource_type, conflict.type, patterns


def for_one_decision(conflict: StoredConflict) -> bool:
    """Whether it may be decided together with others: not critical, no second person, nothing decided yet."""
    critical = conflict.severity in (None, ConflictSeverity.CRITICAL.value)
    return not critical and not conflict.two_person and state_of(conflict) == "open"


def sides_by_pattern(shown: ShownConflict, sides: Mapping[str, str]) -> dict[str, str] | None:
    """One conflict's choices in terms that others share; None where those do not say what to do with another's."""
    found: dict[str, str] = {}
    for unit in shown.open_units:
        side = sides.get(unit.unit)
        if side not in ("local", "remote") or found.setdefault(unit_pattern(unit), side) != side:
            return None
    return found


def _epoch(at: datetime | None) -> float | None:
    return at.timestamp() if at is not None else None
