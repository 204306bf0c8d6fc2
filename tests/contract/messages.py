"""A simulated vendor that tells by HL7 v2 messages, on the bench: `holovitals listen` takes them, in its own process.

Law: the contract's words keep their meaning. A request that goes wrong is a message that does: it comes twice, its
answer is lost, its line breaks, it comes in pieces; and with every fault each message is kept once and applied once.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from holovitals_pipelines.engine.hl7v2.held import HeldInDatabase
from holovitals_pipelines.engine.vendors import vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.writing import Present
from holovitals_pipelines.providers.adapter import Adapter
from tests.contract.harness import Bench, Read, opened, taken_from
from tests.contract.vendor import Resource
from tests.end_to_end.commands import COMMAND, environment
from tests.end_to_end.two_way import Ours, our_side
from tests.providers.loopback import FastClock

LINKS = ("adt", "results")
PATIENCE = 60.0
ON_EVERY_LINE: Mapping[str, int] = {"duplicates": 25, "lost_acks": 10}
"""Faults of the first feed, beside two links that are in no order, and a listener that is killed."""
AS_A_MESSAGE: Mapping[str, Mapping[str, int]] = {
    "edit_page": {},
    "status": {"duplicates": 2},
    "drop": {"lost_acks": 2},
    "truncated": {"piece_bytes": 11},
    "invalid_utf8": {},
    "schema_drift": {},
}
"""The simulator's knobs by which an answer that goes wrong is a message that does; see `BY_SOMEBODY`."""


@dataclass
class Listening:
    """A home of ours and its listener, whose ports stay the same when it comes again."""

    side: Ours
    root: Path
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        url = f"sqlite:///{self.root / 'operational.sqlite'}"
        self.process = subprocess.Popen(
            (COMMAND, "listen", "--json"),
            env=environment(self.root, HOLOVITALS_DATABASE_URL=url),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def messages(self) -> list[Any]:
        return self.side.rows("hl7_message")

    def repeated(self) -> int:
        """How often a message came that was here; none of them is here twice."""
        kept = self.messages()
        assert len({row.control_id for row in kept}) == len(kept)
        return sum(row.times_received for row in kept) - len(kept)


def free_ports(count: int) -> list[int]:
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [door.getsockname()[1] for door in doors]
    for door in doors:
        door.close()
    return ports


@dataclass(frozen=True)
class MessageBench(Bench):
    """See `Bench`. Its home has had a first feed with faults; the undisturbed read is of a home of its own."""

    waiting: list[str] = field(default_factory=list)
    """Faults that have been asked for."""
    accepted: list[int] = field(default_factory=lambda: [0])
    """What the feed had told when requests were last forgotten."""
    at_the_end: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        self.at_the_end.close()

    # our side

    def config(self, *, types: Sequence[str] | None = None, **read: Any) -> ConnectionConfig:
        declared = super().config(types=types, **read).model_dump(mode="json", exclude_unset=True)
        listen = [{"name": name, "port": port} for name, port in self.ports.items()]
        return ConnectionConfig.model_validate({**declared, "hl7v2": {"ack_timeout_seconds": 1, "listen": listen}})

    @cached_property
    def ports(self) -> dict[str, int]:
        return dict(zip(LINKS, free_ports(len(LINKS)), strict=True))

    def whole(self) -> Read:
        """What a feed tells without any fault."""
        if "whole" not in self.known:
            first = self._listening("undisturbed")
            self._vendor("feed", host="127.0.0.1", ports=self.ports)
            self._settled()
            assert first.repeated() == 0
            self.known["whole"] = self._read_at(first)
            self._vendor("feed")
            first.kill()
        return self.known["whole"]

    @cached_property
    def listening(self) -> Listening:
        self.whole()  # its listener has the same ports
        begun = self._listening("disturbed")
        self._vendor("settings", resend_seconds=0.2, reconnect_seconds=0.02, **ON_EVERY_LINE)
        self._vendor("feed", host="127.0.0.1", ports=self.ports)
        self._until(lambda told: told["accepted"] >= sum(ON_EVERY_LINE.values()))
        begun.kill()
        begun.start()
        assert self._settled()["rejected"] == 0
        assert begun.repeated() >= sum(ON_EVERY_LINE.values())
        return begun

    def read(self, request: ReadRequest | None = None, **more: Any) -> Read:
        at = self.listening
        faults, self.waiting[:] = list(self.waiting), []
        for kind in faults:
            self._disturb(kind, at)
        self._settled()
        return self._read_at(at, request, **more)

    def at_desk(self, work: Callable[[Adapter], Awaitable[Any]], clock: FastClock | None = None, **read: Any) -> Any:
        return opened(lambda: vendor_adapter(self.config(**read), self.listening.side.home.database), work)

    @contextmanager
    def ours(self, home: Path, database_url: str, environment: Callable[[str, str], None]) -> Iterator[Ours]:
        yield self.listening.side

    def _read_at(self, at: Listening, request: ReadRequest | None = None, **more: Any) -> Read:
        more.pop("clock", None)
        config = self.config(**{name: more.pop(name) for name in ("page_size",) if name in more})
        return opened(  # type: ignore[no-any-return]
            lambda: vendor_adapter(config, at.side.home.database),
            lambda adapter: taken_from(adapter, request or self.asked(), **more),
        )

    def _listening(self, name: str) -> Listening:
        root = self.folder / name
        root.mkdir()
        shutil.copyfile(self.template, root / "operational.sqlite")
        config = self.config(types=self.types)
        side = self.at_the_end.enter_context(our_side(root, f"sqlite:///{root / 'operational.sqlite'}", config))
        begun = Listening(side, root)
        begun.start()
        self.at_the_end.callback(begun.kill)
        return begun

    # the vendor, from behind

    def fault(self, kind: str, **declared: Any) -> None:
        self.waiting.append(kind)

    def forget_faults(self) -> None:
        self.waiting.clear()

    def forget_requests(self) -> None:
        self.accepted[0] = self._settled()["accepted"]

    def writes(self) -> int:
        """Changes that were taken are told to everybody, us too."""
        return self._settled()["accepted"] - self.accepted[0]

    def known_as(self, identity: str) -> str:
        """By the number and the facility: `FAC1-MR-417`."""
        patient = super().held("Patient", identity)
        [number] = [one["value"] for one in patient["identifier"] if one["type"]["coding"][0]["code"] == "MR"]
        return f"FAC1-MR-{number}"

    def patients(self) -> list[str]:
        return sorted(map(self.known_as, super().patients()))

    def held(self, kind: str, identity: str) -> Resource:
        """What the vendor holds, once it has told it."""
        self._settled()
        return super().held(kind, identity)

    def put(self, resource: Resource) -> None:
        super().put(resource)
        self._settled()

    def edit_in_between(self, identity: str, reads: int) -> None:
        """Nobody hears of the edit before our message is there, for our listener is away: it cannot be noticed. What
        keeps it is that a message says what we changed, and nothing else but who the patient is."""
        element, value = self.vendor.between
        self.listening.kill()
        super().put({**super().held(self.vendor.written_type, identity), element: value})

    def catch_up(self) -> None:
        self.listening.start()
        self._settled()

    async def write_natively(self, adapter: Adapter) -> None:
        """Its change is a message; the answer to it is lost."""
        assert self.waiting == ["drop_after_commit"]
        self.waiting.clear()
        held = await adapter.read_current("Patient", self.patients()[-1])
        assert isinstance(held, Present)
        wanted = HeldInDatabase(self.listening.side.home.database, self.config()).as_we_write_it("Patient", held.body)
        wanted["pid"]["5"][0]["1"] = "Contractname"
        self._vendor("settings", silent=1)
        await adapter.update("Patient", held.remote_id, orjson.dumps(wanted), version=held.version)

    def _disturb(self, kind: str, at: Listening) -> None:
        """Some news, with a fault."""
        repeated, kept = at.repeated(), len(at.messages())
        knobs = AS_A_MESSAGE[kind]
        self._vendor("settings", **knobs)
        for identity in self.held_ids("Patient")[-2:]:
            self.touch(identity)
        self._vendor("settings", piece_bytes=0)
        if kind in BY_SOMEBODY:
            self._say(BY_SOMEBODY[kind](self._message_of_the_last(at)))
        assert at.repeated() - repeated >= knobs.get("duplicates", 0) + knobs.get("lost_acks", 0)
        assert len(at.messages()) - kept == 2 + (kind in BY_SOMEBODY and kind != "truncated")

    def _message_of_the_last(self, at: Listening) -> bytes:
        number = self.patients()[-1].rpartition("-")[2].encode()
        about = [row.body for row in at.messages() if row.message_type == "ADT^A08" and b"|%b^" % number in row.body]
        return bytes(about[-1])

    def _say(self, frame: bytes) -> None:
        """As a sender on the vendor's side would; without the end of the frame nobody answers."""
        with socket.create_connection(("127.0.0.1", self.ports["adt"]), timeout=PATIENCE) as line:
            line.sendall(frame)
            if frame.endswith(b"\x1c\r"):
                assert b"MSA|" in line.recv(65_536)

    def _vendor(self, what: str, **said: Any) -> Any:
        return self.admin("POST", f"{self.vendor.provider}/{what}", json=said).json()

    def _settled(self) -> dict[str, int]:
        return self._until(lambda told: not told["pending"])

    def _until(self, enough: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        deadline = time.monotonic() + PATIENCE
        while not enough(told := self.admin("GET", f"{self.vendor.provider}/feed").json()):
            assert time.monotonic() < deadline, told
            time.sleep(0.02)
        return told  # type: ignore[no-any-return]


def of_its_own(message: bytes, control: bytes, *more: bytes) -> bytes:
    """The message under another control id and with more segments, framed."""
    head, _, rest = message.partition(b"\r")
    fields = head.split(b"|")
    fields[9] = control
    return b"\x0b" + b"\r".join([b"|".join(fields), rest.rstrip(b"\r"), *more, b""]) + b"\x1c\r"


BY_SOMEBODY: Mapping[str, Callable[[bytes], bytes]] = {
    "truncated": lambda message: of_its_own(message, b"TORN")[:200],
    "invalid_utf8": lambda message: of_its_own(message, b"BYTES", b"ZBY|\xff\xfe"),
    "schema_drift": lambda message: of_its_own(message, b"DRIFT", b"ZSD|zzSandboxDrift||2"),
}
"""What the simulator's knobs cannot do: a line that breaks in the middle of a message, and odd messages."""
