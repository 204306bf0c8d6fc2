"""Senders of webhooks: many at once, each on a connection of its own, noting what was acknowledged and how fast.

Law: a delivery counts as acknowledged only when its whole answer has come.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Sent:
    """Ids by what was answered, and how long each answer took, in seconds."""

    acknowledged: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    wall_seconds: float = 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


async def deliver(
    port: int, path: str, secret: str, *, count: int, at_once: int, prefix: str = "e", sent: Sent | None = None
) -> Sent:
    """Send `count` events over `at_once` connections. A connection that is cut ends its sender; see `acknowledged`."""
    sent = sent or Sent()
    numbers = iter(range(count))
    began = time.perf_counter()
    await asyncio.gather(*(_sender(port, path, secret, numbers, prefix, sent) for _ in range(at_once)))
    sent.wall_seconds = time.perf_counter() - began
    return sent


async def _sender(port: int, path: str, secret: str, numbers: Iterator[int], prefix: str, sent: Sent) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError, EOFError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for number in numbers:
                event_id = f"{prefix}{number}"
                began = time.perf_counter()
                writer.write(_request(path, secret, event_id))
                status = await _answer(reader)
                sent.seconds.append(time.perf_counter() - began)
                if 200 <= status < 300:
                    sent.acknowledged.add(event_id)
                else:
                    sent.refused[event_id] = status
        finally:
            writer.close()


def _request(path: str, secret: str, event_id: str) -> bytes:
    about = {
        "id": event_id,
        "type": "OBSERVATION_UPDATED",
        "resourceType": "Observation",
        "resourceId": f"o-{event_id}",
    }
    body = json.dumps(about).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Webhook-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next((int(line.partition(":")[2]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])


def main() -> None:
    """`python -m benchmarks.deliveries '{"port": …, "path": …, …}'`: send, and print what came of it."""
    sent = asyncio.run(deliver(**json.loads(sys.argv[1])))
    print(
        json.dumps(
            {
                "acknowledged": len(sent.acknowledged),
                "wall_seconds": sent.wall_seconds,
                "p50": sent.percentile(0.5),
                "p99": sent.percentile(0.99),
            }
        )
    )


if __name__ == "__main__":
    main()
