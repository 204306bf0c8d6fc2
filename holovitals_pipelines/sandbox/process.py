"""The sandbox as a child process: started, awaited until healthy, and never outliving its parent.

The law: the child reads a pipe whose other end only the parent holds; when the parent dies, by whatever death, the
pipe ends and so does the child.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import orjson

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.credentials import DemoCredentials


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A live sandbox. `base_urls` by dialect and by its other interfaces; `stop` (or leaving `with`) ends it."""

    base_urls: Mapping[str, str]
    groups: Mapping[str, str | None]
    """Ids of the groups of all patients, for vendors that export by group."""
    port: int
    admin_url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the child; does nothing when it has ended already."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()  # a fork of the parent may still hold the pipe open
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def patient_ids(self, dialect: str) -> list[str]:
        """What an Epic client is given out of band: the ids of the patients it may ask for."""
        answer = httpx.get(f"{self.admin_url}/{dialect}/ids/Patient", trust_env=False, timeout=60)
        return answer.text.split()

    def __enter__(self) -> RunningSandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def start_sandbox(
    *,
    dialects: Sequence[str] = ("fhir", "epic"),
    data: Path | None = None,
    patients: int = 100,
    seed: int = 1,
    port: int = 0,
    credentials: DemoCredentials | None = None,
    smart: Sequence[str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    spool_folder: Path | None = None,
    journal: Path | None = None,
    timeout_seconds: float = 300.0,
) -> RunningSandbox:
    """Start a sandbox on the loopback and wait until it answers.

    With `credentials`, the dialects named in `smart` (None: all) demand SMART Backend Services; without, all are open.
    With `journal`, a file, what is written at the vendors is kept; they begin where an earlier sandbox with it ended.
    Raises ConfigurationError with the child's own words when it does not come up.
    """
    command = [sys.executable, "-m", "holovitals_pipelines.sandbox", "--until-stdin-closes", "--port", str(port)]
    command += ["--dialects", ",".join(dialects), "--patients", str(patients), "--seed", str(seed)]
    if data is not None:
        command += ["--data", str(data.resolve())]
    if credentials is not None:
        command += [
            "--clients",
            str(credentials.clients.resolve()),
            "--smart",
            ",".join(dialects if smart is None else smart),
        ]
    if spool_folder is not None:
        command += ["--spool-folder", str(spool_folder.resolve())]
    if journal is not None:
        command += ["--journal", str(journal.resolve())]
    for dialect, knobs in (settings or {}).items():
        for name, value in knobs.items():
            command += ["--set", f"{dialect}.{name}={_knob_text(value)}"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2]
    )
    try:
        return _await_health(process, timeout_seconds)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _knob_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return orjson.dumps(value).decode()
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _await_health(process: subprocess.Popen[bytes], timeout_seconds: float) -> RunningSandbox:
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_seconds
    line = process.stdout.readline()
    if not line:
        raise ConfigurationError(
            f"the sandbox ended with exit code {process.wait()} before it was ready",
            code="sandbox.not_started",
            remedy="its own message is on standard error, above",
        )
    started = orjson.loads(line)
    admin_url = f"http://127.0.0.1:{started['port']}/_sandbox"
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while True:
            try:
                if client.get(f"{admin_url}/health").status_code == 200:
                    return RunningSandbox(started["base_urls"], started["groups"], started["port"], admin_url, process)
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    "the sandbox does not answer", code="sandbox.not_ready", remedy="see its message on standard error"
                )
            time.sleep(0.02)
