"""Ends the children of a supervisor that died: `python -m holovitals_pipelines.deploy.guardian MARK`.

Law: it reads a pipe whose other end only the supervisor holds. When the pipe ends, by whatever death, every process
that carries the supervisor's mark in its environment is asked to end, and killed where it does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import psutil

MARK = "HOLOVITALS_SUPERVISOR"
"""The environment variable that all children of a supervisor inherit, and the children of those."""
SECONDS_TO_END = 20


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that carry the mark, but this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:  # it has ended meanwhile, or is somebody else's
            continue
    return found


def end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask them to end, wait, and kill what is left."""
    for process in processes:
        _quietly(process.terminate)
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        _quietly(process.kill)
    psutil.wait_procs(left, timeout=seconds)


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.Error:
        return


def main(mark: str) -> None:
    os.setsid()  # a Ctrl-C in the terminal is the supervisor's to answer
    sys.stdin.buffer.read()
    end(marked(mark), SECONDS_TO_END)
    end(marked(mark), SECONDS_TO_END)  # what was started while the first ones ended


if __name__ == "__main__":
    main(sys.argv[1])
