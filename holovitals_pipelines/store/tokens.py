"""Tokens of the HTTP API as the store keeps them.

Law: a token itself is kept nowhere, only its hash; a row is never removed, so that a name in a history stays known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store.prepared import Prepared
from holovitals_pipelines.store.tables import api_token


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One row of `api_token`."""

    token_id: str
    name: str
    token_hash: str
    roles: tuple[Role, ...]
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_valid(self, at: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


_COLUMNS = tuple(StoredToken.__dataclass_fields__)
_SELECT = sa.select(*(api_token.c[name] for name in _COLUMNS))
_BY_HASH = Prepared(_SELECT.where(api_token.c.token_hash == sa.bindparam("of")))
_BY_ID = Prepared(_SELECT.where(api_token.c.token_id == sa.bindparam("of")))


def add_token(transaction: sa.Connection, token: StoredToken) -> None:
    values = {name: getattr(token, name) for name in _COLUMNS}
    transaction.execute(api_token.insert().values(**values | {"roles": [role.value for role in token.roles]}))


def token_of_hash(transaction: sa.Connection, token_hash: str) -> StoredToken | None:
    rows = _BY_HASH.rows(transaction, of=token_hash)
    return _token(rows[0]) if rows else None


def token_of_id(transaction: sa.Connection, token_id: str) -> StoredToken | None:
    rows = _BY_ID.rows(transaction, of=token_id)
    return _token(rows[0]) if rows else None


def tokens_named(transaction: sa.Connection, beginning: str) -> list[StoredToken]:
    """Those of exactly this name, or whose id begins so."""
    c = api_token.c
    query = _SELECT.where(sa.or_(c.name == beginning, c.token_id.startswith(beginning, autoescape=True)))
    return [_token(row) for row in transaction.execute(query.order_by(c.created_at))]


def all_tokens(transaction: sa.Connection) -> list[StoredToken]:
    """The newest first."""
    query = _SELECT.order_by(api_token.c.created_at.desc(), api_token.c.token_id)
    return [_token(row) for row in transaction.execute(query)]


def change_token(transaction: sa.Connection, token_id: str, values: Mapping[str, Any]) -> None:
    transaction.execute(api_token.update().where(api_token.c.token_id == token_id).values(**values))


def _token(row: Sequence[Any]) -> StoredToken:
    values = dict(zip(_COLUMNS, row, strict=True))
    return StoredToken(**values | {"roles": tuple(Role(role) for role in values["roles"])})
