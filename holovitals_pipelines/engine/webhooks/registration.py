"""Webhooks are registered, listed, given new secrets, and deleted.

Law: a secret is shown once, to who registers; a token in an address is kept nowhere. Nothing here says either again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.people import person_named
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.vocabulary import Provider, WebhookEvent
from holovitals_pipelines.providers.webhooks.signatures import (
    Algorithm,
    Scheme,
    Signing,
    key_bytes,
    usual_header,
    usual_scheme,
)
from holovitals_pipelines.store import audit, webhooks
from holovitals_pipelines.store.documents import queue_for_documents
from holovitals_pipelines.store.secret_box import SecretBox
from holovitals_pipelines.store.webhooks import StoredWebhook

RECEIVE_PATH = "/api/sync/webhooks/receive"
SHORTEST_SAFE_SECRET = 24
MOST_WITHOUT_TOKEN = 64
"""So many keys are tried, at the most, on a delivery whose address does not name its webhook."""
OVERLAP = timedelta(hours=24)
_TOKEN_BYTES = 32
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What is asked for. `secret` None: one is made. `scheme` None: the provider's own."""

    connection: str
    endpoint: str
    events: tuple[WebhookEvent, ...] = ()
    """Empty: all of them."""
    secret: str | None = field(default=None, repr=False)
    scheme: Scheme | None = None
    signature_header: str | None = None
    signature_algorithm: Algorithm = Algorithm.SHA256
    retry_attempts: int = 3
    retry_delay_ms: int = 2000
    timeout_ms: int = 30_000
    """How long a delivery may take to arrive."""
    custom_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers that each delivery must carry, with these very values."""
    provider: Provider | None = None
    """Checked against the connection's, where it is given."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered webhook, without its secrets."""

    webhook_id: str
    connection: str
    provider: str | None
    endpoint: str
    events: tuple[str, ...]
    scheme: str
    signature_header: str
    signature_algorithm: str
    retry_attempts: int
    retry_delay_ms: int
    timeout_ms: int
    custom_headers: tuple[str, ...]
    without_token: bool
    enabled: bool
    created_by: str | None
    created_at: datetime
    updated_at: datetime | None
    previous_until: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.webhook_id,
            "ehrProvider": self.provider,
            "ehrConnectionId": self.connection,
            "endpoint": self.endpoint,
            "events": list(self.events),
            "scheme": self.scheme,
            "signatureHeader": self.signature_header,
            "signatureAlgorithm": self.signature_algorithm,
            "retryAttempts": self.retry_attempts,
            "retryDelay": self.retry_delay_ms,
            "timeout": self.timeout_ms,
            "customHeaders": list(self.custom_headers),
            "withoutToken": self.without_token,
            "enabled": self.enabled,
            "createdBy": self.created_by,
            "createdAt": self.created_at.isoformat(),
            "updatedAt": self.updated_at.isoformat() if self.updated_at else None,
            "previousSecretUntil": self.previous_until.isoformat() if self.previous_until else None,
        }


@dataclass(frozen=True, slots=True)
class Registered:
    """`receive_path` holds the token, `secret` what was made here (None: the caller's own): both are shown now only."""

    webhook: Webhook
    receive_path: str = field(repr=False)
    secret: str | None = field(repr=False)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        shown = {"secret": self.secret} if self.secret is not None else {}
        return self.webhook.as_json() | {"receivePath": self.receive_path, "warnings": list(self.warnings)} | shown


def secret_box(home: Home) -> SecretBox:
    return SecretBox(home.settings.resolved_secret_key_file)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def register(home: Home, new: NewWebhook, by: str, *, now: datetime | None = None) -> Registered:
    """Raises ConfigurationError (`settings.connection_unknown`, `webhook.invalid`), StoreError (`actor.invalid`,
    `secret.key_lost`)."""
    connection = home.connection(new.connection)
    _check(new, connection.provider)
    now = now or datetime.now(UTC)
    scheme = new.scheme or (
        Scheme.WEBHOOK_SIGNATURE if new.signature_header is not None else usual_scheme(connection.provider)
    )
    secret = new.secret if new.secret is not None else _made(scheme)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    without_token = urlsplit(new.endpoint).path.rstrip("/").endswith("/receive")
    box = secret_box(home)
    with home.database.write() as transaction:
        queue_for_documents(transaction)
        actor = person_named(transaction, by)
        if without_token:
            _check_room(transaction)
        if not box.has_key and not webhooks.any_sealed(transaction):
            box.create_key()
        stored = StoredWebhook(
            webhook_id=str(uuid4()),
            connection=new.connection,
            endpoint=new.endpoint,
            config={
                "scheme": scheme.value,
                "signatureHeader": (new.signature_header or usual_header(scheme)).lower(),
                "signatureAlgorithm": new.signature_algorithm.value,
                "events": [event.value for event in dict.fromkeys(new.events)],
                "retryAttempts": new.retry_attempts,
                "retryDelay": new.retry_delay_ms,
                "timeout": new.timeout_ms,
                "customHeaders": {
                    name.lower(): box.seal(value).decode("ascii") for name, value in new.custom_headers.items()
                },
                "withoutToken": without_token,
            },
            token_hash=token_hash(token),
            secret=box.seal(secret),
            previous_secret=None,
            previous_until=None,
            enabled=True,
            created_by=actor,
            created_at=now,
            updated_at=None,
            deleted_at=None,
        )
        webhooks.add_webhook(transaction, stored)
        _log(transaction, "webhook_create", actor, stored, now)
    return Registered(
        _view(home, stored),
        f"{RECEIVE_PATH}/{token}",
        secret if new.secret is None else None,
        _warnings(scheme, secret, without_token),
    )


def list_webhooks(home: Home, connection: str | None = None) -> list[Webhook]:
    """The newest first, without deleted ones."""
    with home.database.read() as transaction:
        return [_view(home, one) for one in webhooks.list_webhooks(transaction, connection)]


def get_webhook(home: Home, webhook_id: str) -> Webhook:
    """The one whose id begins so. Raises StoreError (`webhook.unknown`, `webhook.ambiguous`)."""
    with home.database.read() as transaction:
        return _view(home, _one(transaction, webhook_id))


def rotate_secret(
    home: Home,
    webhook_id: str,
    by: str,
    *,
    secret: str | None = None,
    overlap: timedelta = OVERLAP,
    now: datetime | None = None,
) -> Registered:
    """A new secret; the one before still counts for `overlap`. The address stays; its token is not shown again, so
    `receive_path` ends where it would stand. Raises StoreError (`webhook.unknown`)."""
    now = now or datetime.now(UTC)
    if secret is not None:
        _check_secret(secret)
    with home.database.write() as transaction:
        queue_for_documents(transaction)
        actor = person_named(transaction, by)
        found = _one(transaction, webhook_id)
        scheme = Scheme(found.config["scheme"])
        fresh = secret if secret is not None else _made(scheme)
        values = {
            "secret": secret_box(home).seal(fresh),
            "previous_secret": found.secret if overlap > timedelta() else None,
            "previous_until": now + overlap if overlap > timedelta() else None,
            "updated_at": now,
        }
        webhooks.change_webhook(transaction, found.webhook_id, values)
        changed = _one(transaction, found.webhook_id)
        _log(transaction, "webhook_rotate", actor, changed, now)
    warnings = _warnings(scheme, fresh, without_token=False)
    return Registered(_view(home, changed), RECEIVE_PATH, fresh if secret is None else None, warnings)


def delete_webhook(home: Home, webhook_id: str, by: str, *, now: datetime | None = None) -> Webhook:
    """From now on its deliveries are refused; its events stay, and are processed. Raises StoreError."""
    now = now or datetime.now(UTC)
    with home.database.write() as transaction:
        queue_for_documents(transaction)
        actor = person_named(transaction, by)
        found = _one(transaction, webhook_id)
        values = {"deleted_at": now, "enabled": False, "updated_at": now, "previous_secret": None}
        webhooks.change_webhook(transaction, found.webhook_id, values)
        _log(transaction, "webhook_delete", actor, found, now)
    return _view(home, found)


def signing_of(webhook: StoredWebhook) -> Signing:
    config = webhook.config
    return Signing(Scheme(config["scheme"]), config["signatureHeader"], Algorithm(config["signatureAlgorithm"]))


def _one(transaction: sa.Connection, beginning: str) -> StoredWebhook:
    found = webhooks.webhooks_that_begin(transaction, beginning) if beginning else []
    if len(found) == 1 or (found and found[0].webhook_id == beginning):
        return found[0]
    raise StoreError(
        "several webhooks have ids that begin so" if found else "there is no such webhook",
        code="webhook.ambiguous" if found else "webhook.unknown",
        place="webhook",
        remedy="see the ids: holovitals webhooks list",
    )


def _view(home: Home, stored: StoredWebhook) -> Webhook:
    config = stored.config
    connection = home.connections.get(stored.connection)
    return Webhook(
        webhook_id=stored.webhook_id,
        connection=stored.connection,
        provider=connection.provider.value if connection is not None else None,
        endpoint=stored.endpoint,
        events=tuple(config["events"]),
        scheme=config["scheme"],
        signature_header=config["signatureHeader"],
        signature_algorithm=config["signatureAlgorithm"],
        retry_attempts=config["retryAttempts"],
        retry_delay_ms=config["retryDelay"],
        timeout_ms=config["timeout"],
        custom_headers=tuple(config["customHeaders"]),
        without_token=config["withoutToken"],
        enabled=stored.enabled,
        created_by=stored.created_by,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
        previous_until=stored.previous_until,
    )


def _made(scheme: Scheme) -> str:
    if scheme is Scheme.STANDARD_WEBHOOKS:
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(32)


def _warnings(scheme: Scheme, secret: str, without_token: bool) -> tuple[str, ...]:
    said = []
    if len(key_bytes(scheme, secret)) < SHORTEST_SAFE_SECRET:
        said.append(
            f"the secret is shorter than {SHORTEST_SAFE_SECRET} bytes: it could be guessed; leave it out to get one"
        )
    if without_token:
        said.append(
            "the endpoint names no webhook: deliveries are found by their signature; receivePath is the better one"
        )
    if scheme is Scheme.BEARER:
        said.append("nothing is signed: whoever reads one delivery can send others")
    return tuple(said)


_RANGES: Mapping[str, tuple[int, int]] = {
    "retry_attempts": (0, 100),
    "retry_delay_ms": (0, 3_600_000),
    "timeout_ms": (100, 120_000),
}


def _check(new: NewWebhook, provider: Provider) -> None:
    if new.provider is not None and new.provider is not provider:
        raise _invalid("ehrProvider", f"the connection is one of {provider.value}")
    parsed = urlsplit(new.endpoint)
    if parsed.scheme not in ("http", "https") or not parsed.netloc or len(new.endpoint) > 2000:
        raise _invalid("endpoint", "give the address at which this installation is reached: https://…")
    if parsed.username is not None or parsed.password is not None:
        raise _invalid("endpoint", "leave user and password out of the address")
    if new.secret is not None:
        _check_secret(new.secret)
    for name, (least, most) in _RANGES.items():
        if not least <= getattr(new, name) <= most:
            raise _invalid(name, f"between {least:,} and {most:,}")
    names: Sequence[str] = [*new.custom_headers, *([new.signature_header] if new.signature_header is not None else [])]
    if not all(_HEADER.fullmatch(name) for name in names) or len(names) > 20:
        raise _invalid("headers", "name up to 20 headers as HTTP has them")


def _check_secret(secret: str) -> None:
    if not secret.strip() or len(secret) > 512 or not secret.isprintable():
        raise _invalid("secret", "1 to 512 printable characters; leave it out to get a good one")


def _check_room(transaction: sa.Connection) -> None:
    live = [one for one in webhooks.live_webhooks(transaction) if one.config["withoutToken"]]
    if len(live) >= MOST_WITHOUT_TOKEN:
        raise ConfigurationError(
            f"{MOST_WITHOUT_TOKEN} webhooks are found by their signature already",
            code="webhook.too_many_without_token",
            place="endpoint",
            remedy="register it with another endpoint, and have deliveries sent to the receivePath of the answer",
        )


def _invalid(place: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("the value does not fit", code="webhook.invalid", place=place, remedy=remedy)


def _log(transaction: sa.Connection, action: str, by: str, webhook: StoredWebhook, now: datetime) -> None:
    detail = {"webhook": webhook.webhook_id, "connection": webhook.connection}
    audit.append(transaction, [audit.Entry(action=action, actor=by, detail=detail)], at=now)
