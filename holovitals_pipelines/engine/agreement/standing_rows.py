"""Units that stay different, as rows: each with its severity and the reason why it stays (sync-protocol.md §2.7)."""

from __future__ import annotations

from collections.abc import Sequence

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.model.vocabulary import ConflictType
from holovitals_pipelines.store.decided import StandingRow
from holovitals_pipelines.sync.facts import Facts
from holovitals_pipelines.sync.grading import grade_units
from holovitals_pipelines.sync.merge import Unit
from holovitals_pipelines.sync.unit_paths import WHOLE


def standing_rows(desk: Desk, facts: Facts, units: Sequence[Unit], link_id: str, record_id: str) -> list[StandingRow]:
    """Units that stay different, each with its severity and the reason why it stays."""
    rows = []
    for unit in units:
        grade = grade_units(facts, desk.rules, ConflictType.UPDATE_UPDATE, [unit])
        rows.append(
            StandingRow(
                link_id, unit.name, desk.connection, facts.resource_type, record_id,
                grade.severity.value, _why_it_stands(facts, unit), desk.now(),
            )
        )  # fmt: skip
    return rows


def _why_it_stands(facts: Facts, unit: Unit) -> str:
    if unit.name == WHOLE:
        return "not_created" if facts.remote is None else "not_deleted"
    if not facts.capability.update:
        return "read_only"
    rule = facts.capability.of(unit.element).value
    return rule if rule != "writable" else "stored_otherwise"
