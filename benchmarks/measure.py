"""Runs one case in a process of its own and reads what it cost from the kernel."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds of the measured block, and the process's peak resident memory in MiB up to its end."""

    items: int
    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    laps: dict[str, dict[str, float]]
    """The same by stage: cpu_seconds, wall_seconds, peak_mib."""

    @property
    def per_cpu_second(self) -> float:
        return self.items / self.cpu_seconds if self.cpu_seconds else float("inf")


def run_case(name: str, **arguments: object) -> Cost:
    """Run `benchmarks.cases:<name>` in a child process; its own children (the sandbox) are not counted."""
    command = [sys.executable, "-m", "benchmarks.cases", name, json.dumps(arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"benchmark case {name} failed:\n{finished.stderr}")
    return Cost(**json.loads(finished.stdout.splitlines()[-1]))


class Stopwatch:
    """Measures this process, as a whole and in laps."""

    def __enter__(self) -> Stopwatch:
        self._cpu, self._wall = self._lap = _cpu(), time.perf_counter()
        self._laps: dict[str, dict[str, float]] = {}
        return self

    def __exit__(self, *exc: object) -> None:
        self._spent = (_cpu() - self._cpu, time.perf_counter() - self._wall)

    def lap(self, name: str) -> None:
        now = _cpu(), time.perf_counter()
        self._laps[name] = {
            "cpu_seconds": now[0] - self._lap[0],
            "wall_seconds": now[1] - self._lap[1],
            "peak_mib": _peak_mib(),
        }
        self._lap = now

    def told(self, name: str, wall_seconds: float) -> None:
        """A time that was measured elsewhere, such as an answer's by who waited for it."""
        self._laps[name] = {"cpu_seconds": 0.0, "wall_seconds": wall_seconds, "peak_mib": _peak_mib()}

    def report(self, items: int) -> None:
        cpu_seconds, wall_seconds = self._spent
        cost = Cost(items, cpu_seconds, wall_seconds, _peak_mib(), self._laps)
        print(json.dumps(asdict(cost)))


def _cpu() -> float:
    times = os.times()
    return times.user + times.system


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
