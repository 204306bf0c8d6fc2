"""How deliveries are signed: one verifier a scheme, over the raw bytes, in constant time, with several keys.

Law: what the sender chooses (method, id, time) is checked before it is used, and no check tells how near a guess was.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holovitals_pipelines.model.vocabulary import Provider

DEFAULT_HEADER = "x-webhook-signature"
TOLERANCE_SECONDS = 300
"""How far a signed time may be from ours, either way."""


class Scheme(StrEnum):
    """How a sender shows that a delivery is its own."""

    WEBHOOK_SIGNATURE = "x-webhook-signature"
    """Hexadecimal HMAC of the body in one header; the scheme where nothing else is said."""
    STANDARD_WEBHOOKS = "standard-webhooks"
    """Base64 HMAC of `id.timestamp.body`, several in one header (standardwebhooks.com)."""
    HUB_SIGNATURE = "x-hub-signature"
    """`method=hex` of the body, as WebSub has it: athenahealth."""
    HUB_SIGNATURE_256 = "x-hub-signature-256"
    """`sha256=hex` of the body: GitHub and its like."""
    SERVER_SIGNATURE = "x-server-signature"
    """Base64 HMAC of the body: eClinicalWorks (healow)."""
    BEARER = "bearer"
    """Nothing is signed: the secret is sent as `Authorization: Bearer`, which is all a FHIR Subscription can do."""


class Algorithm(StrEnum):
    SHA256 = "sha256"
    SHA512 = "sha512"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that may have signed, and its name in histories: current, previous."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Key({self.key_id})"


@dataclass(frozen=True, slots=True)
class Signing:
    """How one webhook's deliveries are signed."""

    scheme: Scheme
    header: str
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class Verified:
    """`event_id` is the delivery's id, where the scheme has one outside the body."""

    key_id: str
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """`reason` is for our own log; the sender is told no more than that it was refused."""

    reason: str


Verdict = Verified | Rejected
Headers = Mapping[str, str]
"""By lower-case name."""
Keys = Sequence[Key]

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_MOST_SIGNATURES = 8
"""A header may carry several while a key is rotated, and not any number of them."""

_USUAL: Mapping[Provider, Scheme] = {
    Provider.ATHENAHEALTH: Scheme.HUB_SIGNATURE,
    Provider.ECLINICALWORKS: Scheme.SERVER_SIGNATURE,
}
_HEADERS: Mapping[Scheme, str] = {
    Scheme.WEBHOOK_SIGNATURE: DEFAULT_HEADER,
    Scheme.STANDARD_WEBHOOKS: "webhook-signature",
    Scheme.HUB_SIGNATURE: "x-hub-signature",
    Scheme.HUB_SIGNATURE_256: "x-hub-signature-256",
    Scheme.SERVER_SIGNATURE: "x-server-signature",
    Scheme.BEARER: "authorization",
}


def usual_scheme(provider: Provider) -> Scheme:
    """The scheme of a provider's webhooks where the registration names none."""
    return _USUAL.get(provider, Scheme.WEBHOOK_SIGNATURE)


def usual_header(scheme: Scheme) -> str:
    return _HEADERS[scheme]


def verify(signing: Signing, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    """Whether one of `keys` vouches for exactly these bytes."""
    sent = headers.get(signing.header)
    if sent is None:
        return Rejected("signature.missing")
    return _VERIFIERS[signing.scheme](signing, sent.strip(), headers, raw, keys, now)


def key_bytes(scheme: Scheme, secret: str) -> bytes:
    """The key a secret stands for: its own bytes; after `whsec_` they are written in Base64."""
    if scheme is Scheme.STANDARD_WEBHOOKS and secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _body_hex(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    method, divider, digest = sent.rpartition("=")
    if divider and method != signing.algorithm:
        return Rejected("signature.method")
    return _matching(signing, signing.algorithm, [_from_hex(digest)], raw, keys)


def _hub(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    """The method is the sender's to name, among those that are safe: SHA-1 never is."""
    method, divider, digest = sent.partition("=")
    if not divider or method not in tuple(Algorithm):
        return Rejected("signature.method")
    return _matching(signing, Algorithm(method), [_from_hex(digest)], raw, keys)


def _hub_256(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    method, divider, digest = sent.partition("=")
    if not divider or method != signing.algorithm:
        return Rejected("signature.method")
    verdict = _matching(signing, signing.algorithm, [_from_hex(digest)], raw, keys)
    delivery = headers.get("x-github-delivery", "")
    if isinstance(verdict, Verified) and _ID.fullmatch(delivery):
        return Verified(verdict.key_id, delivery)
    return verdict


def _body_base64(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    return _matching(signing, signing.algorithm, [_from_base64(sent)], raw, keys)


def _standard(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    """id and time are signed with the body; neither may hold the dot that stands between the three."""
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(identity) or not _TIMESTAMP.fullmatch(timestamp):
        return Rejected("signature.envelope")
    digests = [
        _from_base64(digest)
        for version, _, digest in (one.partition(",") for one in sent.split()[:_MOST_SIGNATURES])
        if version == "v1"
    ]
    verdict = _matching(signing, signing.algorithm, digests, f"{identity}.{timestamp}.".encode() + raw, keys)
    if isinstance(verdict, Rejected):
        return verdict
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        return Rejected("signature.expired")
    return Verified(verdict.key_id, identity)


def _bearer(signing: Signing, sent: str, headers: Headers, raw: bytes, keys: Keys, now: datetime) -> Verdict:
    scheme, _, token = sent.partition(" ")
    if scheme.lower() != "bearer":
        return Rejected("signature.method")
    given = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
    return _first(keys, lambda key: hmac.compare_digest(hashlib.sha256(key.secret.encode()).digest(), given))


_VERIFIERS: Mapping[Scheme, Callable[[Signing, str, Headers, bytes, Keys, datetime], Verdict]] = {
    Scheme.WEBHOOK_SIGNATURE: _body_hex,
    Scheme.STANDARD_WEBHOOKS: _standard,
    Scheme.HUB_SIGNATURE: _hub,
    Scheme.HUB_SIGNATURE_256: _hub_256,
    Scheme.SERVER_SIGNATURE: _body_base64,
    Scheme.BEARER: _bearer,
}


def _matching(
    signing: Signing, algorithm: Algorithm, digests: Sequence[bytes | None], signed: bytes, keys: Keys
) -> Verdict:
    """Each key is tried with each digest, whichever has matched before."""

    def vouches(key: Key) -> bool:
        expected = hmac.digest(key_bytes(signing.scheme, key.secret), signed, algorithm.value)
        same = [len(one) == len(expected) and hmac.compare_digest(expected, one) for one in digests if one]
        return any(same)

    return _first(keys, vouches)


def _first(keys: Keys, vouches: Callable[[Key], bool]) -> Verdict:
    matching = [key for key in keys if vouches(key)]
    return Verified(matching[0].key_id) if matching else Rejected("signature.mismatch")


def _from_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEX.fullmatch(text) and len(text) % 2 == 0 else None


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
