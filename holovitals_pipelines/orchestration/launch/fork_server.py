"""Executes Dagster runs in children forked from a process that has everything imported.

`python -m holovitals_pipelines.orchestration.launch.fork_server` reads one JSON line a run from standard input, answers
each with one line (`{"pid": …, "process": …}` or `{"error": …}`), and ends with its input; runs end by themselves.

Law: it forks only while it has no other thread of Python, and opens no store. Definitions are those of its start; the
launcher begins another server when the program or what is declared has changed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from importlib import import_module
from typing import Any

PRELOADED = (
    "dagster._cli.api",
    "dagster._core.execution.api",
    "dagster._core.storage.event_log",
    "dagster._core.storage.runs",
    "holovitals_pipelines.orchestration.assembly",
    "holovitals_pipelines.orchestration.sqlite_storage",
    "holovitals_pipelines.engine.webhooks.processing",
    "holovitals_pipelines.providers.registry",
)


def main() -> None:
    for name in PRELOADED:
        import_module(name)
    import_module("holovitals_pipelines.orchestration.assembly").assemble_ahead()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is the daemon's to answer
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets ended children by itself
    _say({"ready": os.getpid()})
    while line := sys.stdin.buffer.readline():
        try:
            _say(_launch(json.loads(line)))
        except Exception as error:  # noqa: BLE001 the launcher decides what to do instead
            _say({"error": type(error).__name__})


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _launch(asked: dict[str, Any]) -> dict[str, Any]:
    if threading.active_count() != 1:
        return {"error": "threads"}
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = _execute(asked["run_id"], asked["instance"])
        finally:
            os._exit(code)
    from holovitals_pipelines.engine.worker import name_of_process

    return {"pid": pid, "process": name_of_process(pid)}


def _execute(run_id: str, instance: str) -> int:
    """The run, as Dagster's own `dagster api execute_run` does it; in a session and with signals of its own."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)  # the pipes to the launcher are the server's alone
    os.dup2(2, 1)

    from dagster import DagsterInstance
    from dagster._cli.api import _execute_run_command_body
    from dagster._core.instance import InstanceRef
    from dagster._serdes import deserialize_value
    from dagster._utils.interrupts import capture_interrupts

    with capture_interrupts(), DagsterInstance.from_ref(deserialize_value(instance, InstanceRef)) as opened:
        return _execute_run_command_body(run_id, opened, lambda _: None, set_exit_code_on_failure=True)


if __name__ == "__main__":
    main()
