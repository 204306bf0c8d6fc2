"""Telling others by HTTP what happened here: signed as Standard Webhooks, to public addresses only.

Law: what is sent is exactly what was signed, to the address that was looked at; redirects are not followed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.providers.retry import retry_after

TIMEOUT_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 86_400.0
_PREFIX = "whsec_"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one attempt. `code` is None when the other side has taken it."""

    code: str | None
    gone: bool = False
    """The other side wants no more of them (410)."""
    wait_seconds: float = 0.0
    """For how long it wants to be left alone."""


def signature(secret: bytes, message_id: str, at: datetime, body: bytes) -> str:
    """`v1,…` over `id.timestamp.body`, as Standard Webhooks has it."""
    signed = f"{message_id}.{int(at.timestamp())}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def secret_of(text: str) -> bytes:
    """The key in `whsec_<base64>`. Raises ConfigurationError for anything else, or for fewer than 24 bytes."""
    try:
        key = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.strip().startswith(_PREFIX) or len(key) < 24:
        raise ConfigurationError(
            "the secret that notifications are signed with is none",
            code="notify.secret",
            place="HOLOVITALS_NOTIFY_SECRET_FILE",
            remedy="write whsec_ and the base64 of 24 to 64 random bytes into the file",
        )
    return key


def notify(
    url: str, secret: bytes, message_id: str, body: bytes, at: datetime, *, allow_private: bool = False
) -> Delivery:
    """Post `body` once. `allow_private`: also to addresses of this machine and its network, and without TLS."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in (("https", "http") if allow_private else ("https",)) or not host:
        return Delivery("notify.url")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = _address_of(host, port)
    except (OSError, ValueError):
        return Delivery("notify.unresolved")
    if not allow_private and not _is_public(address):
        return Delivery("notify.address_refused")
    pinned = f"[{address}]" if ":" in address else address
    target = parts._replace(netloc=f"{pinned}:{port}").geturl()
    headers = {
        "host": parts.netloc.rpartition("@")[2],
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature(secret, message_id, at, body),
    }
    try:
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", target, content=body, headers=headers, extensions={"sni_hostname": host}) as answer,
        ):
            return _delivery(answer, at)
    except (httpx.HTTPError, httpx.InvalidURL):
        return Delivery("notify.unreachable")


def _address_of(host: str, port: int) -> str:
    """The address that is used, when none of the host's is private; otherwise one that is. Raises OSError."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    found = [address.partition("%")[0] for address in found]
    return next((address for address in found if not _is_public(address)), found[0])


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour or address.teredo or address in _NAT64:
            return False  # an IPv4 address in disguise
        address = address.ipv4_mapped or address
    return address.is_global and not address.is_multicast


def _delivery(answer: httpx.Response, at: datetime) -> Delivery:
    if answer.is_success:
        return Delivery(None)
    if answer.status_code == httpx.codes.GONE:
        return Delivery("notify.gone", gone=True)
    asked = retry_after(answer.headers.get("retry-after"), now=at, ceiling=LONGEST_WAIT_SECONDS)
    return Delivery(f"notify.http_{answer.status_code}", wait_seconds=asked or 0.0)
