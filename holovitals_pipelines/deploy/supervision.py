"""Several services as one: started, awaited, watched, started again when they fall, and ended together.

Law: no service outlives the supervisor, whatever death it dies (guardian.py). What they say goes to one log.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Literal
from uuid import uuid4

import httpx

from holovitals_pipelines.deploy.guardian import MARK, end, marked
from holovitals_pipelines.model.errors import ConfigurationError

SECONDS_TO_READY = 120.0
SECONDS_TO_END = 30.0
"""Dagster ends its server, daemon and code server one after the other."""
FALLS, WITHIN_SECONDS = 5, 60.0
"""A service that falls so often within so long is not started again: everything ends, and says why."""
PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Before it is started again after its first, second, … fall: what felled it may need a moment to come back."""
LOOK_SECONDS = 0.1
LAST_LINES = 12
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 5


@dataclass(frozen=True, slots=True)
class Service:
    """One child process, and how to know that it is ready."""

    name: str
    command: Sequence[str]
    says_ready: str | None = None
    """A key of the line of JSON that it prints when it is ready; or …"""
    answers_at: str | None = None
    """… an address that answers 2xx then."""
    address: str | None = None
    """For people to open."""
    port: int | None = None
    """That must be free before it is started."""
    port_option: str | None = None
    """Which option chooses another one."""
    environment: Mapping[str, str] = field(default_factory=dict)


Event = Literal["starting", "ready", "fell", "ended"]
Tell = Callable[[Event, Service, str], None]


def require_free(services: Sequence[Service], command: str) -> None:
    """Raise ConfigurationError for the first port that is taken, or wanted twice."""
    seen: dict[int, Service] = {}
    for service in services:
        if service.port is None:
            continue
        if service.port in seen:
            said = f"{service.name} and {seen[service.port].name} both want port {service.port}"
        elif _is_taken(service.port):
            said = f"port {service.port}, wanted for {service.name}, is taken"
        else:
            seen[service.port] = service
            continue
        another = f": {command} {service.port_option} {service.port + 1}" if service.port_option else ""
        raise ConfigurationError(said, code="up.port_taken", remedy=f"end what uses it, or choose another{another}")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class _Child:
    """A service's process of now, its falls, and what it said last."""

    def __init__(self, service: Service, environment: Mapping[str, str], log: logging.Logger) -> None:
        self.service = service
        self.has_been_ready = False
        self.falls: deque[float] = deque()
        self.starts_at: float | None = None
        """When a fallen one is started again; None while it runs."""
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._environment, self._log = environment, log
        self.start()

    def start(self) -> None:
        self.ready, self.said_ready, self.began, self.starts_at = False, False, time.monotonic(), None
        self.process = subprocess.Popen(
            self.service.command,
            env={**self._environment, **self.service.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one Ctrl-C reaches it once, from here, and not again from the terminal
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            self.last.append(line)
            self._log.info("%-9s %s", self.service.name, line)
            if self.service.says_ready and line.startswith("{") and _has_key(line, self.service.says_ready):
                self.said_ready = True

    def is_ready(self) -> bool:
        if self.service.says_ready is not None:
            return self.said_ready
        if self.service.answers_at is None:
            return True
        try:
            return httpx.get(self.service.answers_at, timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def _has_key(line: str, key: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and key in said


class Supervisor:
    """Runs services until it is told to stop or one of them cannot be kept up."""

    def __init__(self, folder: Path, tell: Tell, *, seconds_to_ready: float = SECONDS_TO_READY) -> None:
        """`folder` is where `up.log` is kept, and rotated."""
        self._tell, self._seconds_to_ready = tell, seconds_to_ready
        self._mark = uuid4().hex
        self._environment = os.environ | {MARK: self._mark}
        self.log_file = folder / "up.log"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = RotatingFileHandler(self.log_file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self._log = logging.Logger(f"holovitals.up.{self._mark}")
        self._log.addHandler(handler)
        self._children: list[_Child] = []

    def run(self, first: Sequence[Service], then: Sequence[Service], ready: Callable[[], None]) -> None:
        """Start `first`, await them, start `then`, await them, call `ready`, and watch until Ctrl-C or SIGTERM.

        Raises ConfigurationError when a service does not come up, or falls again and again; everything has ended then.
        """
        with self._guarded(), interrupted_by_signals():
            try:
                for group in (first, then):
                    self._start(group)
                    self._await(group)
                ready()
                while True:
                    self._watch()
                    time.sleep(LOOK_SECONDS)
            except KeyboardInterrupt:
                return
            finally:
                self._end()

    def _start(self, services: Sequence[Service]) -> None:
        for service in services:
            self._tell("starting", service, "")
            self._children.append(_Child(service, self._environment, self._log))

    def _await(self, services: Sequence[Service]) -> None:
        until = time.monotonic() + self._seconds_to_ready
        waiting = [child for child in self._children if child.service in services]
        while waiting := [child for child in waiting if not child.ready]:
            self._watch()
            if time.monotonic() > until:
                raise self._given_up(waiting[0], f"was not ready within {self._seconds_to_ready:.0f} seconds")
            time.sleep(LOOK_SECONDS)

    def _watch(self) -> None:
        """Note who is ready now, and start again who has fallen, or hangs before it is ready."""
        for child in self._children:
            now = time.monotonic()
            if child.starts_at is not None:
                if now >= child.starts_at:
                    child.start()
            elif (code := child.process.poll()) is not None:
                self._fallen(child, now, f"exit code {code}")
            elif child.ready:
                continue
            elif child.is_ready():
                child.ready = child.has_been_ready = True
                self._tell("ready", child.service, f"{time.monotonic() - child.began:.1f} s")
            elif child.has_been_ready and now > child.began + self._seconds_to_ready:
                child.process.kill()
                child.process.wait()
                self._fallen(child, now, f"not ready within {self._seconds_to_ready:.0f} seconds")

    def _fallen(self, child: _Child, now: float, said: str) -> None:
        child.falls.append(now)
        while child.falls[0] < now - WITHIN_SECONDS:
            child.falls.popleft()
        if len(child.falls) >= FALLS or not child.has_been_ready:
            raise self._given_up(child, f"ended with {said}" if said.startswith("exit") else f"was {said}")
        pause = PAUSES[len(child.falls) - 1]
        child.starts_at = now + pause
        self._tell("fell", child.service, f"{said}; started again" + (f" in {pause:.0f} s" if pause else ""))

    def _given_up(self, child: _Child, said: str) -> ConfigurationError:
        last = "\n    ".join(child.last)
        return ConfigurationError(
            f"{child.service.name} {said}" + (f"; it said last:\n    {last}" if last else ""),
            code="up.service_failed",
            place=str(self.log_file),
            remedy="mend what it says, and start again; nothing that was stored is lost",
        )

    def _end(self) -> None:
        """Ask once, wait, and kill what is left; a second Ctrl-C kills at once."""
        try:
            for child in reversed(self._children):
                if child.process.poll() is None:
                    child.process.send_signal(signal.SIGINT)
            until = time.monotonic() + SECONDS_TO_END
            for child in self._children:
                child.process.wait(timeout=max(0.1, until - time.monotonic()))
                self._tell("ended", child.service, "")
            end(marked(self._mark), seconds=2)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            end(marked(self._mark), seconds=0)
            for child in self._children:
                child.process.wait()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A process of its own ends everything should this one be killed."""
        guardian = subprocess.Popen(
            [sys.executable, "-m", "holovitals_pipelines.deploy.guardian", self._mark], stdin=subprocess.PIPE
        )
        try:
            yield
        finally:
            assert guardian.stdin is not None
            guardian.stdin.close()
            guardian.wait()


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end like Ctrl-C; so does Ctrl-C itself, to which scripts make their children deaf.

    Dagster's code server would inherit that deafness and ignore SIGTERM for ever.
    """

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
