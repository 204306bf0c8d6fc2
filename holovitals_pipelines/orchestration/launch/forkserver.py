"""The run launcher of `dagster.yaml`: runs start in children of a preloaded process, a few tenths of a second each.

Law: where a fork server cannot be trusted (another version of Dagster, another code location, no fork) or does not
answer, the run is launched by Dagster's stock launcher, and the log says why. A run is launched once.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData, serialize_value

import holovitals_pipelines
from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.orchestration.launch.declarations import Declarations
from holovitals_pipelines.orchestration.run_links import PROCESS_TAG
from holovitals_pipelines.settings import Settings

log = logging.getLogger("dagster.holovitals.launcher")

DAGSTER_VERSIONS = ("1.13.",)
"""Beginnings of the versions whose way to execute a run this was tested with."""
MODULE = "holovitals_pipelines.definitions"
SECONDS_TO_START = 60.0
SECONDS_TO_ANSWER = 10.0


class ForkServerRunLauncher(DefaultRunLauncher):
    """Named in dagster.yaml as `run_launcher`. The server is started by the daemon at once, elsewhere when needed."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._lock = threading.Lock()
        self._server: _Server | None = None
        if _is_daemon() and _why_not() is None:
            threading.Thread(target=self._warm_up, name="fork-server", daemon=True).start()

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        why = _why_not() or _not_ours(run)
        if why is None:
            try:
                process = self._launch(run)
            except _NotLaunchedError as error:
                why = str(error)
            else:
                self._instance.add_run_tags(run.run_id, {PROCESS_TAG: process, "holovitals/lane": "dagster"})
                return
        log.warning("the stock launcher takes run %s: %s", run.run_id, why)
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        process = run.tags.get(PROCESS_TAG) if run else None
        if run is None or process is None:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        if run.is_finished:
            return False
        pid = _pid_here(process)
        if pid is None:
            self._instance.report_engine_event("The run's process is gone or on another machine.", run)
            return False
        self._instance.report_run_canceling(run)
        os.kill(pid, signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        process = run.tags.get(PROCESS_TAG)
        if process is None or not is_gone(process):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")

    def dispose(self) -> None:
        super().dispose()
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None

    def _launch(self, run: dg.DagsterRun) -> str:
        with self._lock:
            server = self._living_server()
            return server.launch(run.run_id, serialize_value(self._instance.get_ref()))

    def _warm_up(self) -> None:
        with self._lock:
            try:
                self._living_server()
            except _NotLaunchedError as error:
                log.warning("the fork server does not start: %s", error)

    def _living_server(self) -> _Server:
        """The server, a new one where it has ended or the program was changed since."""
        if self._server is not None and not (self._server.lives() and self._server.is_current()):
            self._server.close()
            self._server = None
        if self._server is None:
            self._server = _Server()
        return self._server


class _NotLaunchedError(Exception):
    """Certainly no run was begun."""


class _Server:
    """The preloaded process, and the pipes to it."""

    def __init__(self) -> None:
        self._code = _newest_source()
        self._declared = Declarations(Settings())
        command = [sys.executable, "-m", "holovitals_pipelines.orchestration.launch.fork_server"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        if "ready" not in self._answer(SECONDS_TO_START):
            self.close()
            raise _NotLaunchedError("it did not become ready")

    def lives(self) -> bool:
        return self._process.poll() is None

    def is_current(self) -> bool:
        return _newest_source() == self._code and not self._declared.changed()

    def launch(self, run_id: str, instance: str) -> str:
        """Who executes the run. Raises _NotLaunchedError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"run_id": run_id, "instance": instance}).encode() + b"\n")
        except OSError as error:
            raise _NotLaunchedError(f"the fork server is gone ({error.strerror})") from None
        answer = self._answer(SECONDS_TO_ANSWER)
        if "process" not in answer:
            # Should it have forked all the same: Dagster refuses to execute a run that has been started already.
            self.close()
            raise _NotLaunchedError(f"the fork server did not begin the run ({answer.get('error', 'no answer')})")
        return str(answer["process"])

    def close(self) -> None:
        """Its input ends, and so does it; runs that it began go on."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line of its output; {} when none came."""
        assert self._process.stdout is not None
        until, said = time.monotonic() + seconds, b""
        while not said.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return {}
            piece = self._process.stdout.read(4096)
            if not piece:
                return {}
            said += piece
        found: dict[str, Any] = json.loads(said)
        return found


def _why_not() -> str | None:
    """Why no fork server is used at all; None: it may be."""
    if not hasattr(os, "fork") or not Path("/proc/self/stat").exists():
        return "this system cannot fork, or does not tell which processes live"
    if not dg.__version__.startswith(DAGSTER_VERSIONS):
        return f"Dagster {dg.__version__} is not among the versions it was tested with"
    return None


def _not_ours(run: dg.DagsterRun) -> str | None:
    origin = run.job_code_origin
    entry = origin.repository_origin.code_pointer if origin is not None else None
    if getattr(entry, "module", None) != MODULE:
        return "the run is of another code location"
    return None


def _pid_here(process: str) -> int | None:
    """The pid of a process of this machine that lives; None for any other."""
    from holovitals_pipelines.engine.worker import name_of_process

    part = process.split("/")
    if len(part) != 4 or not part[2].isdigit():
        return None
    return int(part[2]) if name_of_process(int(part[2])) == process else None


def _newest_source() -> float:
    root = Path(holovitals_pipelines.__file__).parent
    return max(file.stat().st_mtime for file in root.rglob("*.py"))


def _is_daemon() -> bool:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return Path(sys.argv[0]).name == "dagster-daemon" or (spec is not None and spec.name.startswith("dagster._daemon"))
