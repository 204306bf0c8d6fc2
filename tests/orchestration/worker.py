"""Child processes of the tests: the commands a person types, in a group of their own, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from holovitals_pipelines.settings import Settings
from tests.orchestration.installation import today

PROJECT = Path(__file__).parents[2]


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {"HOLOVITALS_HOME": str(settings.root), "DAGSTER_HOME": str(settings.dagster_home)}


def executable(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def materialize(connection: str) -> list[str]:
    """Everything of a connection for today, in a process of its own, as `dagster` on a terminal does it."""
    return [
        executable("dagster"), "asset", "materialize", "-m", "holovitals_pipelines.definitions",
        "--select", f'group:"{connection}" or key:"sync_statistics"', "--partition", today(),
    ]  # fmt: skip


@contextmanager
def started(command: list[str], settings: Settings, output: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """The command at work, answering to Ctrl-C even where this process does not; its group ends with the block."""
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment(settings), stdout=output, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=_answer_to_ctrl_c,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answer_to_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
