"""Runs one case in a process of its own and reads what it cost from the kernel."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """CPU and wall seconds, and the peak resident memory in MiB, of the measured block alone (memory: of the process)."""

    items: int
    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    details: dict[str, float]

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
    """Measures this process between `start` and `stop`."""

    def __enter__(self) -> Stopwatch:
        self._cpu, self._wall = _cpu(), time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cpu_seconds = _cpu() - self._cpu
        self.wall_seconds = time.perf_counter() - self._wall

    def report(self, items: int, **details: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "items": items,
                    "cpu_seconds": self.cpu_seconds,
                    "wall_seconds": self.wall_seconds,
                    "peak_mib": peak,
                    "details": details,
                }
            )
        )


def _cpu() -> float:
    times = os.times()
    return times.user + times.system
