"""Tokens of the HTTP API: made once, shown once, checked on every call, revoked for good.

Law: what a caller does is told in histories by the name of the token, and no two valid tokens have the same name.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.engine.people import person_named, same_person
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store import audit
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import queue_for_documents
from holovitals_pipelines.store.tokens import (
    StoredToken,
    add_token,
    all_tokens,
    change_token,
    token_of_hash,
    token_of_id,
    tokens_named,
)

PREFIX = "hv_"
"""By which a token is recognized where it should not be: in a log, in a repository."""
_BYTES = 32
_USE_IS_TOLD_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the token's name is the actor of everything that is done with it."""

    token_id: str
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class NewToken:
    """`secret` is what the caller sends; it is shown now and never again."""

    secret: str
    token: StoredToken


def create_token(
    database: Database, name: str, roles: Iterable[Role], *, by: str, expires_at: datetime | None = None
) -> NewToken:
    """Raises StoreError (`actor.invalid`, `token.name_taken`, `token.no_role`, `token.expired`)."""
    now = datetime.now(UTC)
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    wanted = tuple(role for role in Role if role in set(roles))
    if not wanted:
        raise StoreError(
            "a token without a role allows nothing", code="token.no_role", place="roles", remedy="name at least one"
        )
    if expires_at is not None and expires_at <= now:
        raise StoreError(
            "the token would have expired already",
            code="token.expired",
            place="expires",
            remedy="name a time in the future",
        )
    with database.write() as transaction:
        queue_for_documents(transaction)
        named = person_named(transaction, name)
        if any(same_person(one.name, named) and one.is_valid(now) for one in all_tokens(transaction)):
            raise StoreError(
                "there is a valid token of this name, and histories tell callers by it",
                code="token.name_taken",
                place="name",
                remedy="choose another name, or revoke that one: holovitals tokens revoke",
            )
        token = StoredToken(str(uuid4()), named, _hash(secret), wanted, by, now, expires_at, None, None)
        add_token(transaction, token)
        _log(transaction, "token_create", by, token, now)
    return NewToken(secret, token)


def list_tokens(database: Database) -> list[StoredToken]:
    """The newest first, revoked ones among them."""
    with database.read() as transaction:
        return all_tokens(transaction)


def revoke_token(database: Database, name: str, *, by: str) -> StoredToken:
    """Revoke the valid token of this name, or of an id that begins so; it counts from the next call on.

    Raises StoreError (`token.unknown`, `token.ambiguous`).
    """
    now = datetime.now(UTC)
    with database.write() as transaction:
        queue_for_documents(transaction)
        found = [one for one in tokens_named(transaction, name) if one.revoked_at is None] if name else []
        if len(found) != 1:
            raise StoreError(
                "several tokens are meant by that" if found else "no token that could be revoked is meant by that",
                code="token.ambiguous" if found else "token.unknown",
                remedy="see names and ids: holovitals tokens list",
            )
        change_token(transaction, found[0].token_id, {"revoked_at": now})
        _log(transaction, "token_revoke", by, found[0], now)
    return found[0]


def authenticate(database: Database, secret: str, now: datetime) -> Caller | None:
    """Who has this token; None for one that is unknown, revoked or has expired, without telling which."""
    hashed = _hash(secret)
    with database.read() as transaction:
        token = token_of_hash(transaction, hashed)
    if token is None or not hmac.compare_digest(token.token_hash, hashed):
        return None
    return _let_in(database, token, now)


def still_valid(database: Database, token_id: str, now: datetime) -> Caller | None:
    """Who signed in with this token, as it is now; None once it is revoked or has expired."""
    with database.read() as transaction:
        token = token_of_id(transaction, token_id)
    return _let_in(database, token, now) if token is not None else None


def _let_in(database: Database, token: StoredToken, now: datetime) -> Caller | None:
    if not token.is_valid(now):
        return None
    if token.last_used_at is None or now - token.last_used_at >= _USE_IS_TOLD_EVERY:
        with database.write() as transaction:
            change_token(transaction, token.token_id, {"last_used_at": now.replace(minute=0, second=0, microsecond=0)})
    return Caller(token.token_id, token.name, frozenset(token.roles))


def _hash(secret: str) -> str:
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _log(transaction: sa.Connection, action: str, by: str, token: StoredToken, now: datetime) -> None:
    detail = {"token": token.token_id, "name": token.name, "roles": [role.value for role in token.roles]}
    audit.append(transaction, [audit.Entry(action=action, actor=by, detail=detail)], at=now)
