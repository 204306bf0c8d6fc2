"""Registered webhooks as the store keeps them.

Law: secrets are sealed before they come here, a token in an address is here as its hash only; a row is never removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.store.prepared import KEYS, Prepared
from holovitals_pipelines.store.tables import webhook_config


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """One row of `webhook_config`."""

    webhook_id: str
    connection: str
    endpoint: str
    config: Mapping[str, Any]
    token_hash: str | None
    secret: bytes | None = field(repr=False)
    previous_secret: bytes | None = field(repr=False)
    previous_until: datetime | None
    enabled: bool
    created_by: str | None
    created_at: datetime
    updated_at: datetime | None
    deleted_at: datetime | None

    @property
    def is_live(self) -> bool:
        return self.enabled and self.deleted_at is None


_COLUMNS = tuple(StoredWebhook.__dataclass_fields__)
_SELECT = sa.select(*(webhook_config.c[name] for name in _COLUMNS))
_LIVE = sa.and_(webhook_config.c.enabled.is_(True), webhook_config.c.deleted_at.is_(None))
_BY_HASHES = Prepared(_SELECT.where(webhook_config.c.token_hash.in_(KEYS), _LIVE))
_ALL_LIVE = Prepared(_SELECT.where(_LIVE).order_by(webhook_config.c.created_at, webhook_config.c.webhook_id))


def add_webhook(transaction: sa.Connection, webhook: StoredWebhook) -> None:
    transaction.execute(webhook_config.insert().values(**{name: getattr(webhook, name) for name in _COLUMNS}))


def change_webhook(transaction: sa.Connection, webhook_id: str, values: Mapping[str, Any]) -> None:
    transaction.execute(webhook_config.update().where(webhook_config.c.webhook_id == webhook_id).values(**values))


def webhooks_of_hashes(transaction: sa.Connection, hashes: Sequence[str]) -> dict[str, StoredWebhook]:
    """The live webhooks of these tokens, by the tokens' hashes."""
    found = (_webhook(row) for row in _BY_HASHES.by_keys(transaction, sorted(set(hashes))))
    return {str(one.token_hash): one for one in found}


def live_webhooks(transaction: sa.Connection) -> list[StoredWebhook]:
    return [_webhook(row) for row in _ALL_LIVE.rows(transaction)]


def webhooks_that_begin(transaction: sa.Connection, beginning: str) -> list[StoredWebhook]:
    """Those not deleted whose id begins so, at most two."""
    c = webhook_config.c
    query = _SELECT.where(c.webhook_id.startswith(beginning, autoescape=True), c.deleted_at.is_(None))
    return [_webhook(row) for row in transaction.execute(query.order_by(c.webhook_id).limit(2))]


def webhooks_by_id(transaction: sa.Connection, ids: Sequence[str]) -> dict[str, StoredWebhook]:
    """Deleted ones among them: their events stay."""
    found = (_webhook(row) for row in transaction.execute(_SELECT.where(webhook_config.c.webhook_id.in_(ids))))
    return {one.webhook_id: one for one in found}


def list_webhooks(transaction: sa.Connection, connection: str | None, *, deleted: bool = False) -> list[StoredWebhook]:
    """The newest first."""
    c = webhook_config.c
    query = _SELECT.order_by(c.created_at.desc(), c.webhook_id)
    if connection is not None:
        query = query.where(c.connection == connection)
    if not deleted:
        query = query.where(c.deleted_at.is_(None))
    return [_webhook(row) for row in transaction.execute(query)]


def any_sealed(transaction: sa.Connection) -> bool:
    """Whether there is a secret that was sealed before."""
    query = sa.select(webhook_config.c.webhook_id).where(webhook_config.c.secret.is_not(None)).limit(1)
    return transaction.execute(query).first() is not None


def _webhook(row: Sequence[Any]) -> StoredWebhook:
    return StoredWebhook(*row)
