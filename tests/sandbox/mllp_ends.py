"""Both ends of MEDITECH's MLLP links, made of bare sockets, and messages as a client writes them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import hl7
import orjson

from sandbox.loopback import Loopback


@dataclass
class Receiver:
    """Where the feed sends: keeps every frame and answers by `code_of`; None is no answer."""

    code_of: Callable[[bytes, int], str | None] = lambda message, number: "CA"
    port: int = 0
    frames: list[bytes] = field(default_factory=list)
    parsed: list[hl7.Message] = field(default_factory=list)
    lines: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", self.port))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.door,), daemon=True).start()

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                line, _ = door.accept()
            except OSError:
                return
            self.lines.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        held = b""
        try:
            while chunk := line.recv(65_536):
                held += chunk
                while b"\x1c\r" in held:
                    frame, held = held.split(b"\x1c\r", 1)
                    self.frames.append(frame.lstrip(b"\x0b"))
                    code = self.code_of(self.frames[-1], len(self.frames))
                    if code is not None:
                        line.sendall(b"\x0b" + acknowledgement(self.frames[-1], code) + b"\x1c\r")
        except OSError:
            return

    def messages(self) -> list[hl7.Message]:
        for frame in self.frames[len(self.parsed) :]:
            self.parsed.append(hl7.parse(frame.decode()))
        return self.parsed

    def of(self, event: str) -> list[hl7.Message]:
        return [message for message in self.messages() if told(message, "MSH.F9").endswith(event)]


def acknowledgement(message: bytes, code: str) -> bytes:
    control = message.split(b"|")[9]
    return b"MSH|^~\\&|US|||||20260101||ACK|1|P|2.4\rMSA|%s|%s\r" % (code.encode(), control)


def told(message: hl7.Message, place: str) -> str:
    """The text at a place (`PV1.F3`: the whole field), empty where there is none."""
    name, _, number = place.partition(".F")
    try:
        return str(message.segment(name)[int(number)] if number.isdecimal() else message[place])
    except (IndexError, KeyError):
        return ""


@dataclass
class Site:
    """One simulated MEDITECH and what a test does to it."""

    sandbox: Loopback

    def feed(self, receiver: Receiver, other: Receiver | None = None, start: str = "now") -> None:
        ports = {"adt": receiver.port} | ({} if other is None else {"results": other.port})
        self.sandbox.admin("POST", "meditech/feed", json={"ports": ports, "from": start})

    def progress(self) -> dict[str, int]:
        answer: dict[str, int] = self.sandbox.admin("GET", "meditech/feed")
        return answer

    def sent_all(self) -> dict[str, int]:
        deadline = time.monotonic() + 5
        while (progress := self.progress())["pending"]:
            assert time.monotonic() < deadline, progress
            time.sleep(0.005)
        return progress

    def held(self, kind: str, identity: str) -> Any:
        return self.sandbox.admin("GET", f"meditech/{kind}/{identity}")

    def edit(self, kind: str, identity: str, **elements: Any) -> None:
        whole = {**self.held(kind, identity), **elements}
        self.sandbox.admin("PUT", f"meditech/{kind}/{identity}", json=whole)

    def turn(self, **knobs: Any) -> None:
        self.sandbox.admin("POST", "meditech/settings", json=knobs)

    def first(self, kind: str) -> Any:
        held = self.sandbox.http.get(f"{self.sandbox.origin}/_sandbox/meditech/resources/{kind}").text
        return orjson.loads(held.partition("\n")[0])

    def say(self, *messages: bytes, junk: bytes = b"") -> list[hl7.Message]:
        """Send over MLLP and return what is answered."""
        address = urlsplit(self.sandbox.admin("GET", "health")["base_urls"]["meditech"])
        assert address.scheme == "mllp"
        with socket.create_connection((address.hostname, address.port), timeout=5) as line:
            for message in messages:
                line.sendall(junk + b"\x0b" + message + b"\x1c\r")
            held = b""
            while held.count(b"\x1c\r") < len(messages):
                chunk = line.recv(65_536)
                assert chunk, "hung up without an answer"
                held += chunk
        return [hl7.parse(frame.lstrip(b"\x0b").decode()) for frame in held.split(b"\x1c\r") if frame]


def number_of(patient: Any) -> str:
    return next(str(one["value"]) for one in patient["identifier"] if one["type"]["coding"][0]["code"] == "MR")


def adt(patient: Any, *, control: str, event: str = "A08", **fields: str) -> bytes:
    """An update by a client; `fields` by the number of PID's field: `f8="M"`."""
    pid = [""] * 31
    pid[3] = f"{number_of(patient)}^^^^MR^FAC1"
    for name, value in fields.items():
        pid[int(name[1:])] = value
    head = f"MSH|^~\\&|HOLOVITALS|US|ADM|FAC1|20260601120000||ADT^{event}|{control}|P|2.4"
    return "\r".join([head, f"EVN|{event}|20260601120000", "PID" + "|".join(pid), "PV1|1|N", ""]).encode()


def oru(patient: Any, *, control: str, value: str = "5.4", status: str = "F") -> bytes:
    return "\r".join(
        [
            f"MSH|^~\\&|HOLOVITALS|US|LAB|FAC1|20260601120000||ORU^R01|{control}|P|2.3",
            f"PID|1||{number_of(patient)}^^^^MR^FAC1",
            "OBR|1|ORD-7|FILL-7|2951-2^Sodium^LN|||20260601110000",
            rf"OBX|1|NM|6690-2^Leukocytes^LN|1|{value}|10\S\9/L|3.1-9.7|N|||{status}|||202606011100",
            "",
        ]
    ).encode()
