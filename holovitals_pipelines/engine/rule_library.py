"""Rule sets in the operational store: saved in versions, one of them active for the same records, every step kept.

Law: what is saved was read and checked; other text never takes the place of a version; jobs get the active version,
else the shipped rule set, else none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import sqlalchemy as sa

from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.engine.rule_rows import rows_of
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.rule_sets import (
    Action,
    RuleSetEvent,
    StoredRuleSet,
    active_versions,
    add_event,
    add_version,
    events_of,
    find_version,
    hold_rule_sets,
    list_versions,
    remove_rules,
    set_active,
    write_rules,
)
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for, shipped_rule_sets
from holovitals_pipelines.transform.tables import shipped_tables

Store = sa.Connection | Database
"""A transaction, or the database to begin one in."""


@dataclass(frozen=True, slots=True)
class Activated:
    stored: StoredRuleSet
    replaced: tuple[StoredRuleSet, ...]
    """What was active until now: an older version of it, or another rule set for the same records."""


def save_rule_set(database: Database, text: str, place: str, person: str, comment: str | None = None) -> StoredRuleSet:
    """Keep a rule set as the version it says it is. The same text again changes nothing.

    Raises ConfigurationError naming `place` and the line for a mistake in it, StoreError where the name and version
    are taken by other text, or the name by rules for other records.
    """
    ready = read_rule_set(text, place, shipped_functions(), shipped_tables())
    rules, now = ready.rules, datetime.now(UTC)
    _check_free_of_shipped(ready, place)
    with database.write() as transaction:
        actor = person_named(transaction, person)
        hold_rule_sets(transaction)
        known = {one.version: one for one in list_versions(transaction, rules.rule_set)}
        same = known.get(rules.version)
        if same is not None:
            if same.text != text:
                raise _taken(ready, place, f"{ready.name} is in the store with other text")
            return same
        stored = StoredRuleSet(
            rules.rule_set,
            rules.version,
            ready.hash,
            rules.provider.value,
            rules.resource_type,
            rules.direction.value,
            rules.source_format.value,
            text,
            actor,
            now,
            comment.strip() or None if comment else None,
            active=False,
        )
        for other in known.values():
            if other.records != stored.records:
                raise StoreError(
                    f"{rules.rule_set} is the name of rules for {told_records(other)}",
                    code="rules.name_taken",
                    place=place,
                    remedy="give rules for other records a name of their own (ruleSet:)",
                )
        add_version(transaction, stored)
        _note(transaction, stored, "saved", actor, now)
    return stored


def told_records(stored: StoredRuleSet) -> str:
    """`nextgen's Patient (INBOUND, CUSTOM_JSON)`."""
    return f"{stored.provider}'s {stored.resource_type} ({stored.direction}, {stored.source_format})"


def activate(database: Database, name: str, version: str, person: str) -> Activated:
    """From now on jobs use this version for its records, in place of what was active, or of the shipped rule set.

    Raises StoreError for a version that is not in the store, ConfigurationError for one that cannot be read any more.
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        actor = person_named(transaction, person)
        hold_rule_sets(transaction)
        stored = _known(transaction, name, version)
        ready = read_stored(stored)
        if stored.active:
            return Activated(stored, ())
        replaced = tuple(active_versions(transaction, *stored.records))
        for old in replaced:
            _end(transaction, old, actor, now, cause=stored.full_name)
        set_active(transaction, stored, True)
        rules, mappings = rows_of(ready)
        write_rules(transaction, rules, mappings)
        _note(transaction, stored, "activated", actor, now)
    return Activated(replace(stored, active=True), replaced)


def deactivate(database: Database, name: str, person: str) -> StoredRuleSet:
    """From now on jobs use the shipped rule set again, or none. Raises StoreError where no version is active."""
    with database.write() as transaction:
        actor = person_named(transaction, person)
        hold_rule_sets(transaction)
        found = list_versions(transaction, name)
        if not found:
            raise _unknown(name)
        active = next((one for one in found if one.active), None)
        if active is None:
            raise StoreError(
                "none of its versions is active",
                code="rules.not_active",
                place=f"rule set {name}",
                remedy="see what is active: holovitals rules versions",
            )
        _end(transaction, active, actor, datetime.now(UTC))
    return replace(active, active=False)


def versions(database: Database, name: str | None = None) -> list[StoredRuleSet]:
    """What is saved, by name, the newest version first. Raises StoreError for a name that is not in the store."""
    with database.read() as transaction:
        found = list_versions(transaction, name)
    if name is not None and not found:
        raise _unknown(name)
    return found


def stored_version(database: Database, name: str, version: str) -> StoredRuleSet:
    """Raises StoreError for a version that is not in the store."""
    with database.read() as transaction:
        return _known(transaction, name, version)


def history(database: Database, name: str) -> list[RuleSetEvent]:
    """Who saved, activated and deactivated which version of it and when, the oldest first."""
    with database.read() as transaction:
        return events_of(transaction, name)


def active_rule_set(
    store: Store,
    provider: Provider,
    resource_type: str,
    direction: Direction,
    source_format: SourceFormat | None = None,
) -> RuleSetReady | None:
    """What jobs use for these records: the active version, else the shipped rule set, else None.

    Without a format it is what the provider's own interface sends: what the shipped rule set is for, and where none is
    shipped what the one active version is for; never C-CDA.
    Raises ConfigurationError where versions of several formats are active, and for one that cannot be read any more.
    """
    shipped = _shipped(provider, resource_type, direction, source_format)
    wanted = shipped.rules.source_format if shipped is not None else source_format
    with _reading(store) as transaction:
        found = active_versions(transaction, provider, resource_type, direction, wanted)
    if wanted is None:
        found = [one for one in found if one.source_format != SourceFormat.CDA]
    if len(found) > 1:
        raise ConfigurationError(
            f"rule sets for {len(found)} source formats are active",
            code="rules.ambiguous",
            place=f"{provider}'s {resource_type} ({direction})",
            remedy="say which format the records have, or deactivate the others (holovitals rules deactivate)",
        )
    return read_stored(found[0]) if found else shipped


def read_stored(stored: StoredRuleSet) -> RuleSetReady:
    """Ready to be carried out. Raises ConfigurationError where this program no longer reads it."""
    return _read(stored.content_hash, stored.text, f"rule set {stored.full_name}")


@lru_cache(maxsize=256)
def _read(content_hash: str, text: str, place: str) -> RuleSetReady:
    """Planning takes a hundred times as long as finding it here. A mistake is not kept: it is told again."""
    return read_rule_set(text, place, shipped_functions(), shipped_tables())


def _shipped(
    provider: Provider, resource_type: str, direction: Direction, source_format: SourceFormat | None
) -> RuleSetReady | None:
    if source_format is None:
        return rule_set_for(provider, resource_type, direction)
    return rule_set_for(provider, resource_type, direction, source_format=source_format)


@contextmanager
def _reading(store: Store) -> Iterator[sa.Connection]:
    if isinstance(store, Database):
        with store.read() as transaction:
            yield transaction
    else:
        yield store


def _check_free_of_shipped(ready: RuleSetReady, place: str) -> None:
    """Documents name the rule set that made them: what is shipped under a name and version stays the only such."""
    for shipped in shipped_rule_sets():
        if shipped.name == ready.name and shipped.hash != ready.hash:
            raise _taken(ready, place, f"{ready.name} is shipped, with other rules")


def _taken(ready: RuleSetReady, place: str, message: str) -> StoreError:
    return StoreError(
        f"{message}, and versions are never changed",
        code="rules.version_taken",
        place=place,
        remedy=f"raise the version (version: {raised(ready.rules.version)}), then save again",
    )


def raised(version: str) -> str:
    """1.2.9 becomes 1.2.10."""
    first, second, third = version.split(".")
    return f"{first}.{second}.{int(third) + 1}"


def _known(transaction: sa.Connection, name: str, version: str) -> StoredRuleSet:
    found = find_version(transaction, name, version)
    if found is None:
        raise _unknown(f"{name}@{version}")
    return found


def _unknown(name: str) -> StoreError:
    return StoreError(
        "it is not in the store",
        code="rules.unknown",
        place=f"rule set {name}",
        remedy="see what there is (holovitals rules versions), or save it first (holovitals rules save FILE)",
    )


def _end(transaction: sa.Connection, stored: StoredRuleSet, actor: str, at: datetime, cause: str | None = None) -> None:
    set_active(transaction, stored, False)
    remove_rules(transaction, stored)
    _note(transaction, stored, "deactivated", actor, at, cause)


def _note(
    transaction: sa.Connection,
    stored: StoredRuleSet,
    action: Action,
    actor: str,
    at: datetime,
    cause: str | None = None,
) -> None:
    add_event(transaction, RuleSetEvent(stored.name, stored.version, action, actor, at, cause))
