"""A home that receives HL7 v2, and messages sent to it over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from holovitals_pipelines.engine.hl7v2.intake import Intake
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.providers.hl7v2.listener import Listener
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.hl7_messages import ListedMessage, list_messages
from holovitals_pipelines.store.hl7_records import records_by_id, records_changed
from tests.transform.hl7v2.messages import PID, PV1, message

BEGINNING, END_OF_TIME = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
START, END = b"\x0b", b"\x1c\r"


def declared(types: list[str] | None = None, **hl7v2: Any) -> ConnectionConfig:
    return ConnectionConfig.model_validate(
        {
            "name": "hospital",
            "provider": "meditech",
            "base_url": "mllp://127.0.0.1:9",
            "resource_types": types,
            "hl7v2": {"listen": [{"port": 0}], **hl7v2},
        }
    )


@contextmanager
def receiving(root: Path, **hl7v2: Any) -> Iterator[Home]:
    save_connections(root / "connections.yaml", [declared(**hl7v2)])
    with open_home(Settings(home=root)) as home:
        yield home


def sent(home: Home, *feeds: Sequence[bytes]) -> list[list[bytes]]:
    """Each feed over a connection of its own, all at once; the acknowledgement of each message."""

    async def run() -> list[list[bytes]]:
        connection = home.connection("hospital")
        async with Listener(connection.hl7v2, Intake(home.database, connection)) as listener:
            return await asyncio.gather(*(_one_by_one(listener.ports["feed"], feed) for feed in feeds))

    return asyncio.run(run())


async def _one_by_one(port: int, feed: Sequence[bytes]) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for body in feed:
        writer.write(START + body + END)
        answers.append((await reader.readuntil(END)).removeprefix(START).removesuffix(END))
    writer.close()
    return answers


def codes(answers: Sequence[bytes]) -> list[str]:
    """MSA-1 of each."""
    return [answer.split(b"MSA|")[1][:2].decode() for answer in answers]


def stored(home: Home) -> list[ListedMessage]:
    """In order of arrival."""
    with home.database.read() as transaction:
        return list_messages(transaction, limit=10_000)[::-1]


def held(home: Home, kind: str, identity: str) -> dict[str, Any] | None:
    with home.database.read() as transaction:
        found = records_by_id(transaction, "hospital", kind, [identity]).get(identity)
    return None if found is None else orjson.loads(found.body)


def all_held(home: Home, kind: str) -> list[dict[str, Any]]:
    with home.database.read() as transaction:
        found = records_changed(transaction, "hospital", kind, since=BEGINNING, until=END_OF_TIME, most=10_000)
    return [orjson.loads(one.body) for one in found]


def adt(event: str, number: str, *segments: str, at: str = "202601150930") -> bytes:
    return message(f"MSH|^~\\&|ADM|FAC1|||{at}||ADT^{event}|{number}|P|2.4", f"EVN|{event}|{at}", *segments)


def oru(number: str, *segments: str, at: str = "202601150930") -> bytes:
    return message(f"MSH|^~\\&|LAB|FAC1|||{at}||ORU^R01|{number}|P|2.3", *segments)


__all__ = ["PID", "PV1", "adt", "all_held", "codes", "declared", "held", "oru", "receiving", "sent", "stored"]
