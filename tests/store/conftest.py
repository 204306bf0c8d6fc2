"""Child processes for the store's tests, and the values they share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.store import jobs
from holovitals_pipelines.store.jobs import Job

WORKER = Path(__file__).parent / "worker.py"

NewJob = Callable[..., Job]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def new_job(now: datetime) -> NewJob:
    def make(transaction: sa.Connection, connection: str = "epic", at: datetime = now) -> Job:
        return jobs.create_job(transaction, SyncRequest(connection), Provider.EPIC, at)

    return make


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `worker.py COMMAND ARGUMENT…`; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_together(start: Start) -> Callable[..., list[str]]:
    """Runs several workers that begin at the same moment; returns what each printed. Any that fails, fails the test."""

    def run(*commands: tuple[str, ...]) -> list[str]:
        processes = [start(*command) for command in commands]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        printed = []
        for process in processes:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            printed.append(out)
        return printed

    return run
