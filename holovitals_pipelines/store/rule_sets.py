"""Saved rule sets: their versions, which of them are active, their history, and the rules of the active ones as rows.

Law: a version's text is written once and never changed; the history is only added to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from holovitals_pipelines.store.tables import field_mapping, rule_set_event, rule_set_version, transformation_rule

Action = Literal["saved", "activated", "deactivated"]


@dataclass(frozen=True, slots=True)
class StoredRuleSet:
    """One row of `rule_set_version`."""

    name: str
    version: str
    content_hash: str
    provider: str
    resource_type: str
    direction: str
    source_format: str
    text: str
    saved_by: str
    saved_at: datetime
    comment: str | None
    active: bool

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def records(self) -> tuple[str, str, str, str]:
        """Whose records it is for, and in which direction: at most one active version has the same."""
        return self.provider, self.resource_type, self.direction, self.source_format


@dataclass(frozen=True, slots=True)
class RuleSetEvent:
    """One row of `rule_set_event`."""

    name: str
    version: str
    action: Action
    actor: str
    at: datetime
    cause: str | None = None


_VERSION = [rule_set_version.c[name] for name in StoredRuleSet.__dataclass_fields__]
_EVENT = [rule_set_event.c[name] for name in RuleSetEvent.__dataclass_fields__]


def hold_rule_sets(transaction: sa.Connection) -> None:
    """Let nobody else save or activate until this write transaction ends; on SQLite it has that turn already."""
    if transaction.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("rule sets", 0))
        transaction.execute(sa.select(lock))


def find_version(transaction: sa.Connection, name: str, version: str) -> StoredRuleSet | None:
    query = sa.select(*_VERSION).where(rule_set_version.c.name == name, rule_set_version.c.version == version)
    row = transaction.execute(query).one_or_none()
    return None if row is None else StoredRuleSet(*row)


def list_versions(transaction: sa.Connection, name: str | None = None) -> list[StoredRuleSet]:
    """By name, the newest version of each first: 1.10.0 is newer than 1.9.0."""
    query = sa.select(*_VERSION)
    if name is not None:
        query = query.where(rule_set_version.c.name == name)
    found = [StoredRuleSet(*row) for row in transaction.execute(query)]
    found.sort(key=lambda one: tuple(map(int, one.version.split("."))), reverse=True)
    return sorted(found, key=lambda one: one.name)


def active_versions(
    transaction: sa.Connection, provider: str, resource_type: str, direction: str, source_format: str | None = None
) -> list[StoredRuleSet]:
    """The active version for these records; without a format, those of every format, by format."""
    query = (
        sa.select(*_VERSION)
        .where(
            rule_set_version.c.active,
            rule_set_version.c.provider == provider,
            rule_set_version.c.resource_type == resource_type,
            rule_set_version.c.direction == direction,
        )
        .order_by(rule_set_version.c.source_format)
    )
    if source_format is not None:
        query = query.where(rule_set_version.c.source_format == source_format)
    return [StoredRuleSet(*row) for row in transaction.execute(query)]


def add_version(transaction: sa.Connection, stored: StoredRuleSet) -> None:
    """The database refuses a second version of the same name and number."""
    transaction.execute(rule_set_version.insert().values(**asdict(stored)))


def set_active(transaction: sa.Connection, stored: StoredRuleSet, active: bool) -> None:
    transaction.execute(
        rule_set_version.update()
        .where(rule_set_version.c.name == stored.name, rule_set_version.c.version == stored.version)
        .values(active=active)
    )


def add_event(transaction: sa.Connection, event: RuleSetEvent) -> None:
    transaction.execute(rule_set_event.insert().values(**asdict(event)))


def events_of(transaction: sa.Connection, name: str) -> list[RuleSetEvent]:
    """The oldest first."""
    query = sa.select(*_EVENT).where(rule_set_event.c.name == name).order_by(rule_set_event.c.event_id)
    return [RuleSetEvent(*row) for row in transaction.execute(query)]


def write_rules(
    transaction: sa.Connection, rules: Iterable[Mapping[str, Any]], mappings: Iterable[Mapping[str, Any]]
) -> None:
    """Rows of `transformation_rule` and `field_mapping`."""
    for table, rows in ((transformation_rule, [*rules]), (field_mapping, [*mappings])):
        if rows:
            transaction.execute(table.insert(), rows)


def remove_rules(transaction: sa.Connection, stored: StoredRuleSet) -> None:
    """The rows of a version that is active no longer; its text stays."""
    of_it = sa.and_(
        transformation_rule.c.rule_set == stored.name, transformation_rule.c.rule_set_version == stored.version
    )
    ids = sa.select(transformation_rule.c.rule_id).where(of_it)
    transaction.execute(field_mapping.delete().where(field_mapping.c.rule_id.in_(ids)))
    transaction.execute(transformation_rule.delete().where(of_it))
