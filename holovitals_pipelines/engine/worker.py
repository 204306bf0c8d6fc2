"""Who is working: the name a worker signs leases with, whether it still lives, and the thread that keeps its lease."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holovitals_pipelines.model.errors import JobError
from holovitals_pipelines.store import leases
from holovitals_pipelines.store.database import Database


def worker_name() -> str:
    """`host/boot/pid/start`: no two processes ever share it, and on this host it tells whether the process lives."""
    return name_of_process(os.getpid())


def name_of_process(pid: int) -> str:
    """The same of another process of this host."""
    return f"{socket.gethostname()}/{_boot()}/{pid}/{_start_of(pid)}"


def is_gone(name: str) -> bool:
    """True only when the worker certainly no longer runs: same host, and its boot, pid or start time is over."""
    host, _, rest = name.partition("/")
    boot, _, rest = rest.partition("/")
    pid, _, start = rest.partition("/")
    if host != socket.gethostname() or not pid.isdigit() or boot == "?" or start == "?":
        return False
    return boot != _boot() or _start_of(int(pid)) != start


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:
        return "?"


def _start_of(pid: int) -> str:
    """The kernel's start tick of a process; "gone" when there is none, "?" where the system cannot tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return "gone" if Path("/proc/self/stat").exists() else "?"
    except OSError:
        return "?"
    fields = stat.rpartition(")")[2].split()
    return "gone" if fields[0] == "Z" else fields[19]


class LeaseKeeper:
    """Renews a job's lease in the background for as long as the block runs; then releases it, or leaves it to run out.

    A lease that was lost to another worker is not fought for: the session's next write says so.
    """

    def __init__(self, database: Database, job_id: str, fence: int, ttl: timedelta, *, release: bool) -> None:
        self._database = database
        self._job_id, self._fence, self._ttl, self._release = job_id, fence, ttl, release
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{job_id[:8]}", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._release:
            with suppress(JobError), self._database.write() as transaction:
                leases.release_lease(transaction, self._job_id, self._fence, datetime.now(UTC))

    def _renew(self) -> None:
        while not self._stop.wait(self._ttl.total_seconds() / 3):
            try:
                with self._database.write() as transaction:
                    leases.renew_lease(transaction, self._job_id, self._fence, self._ttl, datetime.now(UTC))
            except JobError:
                return
