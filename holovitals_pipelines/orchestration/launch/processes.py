"""`holovitals worker`: warm processes, forked from one that has all imported, kept up and ended together.

Law: the first process does nothing but watch, so that it can fork safely at any time. The store is the queue: the
processes share nothing. Threads are no choice here: Dagster's in-process runs do not end when several share a process.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.worker import worker_name
from holovitals_pipelines.engine.worker_heartbeat import SECONDS_BETWEEN_BEATS, Heartbeat
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError
from holovitals_pipelines.model.vocabulary import Lane
from holovitals_pipelines.orchestration.launch.declarations import Declarations
from holovitals_pipelines.orchestration.launch.warm import WarmLane
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.change_watch import ChangeWatch

RELOAD = 75
"""A child's exit code: what it was told of connections has changed, and it is to be begun anew."""
FALLS, WITHIN_SECONDS = 5, 60.0
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_FULL_LOOKS = 1.0
"""For what becomes due without anybody storing anything."""


def work_off(settings: Settings, connections: Sequence[str], lane: Lane | None = Lane.WORKER) -> int:
    """Do what waits in the queue, here and one after the other; how many jobs were done. `lane` None: of any lane."""
    done = 0
    with open_home(settings) as home:
        warm = WarmLane(home, settings.dagster_home, connections, lane)
        while warm.turn():
            done += 1
        warm.finish()
    return done


@dataclass
class Workers:
    """The processes of one `holovitals worker`."""

    settings: Settings
    connections: Sequence[str]
    ready: Callable[[], None]
    lane: Lane | None = Lane.WORKER
    """None: of any lane."""
    _pids: set[int] = field(default_factory=set)
    _falls: list[float] = field(default_factory=list)
    _told_to_stop: bool = False

    def serve(self) -> None:
        """Until SIGINT or SIGTERM; then jobs at work are given time to end. Raises ConfigurationError when children
        fall again and again."""
        self._stop_read, self._stop_write = os.pipe()
        self._up_read, self._up_write = os.pipe()
        heartbeat = Heartbeat(self.settings, worker_name(), self.connections)
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for _ in range(self.settings.worker_parallel):
                self._fork()
            self._await_ready()
            if not self._told_to_stop:
                heartbeat.beat()
                self.ready()
            self._watch(heartbeat)
        finally:
            heartbeat.stop()
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._told_to_stop = True

    def _await_ready(self) -> None:
        """Until each child has opened the home."""
        left = self.settings.worker_parallel
        while left and not self._told_to_stop:
            if select.select([self._up_read], [], [], SECONDS_BETWEEN_LOOKS)[0]:
                left -= len(os.read(self._up_read, left))
            self._replace_fallen()

    def _watch(self, heartbeat: Heartbeat) -> None:
        beat_at = time.monotonic()
        while not self._told_to_stop:
            self._replace_fallen()
            if time.monotonic() >= beat_at:
                heartbeat.beat()
                beat_at = time.monotonic() + SECONDS_BETWEEN_BEATS
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _replace_fallen(self) -> None:
        for pid, code in self._ended():
            self._pids.discard(pid)
            if code != RELOAD:
                now = time.monotonic()
                self._falls = [at for at in self._falls if at > now - WITHIN_SECONDS] + [now]
                if len(self._falls) >= FALLS:
                    raise ConfigurationError(
                        f"the worker's processes end again and again (last exit code {code})",
                        code="worker.falls",
                        remedy="see what they said above; `holovitals doctor` tries the stores",
                    )
            if not self._told_to_stop:
                self._fork()

    def _ended(self) -> list[tuple[int, int]]:
        found = []
        for pid in sorted(self._pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                found.append((pid, os.waitstatus_to_exitcode(status)))
        return found

    def _fork(self) -> None:
        pid = os.fork()
        if pid:
            self._pids.add(pid)
            return
        code = 1
        try:
            code = self._child()
        except BaseException as error:  # noqa: BLE001 whatever it is, the first process only sees an exit code
            _say_of_what(error)
        finally:
            os._exit(code)

    def _child(self) -> int:
        os.close(self._stop_write)
        os.setpgid(0, 0)  # Ctrl-C in the terminal is the first process's to answer
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _let_pass)
        return _work(self.settings, self.connections, self.lane, self._stop_read, self._up_write)

    def _end(self) -> None:
        """Tell the children, wait for the jobs at work, and hand back those that take too long."""
        os.close(self._stop_write)
        until = time.monotonic() + self.settings.worker_grace_seconds
        while self._pids and time.monotonic() < until:
            self._pids -= {pid for pid, _ in self._ended()}
            time.sleep(SECONDS_BETWEEN_LOOKS)
        late = bool(self._pids)
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for descriptor in (self._stop_read, self._up_read, self._up_write):
            os.close(descriptor)
        if late:
            self._hand_back()

    def _hand_back(self) -> None:
        """The killed ones' jobs wait again, resumable, and their runs are over. Nothing is forked after this."""
        with open_home(self.settings) as home:
            WarmLane(home, self.settings.dagster_home, self.connections).recover()


def _say_of_what(error: BaseException) -> None:
    """Where a process ended, on standard error; of an unexpected one not its text, in which there may be values."""
    said = str(error) if isinstance(error, HoloVitalsError) else type(error).__name__
    sys.stderr.write("".join(traceback.format_tb(error.__traceback__)) + said + "\n")
    sys.stderr.flush()


def _let_pass(_: int, __: FrameType | None) -> None:
    """A signal meant for a run that has just ended."""


def _work(settings: Settings, connections: Sequence[str], lane: Lane | None, stop: int, up: int) -> int:
    """A child's life: until the first process closes the pipe, by intent or by its death."""
    declared = Declarations(settings)
    with open_home(settings) as home:
        warm = WarmLane(home, settings.dagster_home, connections, lane)
        watch = ChangeWatch(settings.resolved_database_url)
        os.write(up, b".")
        look_at = 0.0
        while not select.select([stop], [], [], 0)[0]:
            now = time.monotonic()
            if now >= look_at and declared.changed():
                return RELOAD
            if watch.changed() or now >= look_at:
                look_at = now + SECONDS_BETWEEN_FULL_LOOKS
                if warm.turn():
                    look_at = 0.0
                    continue
            select.select([stop], [], [], settings.worker_poll_seconds)
        warm.finish()
    return 0
