"""Messages of other projects' test suites: every one is framed, read, taken and acknowledged as HAPI would.

Our rules, where HAPI does otherwise: what has a header is accepted and kept, also the message HAPI refuses (it has
three separators instead of four), for reading its fields is a later step; and a sender that chose its acknowledgements
in MSH-15 and 16 gets those, where HAPI says AA to everyone.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from holovitals_pipelines.providers.hl7v2.framing import framed
from holovitals_pipelines.providers.hl7v2.header import Header, read_header
from holovitals_pipelines.providers.hl7v2.listener import Listener

from .wires import Keeper, client, on_one_port

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "hl7v2-messages"
OWN: list[tuple[bytes, dict[str, Any]]] = [
    (
        b"\xef\xbb\xbf\r\nMSH|^~\\&#|LAB^1.2^ISO|FAC1| ||20260115||ORU^R01^ORU_R01|17|T^A|2.5.1||||||ASCII\r\nPID|1\n",
        {"hapi": "ok", "MSH-3-1": "LAB", "MSH-4-1": "FAC1", "MSH-5-1": " ", "MSH-7-1": "20260115", "MSH-9-1": "ORU",
         "MSH-9-2": "R01", "MSH-10": "17", "MSH-11-1": "T", "MSH-12-1": "2.5.1", "MSH-18": "ASCII", "ack_MSA-1": "AA",
         "ack_MSA-2": "17", "ack_MSH-5": "LAB", "ack_MSH-9-2": "R01"},
    ),
    (
        b"MSH|^~\\&|ADM|F1|||1||ADT^A01|8|P|2.5|||AL|AL\r",
        {"hapi": "ok", "MSH-3-1": "ADM", "MSH-4-1": "F1", "MSH-7-1": "1", "MSH-9-1": "ADT", "MSH-9-2": "A01",
         "MSH-10": "8", "MSH-11-1": "P", "MSH-12-1": "2.5", "ack_MSA-1": "AA", "ack_MSA-2": "8", "ack_MSH-5": "ADM",
         "ack_MSH-9-2": "A01"},
    ),
    (
        b"MSH|^~}|ADM|F1|||1||BAR^P01|9|P|2.4||\nPID||^^|4\n",
        {"hapi": "HL7Exception"},
    ),
]  # fmt: skip


@cache
def reference() -> list[tuple[bytes, dict[str, Any]]]:
    if not FOLDER.is_dir():
        pytest.skip(f"the reference data is not there: {FOLDER}")
    with gzip.open(FOLDER / "messages.jsonl.gz") as file:
        bodies = {one["id"]: base64.b64decode(one["bytes_b64"]) for one in map(orjson.loads, file)}
    expected = map(orjson.loads, (FOLDER / "expected.jsonl").read_bytes().splitlines())
    return [(bodies[one["id"]], one) for one in expected]


def values(header: Header) -> dict[str, str]:
    def first(field: str) -> str:
        return field.split(header.encoding_characters[0])[0]

    return {
        "MSH-3-1": first(header.sending_application),
        "MSH-4-1": first(header.sending_facility),
        "MSH-5-1": first(header.receiving_application),
        "MSH-6-1": first(header.receiving_facility),
        "MSH-7-1": first(header.time),
        "MSH-9-1": header.message_type,
        "MSH-9-2": header.trigger,
        "MSH-10": header.control_id,
        "MSH-11-1": header.processing_id,
        "MSH-12-1": header.version,
        "MSH-18": header.character_set,
    }


def check_headers(messages: list[tuple[bytes, dict[str, Any]]]) -> None:
    for body, expected in messages:
        read = values(read_header(body))
        if expected["hapi"] == "ok":
            assert read == {name: expected.get(name) or "" for name in read}, expected.get("id")


def wanted(body: bytes) -> list[str]:
    """The answers to a message that is accepted, by its bytes alone."""
    fields = body.lstrip(b"\xef\xbb\xbf\r\n ").splitlines()[0].split(b"|") + [b""] * 20
    chosen = fields[14].strip(), fields[15].strip()
    if not any(chosen):
        return ["AA"]
    return [code for code, one in zip(("CA", "AA"), chosen, strict=True) if one in (b"AL", b"SU")]


def check_answers(messages: list[tuple[bytes, dict[str, Any]]]) -> None:
    """All in one stream, in reads of an odd size, the answers read as they come."""

    async def story() -> tuple[list[bytes], Keeper]:
        keeper = Keeper()
        async with Listener(on_one_port(), keeper) as listener, client(listener.ports["feed"]) as end:
            sent = b"\r\n".join(framed(body) for body, _ in messages)

            async def write() -> None:
                for at in range(0, len(sent), 997):
                    await end.send(sent[at : at + 997])

            _, answers = await asyncio.gather(write(), read(end))
        return answers, keeper

    async def read(end: Any) -> list[bytes]:
        return [await end.answer() for _, (body, _) in told_of]

    told_of = [(code, one) for one in messages for code in wanted(one[0])]
    answers, keeper = asyncio.run(story())
    assert [one.body for one in keeper.arrivals] == [body for body, _ in messages]
    for (code, (body, expected)), answer in zip(told_of, answers, strict=True):
        told = answer.decode().split("\r")
        msh, msa = told[0].split("|"), told[1].split("|")
        assert msa == ["MSA", code, read_header(body).control_id]
        if expected["hapi"] == "ok":
            assert expected["ack_MSA-1"] == "AA" and msa[2] == (expected["ack_MSA-2"] or "")
            assert msh[4].split("^")[0] == (expected["ack_MSH-5"] or "")
            assert msh[8].split("^")[1:2] == ([expected["ack_MSH-9-2"]] if expected["ack_MSH-9-2"] else [])


def test_headers_of_our_own_examples_are_read_as_hapi_reads_them() -> None:
    check_headers(OWN)


def test_our_own_examples_are_acknowledged_as_hapi_does() -> None:
    check_answers(OWN)


def test_headers_of_all_139_messages_are_read_as_hapi_reads_them() -> None:
    assert len(reference()) == 139
    check_headers(reference())


def test_all_139_messages_are_taken_byte_by_byte_and_acknowledged_as_hapi_does() -> None:
    check_answers(reference())
