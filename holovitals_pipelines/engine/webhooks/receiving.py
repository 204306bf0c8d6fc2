"""Deliveries are taken: verified over their raw bytes, stored, and only then answered.

Law: 2xx means durable. Every refusal of a sender nobody vouches for is the same 401, whatever was wrong; what was
vouched for is kept, whether or not it can be read.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.webhooks.registration import secret_box, signing_of, token_hash
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.providers.webhooks.deliveries import is_known_by_its_body, parts_of, stored_id
from holovitals_pipelines.providers.webhooks.signatures import Key, Rejected, Verified, verify
from holovitals_pipelines.store.events import Arrived, put_events
from holovitals_pipelines.store.webhooks import StoredWebhook, live_webhooks, webhooks_of_hashes

log = logging.getLogger("holovitals.webhooks")

LARGEST_BODY = 256 * 1024
MOST = 500
"""Deliveries of one commit."""
USUAL_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """`token` None: the address names no webhook. `about`: type and id at the address's end (FHIR R4 rest-hook)."""

    token: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""
    raw: bytes = field(repr=False)
    at: datetime
    about: tuple[str, str] | None = field(default=None, repr=False)


def _problem(status: int, title: str, code: str, detail: str) -> bytes:
    said = {"type": f"urn:holovitals:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return orjson.dumps(said)


_PROBLEM = {"Content-Type": "application/problem+json"}
TAKEN = Answer(202, b'{"status":"received"}', {"Content-Type": "application/json"})
REFUSED = Answer(
    401,
    _problem(401, "Unauthorized", "webhook.refused", "no webhook vouches for this delivery"),
    _PROBLEM,
)
TOO_LARGE = Answer(
    413,
    _problem(413, "Content Too Large", "webhook.too_large", f"a delivery has up to {LARGEST_BODY} bytes"),
    _PROBLEM | {"Connection": "close"},
)
TOO_SLOW = Answer(
    408,
    _problem(408, "Request Timeout", "webhook.too_slow", "the delivery took too long to arrive; send it again"),
    _PROBLEM | {"Connection": "close"},
)
LATER = Answer(
    503,
    _problem(503, "Service Unavailable", "webhook.not_stored", "it could not be stored; send it again"),
    _PROBLEM | {"Retry-After": "5"},
)


class Receiver:
    """Takes deliveries for one home: whatever arrives while a transaction commits goes into the next one."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._waiting: list[tuple[Delivery, asyncio.Future[Answer]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def receive(
        self,
        token: str | None,
        headers: Mapping[str, str],
        raw: bytes,
        at: datetime,
        *,
        about: tuple[str, str] | None = None,
    ) -> Answer:
        """The answer to a delivery; 2xx when it is stored for good, alone or with what came at the same time."""
        if len(raw) > LARGEST_BODY:
            return TOO_LARGE
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((Delivery(token, headers, raw, at, about), future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        return await asyncio.shield(future)

    async def seconds_to_arrive(self, token: str | None) -> float:
        """How long a delivery to this address may take to arrive: as its webhook says."""
        if token is None:
            return USUAL_TIMEOUT_SECONDS
        return await asyncio.to_thread(_seconds_to_arrive, self._home, token)

    async def settled(self) -> None:
        """Return when everything taken is stored: at the end of a server."""
        if self._committing is not None:
            await self._committing

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                for (_, future), answer in zip(batch, await self._taken(batch), strict=True):
                    if not future.done():  # otherwise the sender is gone; the event is stored all the same
                        future.set_result(answer)
        finally:
            self._committing = None

    async def _taken(self, batch: Sequence[tuple[Delivery, asyncio.Future[Answer]]]) -> Sequence[Answer]:
        deliveries = [delivery for delivery, _ in batch]
        try:
            return await asyncio.to_thread(take_deliveries, self._home, deliveries)
        except Exception as error:  # noqa: BLE001 no sender may wait for an answer that never comes
            code = error.code if isinstance(error, HoloVitalsError) else type(error).__name__
            log.error("%d deliveries could not be taken: %s", len(batch), code)
            return [LATER] * len(batch)


def take_deliveries(home: Home, deliveries: Sequence[Delivery]) -> list[Answer]:
    """Verify all, store those that are vouched for in one durable transaction, and say how to answer each.

    Raises StoreError: none is stored, and nobody may be told 2xx.
    """
    candidates = _Candidates(home, deliveries)
    found = [_vouched(candidates, one) for one in deliveries]
    arrived = [row for one, who in zip(deliveries, found, strict=True) if who for row in _rows(one, *who)]
    if arrived:
        with home.database.write() as transaction:
            put_events(transaction, arrived)
    return [REFUSED if who is None else TAKEN for who in found]


def _seconds_to_arrive(home: Home, token: str) -> float:
    hashed = token_hash(token)
    with home.database.read() as transaction:
        found = webhooks_of_hashes(transaction, [hashed]).get(hashed)
    return USUAL_TIMEOUT_SECONDS if found is None else float(found.config["timeout"]) / 1000


class _Candidates:
    """The webhooks that deliveries can be of, each with its opened keys; read once for all of them."""

    def __init__(self, home: Home, deliveries: Sequence[Delivery]) -> None:
        self._box = secret_box(home)
        self._opened: dict[bytes, str] = {}
        self._hashes = {one.token: token_hash(one.token) for one in deliveries if one.token is not None}
        with home.database.read() as transaction:
            self._by_hash = webhooks_of_hashes(transaction, list(self._hashes.values()))
            nameless = any(one.token is None for one in deliveries)
            self._nameless = (
                [one for one in live_webhooks(transaction) if one.config["withoutToken"]] if nameless else []
            )

    def of(self, delivery: Delivery) -> Sequence[StoredWebhook]:
        if delivery.token is None:
            return self._nameless
        found = self._by_hash.get(self._hashes[delivery.token])
        return [found] if found is not None else []

    def keys(self, webhook: StoredWebhook, at: datetime) -> list[Key]:
        keys = [Key("current", self.opened(webhook.secret))] if webhook.secret is not None else []
        until = webhook.previous_until
        if webhook.previous_secret is not None and until is not None and at < until:
            keys.append(Key("previous", self.opened(webhook.previous_secret)))
        return keys

    def opened(self, sealed: bytes) -> str:
        """Each is opened once for all deliveries of a commit."""
        if sealed not in self._opened:
            self._opened[sealed] = self._box.open(sealed)
        return self._opened[sealed]


_NOBODY = Key("nobody", secrets.token_urlsafe(32))


def _vouched(candidates: _Candidates, delivery: Delivery) -> tuple[StoredWebhook, Verified] | None:
    """Who vouches for it. All that could are asked, so that the time tells nothing of how many there are to try."""
    possible = candidates.of(delivery)
    if not possible:
        hmac.digest(_NOBODY.secret.encode(), delivery.raw, "sha256")
        log.info("delivery refused: webhook.unknown")
        return None
    found: list[tuple[StoredWebhook, Verified]] = []
    reasons = []
    for webhook in possible:
        keys = candidates.keys(webhook, delivery.at)
        verdict = verify(signing_of(webhook), delivery.headers, delivery.raw, keys, delivery.at)
        if isinstance(verdict, Rejected):
            reasons.append(verdict.reason)
        elif not _has_headers(candidates, webhook, delivery):
            reasons.append("headers.mismatch")
        else:
            found.append((webhook, verdict))
    if not found:
        log.info("delivery refused: %s", ", ".join(sorted(set(reasons))))
    return found[0] if found else None


def _has_headers(candidates: _Candidates, webhook: StoredWebhook, delivery: Delivery) -> bool:
    wanted: Mapping[str, str] = webhook.config["customHeaders"]
    same = [
        hmac.compare_digest(
            candidates.opened(sealed.encode("ascii")).encode(),
            delivery.headers.get(name, "").encode(errors="surrogateescape"),
        )
        for name, sealed in wanted.items()
    ]
    return all(same)


def _rows(delivery: Delivery, webhook: StoredWebhook, verified: Verified) -> list[Arrived]:
    about = delivery.about or (None, None)
    rows = []
    for part in parts_of(delivery.raw, verified.event_id):
        event_id = stored_id(part) or f"at:{delivery.at.isoformat()}:{secrets.token_hex(8)}"
        rows.append(
            Arrived(
                source=webhook.connection,
                event_id=event_id,
                webhook_id=webhook.webhook_id,
                key_id=verified.key_id,
                body=part.body,
                body_hash=content_hash(part.identity),
                resource_type=about[0],
                remote_id=about[1],
                comes_again=is_known_by_its_body(event_id),
                at=delivery.at,
            )
        )
    return rows
