"""PyPI `hl7`, which is no work of ours, sends to our listener and understands what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient

from holovitals_pipelines.providers.hl7v2.listener import Answer, Listener

from .wires import Keeper, message, on_one_port

SEND = Path(sys.executable).with_name("mllp_send")


def test_its_client_sends_and_reads_our_acknowledgements() -> None:
    def converse(port: int) -> list[hl7.Message]:
        with MLLPClient("127.0.0.1", port) as sender:
            return [hl7.parse(sender.send_message(message(number))) for number in range(5)]

    async def story() -> tuple[list[hl7.Message], list[str]]:
        keeper = Keeper()
        async with Listener(on_one_port(), keeper) as listener:
            return await asyncio.to_thread(converse, listener.ports["feed"]), keeper.ids

    said, kept = asyncio.run(story())
    assert kept == ["0", "1", "2", "3", "4"]
    for number, told in enumerate(said):
        assert (str(told.segment("MSA")[1]), str(told.segment("MSA")[2])) == ("AA", str(number))
        assert (str(told.segment("MSH")[5]), str(told.segment("MSH")[9])) == ("ADM", "ACK^A08")


def test_it_reads_our_refusals() -> None:
    def converse(port: int) -> hl7.Message:
        with MLLPClient("127.0.0.1", port) as sender:
            return hl7.parse(sender.send_message(message(7, version="2.5.1")))

    async def story() -> hl7.Message:
        async with Listener(on_one_port(), Keeper(Answer("AR", ("200", "Unsupported | type")))) as listener:
            return await asyncio.to_thread(converse, listener.ports["feed"])

    told = asyncio.run(story())
    assert str(told["MSA"][0][1]) == "AR"
    assert str(told["ERR"][0][3][0][0]) == "200"
    assert told.unescape(str(told["ERR"][0][3][0][1])) == "Unsupported | type"


def test_its_program_sends_a_file_of_messages(tmp_path: Path) -> None:
    if not SEND.exists():
        pytest.skip("the program mllp_send is not installed")
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(message(number) for number in range(3)))

    def converse(port: int) -> str:
        command = [str(SEND), "--port", str(port), "--loose", "--file", str(file), "127.0.0.1"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

    async def story() -> tuple[str, list[str]]:
        keeper = Keeper()
        async with Listener(on_one_port(), keeper) as listener:
            return await asyncio.to_thread(converse, listener.ports["feed"]), keeper.ids

    said, kept = asyncio.run(story())
    assert kept == ["0", "1", "2"]
    assert said.count("MSA|AA|") == 3
