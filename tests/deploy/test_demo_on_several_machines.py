"""The demo, whole: eight vendors, both ways, on several machines whose workers are killed all along."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console

from holovitals_pipelines.cli.demo.declared import VENDORS
from holovitals_pipelines.cli.demo.message_feed import message_feed
from holovitals_pipelines.cli.demo.play import Player, Run
from holovitals_pipelines.cli.demo.telling import Teller
from holovitals_pipelines.cli.demo.vendors import start_vendors
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.jobs import recent_reports
from holovitals_pipelines.model.job import JobReport
from holovitals_pipelines.settings import Settings
from tests.deploy.several_machines import SeveralMachines, Worker, several_machines
from tests.deploy.test_several_machines import new_database

PATIENTS = 12
SECONDS_BETWEEN_LOOKS = 0.2
WORK_BETWEEN_KILLS = 20
"""Stages of types that were done since the last one; a job counts as ten. By the clock, a slow machine would do nothing
but start workers."""
SYNCS_TO_SETTLE = 3
"""In how many further syncs at the most a write whose answer was lost with its worker is looked up."""
AT_ONCE = 3
"""Runs; there are two workers."""


@dataclass
class Machines:
    """Two workers, one of which dies every now and then in the middle of what it does, and is started anew."""

    machines: SeveralMachines
    workers: list[Worker]
    killed_at_work: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def kill_now_and_then(self) -> None:
        last = 0
        while not self.stop.wait(SECONDS_BETWEEN_LOOKS):
            if (done := self._work_done()) < last + WORK_BETWEEN_KILLS:
                continue
            held = self.machines.rows("select owner from sync_job where owner is not null and status = 'PROCESSING'")
            pids = [int(row.owner.split("/")[2]) for row in held]
            for place, worker in enumerate(self.workers):
                if any(worker.has(pid) for pid in pids):
                    worker.kill()
                    self.killed_at_work += 1
                    last = done
                    self.workers[place] = self.machines.worker(f"worker{place}")
                    break

    def _work_done(self) -> int:
        stages = "(select count(*) from sync_stage where state = 'done')"
        jobs = "(select 10 * count(*) from sync_job where finished_at is not null)"
        [(done,)] = self.machines.rows(f"select {stages} + {jobs}")
        return int(done)


@dataclass(frozen=True)
class OnWorkers:
    """What the demo takes for its own process: each sync is a run whose steps the workers do."""

    machines: SeveralMachines

    def sync(self, settings: Settings, connection: str, *, full: bool) -> JobReport:
        config = {"ops": {f"{connection}_extract": {"config": {"full": full}}}}
        return self._ended(settings, connection, self.machines.run(connection, config=config).ended_well(600))

    def compare(self, settings: Settings, connection: str) -> JobReport:
        run = self.machines.run(connection, job=f"anti_entropy_{connection}", partitioned=False)
        return self._ended(settings, connection, run.ended_well(600))

    def _ended(self, settings: Settings, connection: str, well: bool) -> JobReport:
        with open_home(settings) as home:
            report = next(one for one in recent_reports(home, 10) if one.connection == connection)
        assert well or not report.succeeded, "a run that failed has a job that says why"
        return report


@contextmanager
def dying_workers(machines: SeveralMachines) -> Iterator[Machines]:
    at_work = Machines(machines, [machines.worker(f"worker{place}") for place in range(2)])
    thread = threading.Thread(target=at_work.kill_now_and_then, daemon=True)
    thread.start()
    try:
        yield at_work
    finally:
        at_work.stop.set()
        thread.join()


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_demo_holds_every_word_of_its_story_though_workers_die(
    tmp_path: Path, postgres_server: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnSeveralMachines(Player):
        def _load(self) -> OnWorkers:  # type: ignore[override]
            return OnWorkers(machines)

        def _pass(self, title: str, vendors: Sequence[str], run: Run, *, whole: bool = True) -> list[JobReport]:
            """As the demo does it, several connections at once."""
            self.settled()
            with ThreadPoolExecutor(AT_ONCE) as at_once:
                reports = list(at_once.map(run, vendors))
                for _ in range(SYNCS_TO_SETTLE):
                    unknown = machines.rows(
                        "select distinct connection from outbox where state in ('pending', 'inflight')"
                    )
                    list(at_once.map(run, [row.connection for row in unknown]))
            self.performance.passes.append((title, reports))
            return reports

    databases = [new_database(postgres_server, name) for name in ("demo_operational", "demo_dagster")]
    with several_machines(tmp_path, *databases) as machines:
        for variable, value in machines.environment.items():
            monkeypatch.setenv(variable, value)
        settings = Settings()
        with open_home(settings):
            pass  # there are tables now, to look at from the beginning
        console = Console(file=(tmp_path / "told.txt").open("w"))
        with (
            start_vendors(settings, VENDORS, data=None, patients=PATIENTS, seed=1) as running,
            message_feed(settings, running.admin_url, VENDORS) as settled,
            dying_workers(machines) as at_work,
        ):
            player = OnSeveralMachines(settings, running, VENDORS, None, Teller(console), settled)
            performance = player.play()
        assert performance.complaints == []
        assert at_work.killed_at_work > 0, "or nothing was shown"
        assert {compared.connection for compared in performance.compared} == set(VENDORS)
        assert all(compared.apart == 0 for compared in performance.compared)
