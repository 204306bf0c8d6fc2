"""`python -m benchmarks.latency`: from a vendor's webhook to the change in the store, in each lane, part by part.

The vendor is simulated. Each event is one patient's change, told by a signed delivery. They come at random times, a few
seconds apart, since what looks every so often is met anywhere in between. Medians, and nine of ten; times are the
store's own. "run start" includes the Dagster run's beginning, "applied" ends with the commit of the record.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from rich import box
from rich.console import Console
from rich.table import Table

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.webhooks.receiving import Delivery, take_deliveries
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings
from holovitals_pipelines.model.vocabulary import JobStatus, Provider, Stage
from holovitals_pipelines.providers.webhooks.signatures import Scheme
from holovitals_pipelines.sandbox.population import population
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.jobs import attempt_started, get_job
from holovitals_pipelines.store.stages import stage_of
from holovitals_pipelines.store.tables import webhook_log

PARTS = ("receive", "queue wait", "run start", "read", "applied", "total")
LANES = ("worker", "dagster, fork server", "dagster, stock launcher")
SECRET = "a-secret-of-the-benchmark-only-0001"
PATIENTS = 5
LONGEST_PAUSE = 8.0


@dataclass(frozen=True)
class Sender:
    """The vendor: changes a patient and tells so."""

    sandbox: RunningSandbox
    token: str

    def change(self, patient: str, number: int) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            address = f"{self.sandbox.admin_url}/fhir/Patient/{patient}"
            held = client.get(address).raise_for_status().json()
            held["telecom"] = [{"system": "phone", "value": f"555-{number:04}"}]
            client.put(address, content=json.dumps(held)).raise_for_status()

    def delivery(self, patient: str, number: int) -> Delivery:
        raw = json.dumps({"id": f"event-{number}", "type": "PATIENT_UPDATED", "resourceId": patient}).encode()
        signature = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        return Delivery(self.token, {"x-webhook-signature": signature}, raw, datetime.now(UTC))


def measure(lane: str, events: int) -> dict[str, list[float]]:
    folder = Path(tempfile.mkdtemp(prefix="holovitals-latency-"))
    chance = random.Random(1)
    try:
        with _vendor(folder) as sandbox, _home(folder, sandbox) as home:
            registered = register(
                home,
                NewWebhook("bench", "https://here/receive", secret=SECRET, scheme=Scheme.WEBHOOK_SIGNATURE),
                "somebody",
            )
            sender = Sender(sandbox, registered.receive_path.rsplit("/", 1)[-1])
            ids = [json.loads(line)["id"] for line in (folder / "patients").read_text().splitlines()]
            with _lane(lane, home.settings):
                for number in range(2):  # what is loaded at the first time is not what is measured
                    _one(home, sender, ids[number], -1 - number)
                taken = []
                for number in range(events):
                    time.sleep(chance.uniform(0, LONGEST_PAUSE))
                    taken.append(_one(home, sender, ids[number % len(ids)], number))
        return {part: [one[part] for one in taken] for part in PARTS}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _one(home: Home, sender: Sender, patient: str, number: int) -> dict[str, float]:
    sender.change(patient, number + 10)
    delivery = sender.delivery(patient, number)
    [answer] = take_deliveries(home, [delivery])
    received = datetime.now(UTC)
    assert answer.status == 202, answer
    job_id = _await(lambda: _job_of(home, f"event-{number}"))
    _await(lambda: _is_over(home, job_id))
    with home.database.read() as transaction:
        job = get_job(transaction, job_id)
        began = attempt_started(transaction, job_id)
        read = stage_of(transaction, job_id, "Patient", Stage.EXTRACT)
        applied = stage_of(transaction, job_id, "Patient", Stage.RECONCILE)
    assert job.status is JobStatus.COMPLETED and read and applied
    assert job.dispatched_at and began and read.finished_at and applied.finished_at
    points = [delivery.at, received, job.dispatched_at, began, read.finished_at, applied.finished_at]
    spent = [(after - before).total_seconds() for before, after in itertools.pairwise(points)]
    return dict(zip(PARTS, [*spent, (points[-1] - points[0]).total_seconds()], strict=True))


def _job_of(home: Home, event_id: str) -> Any:
    query = sa.select(webhook_log.c.job_id).where(webhook_log.c.event_id.like(f"%{event_id}"))
    with home.database.read() as transaction:
        return transaction.execute(query).scalar()


def _is_over(home: Home, job_id: str) -> bool:
    with home.database.read() as transaction:
        return get_job(transaction, job_id).finished_at is not None


def _await(found: Any, seconds: float = 120.0) -> Any:
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def _vendor(folder: Path) -> Iterator[RunningSandbox]:
    bodies = list(population(patients=PATIENTS, seed=1))
    (folder / "population.ndjson").write_bytes(b"".join(body + b"\n" for body in bodies))
    patients = [body for body in bodies if json.loads(body)["resourceType"] == "Patient"]
    (folder / "patients").write_bytes(b"".join(body + b"\n" for body in patients))
    with start_sandbox(dialects=("fhir",), data=folder / "population.ndjson") as running:
        yield running


@contextlib.contextmanager
def _home(folder: Path, sandbox: RunningSandbox) -> Iterator[Home]:
    settings = Settings(home=folder / "home")
    settings.root.mkdir()
    read = ReadSettings(mode="search")
    declared = ConnectionConfig(
        name="bench", provider=Provider.FHIR, base_url=sandbox.base_urls["fhir"], read=read, incremental_cron=None
    )
    save_connections(settings.resolved_connections_file, [declared])
    with open_home(settings) as home:
        yield home


@contextlib.contextmanager
def _lane(lane: str, settings: Settings) -> Iterator[None]:
    program = Path(sys.executable).with_name("holovitals" if lane == "worker" else "dagster-daemon")
    prepare_dagster_home(settings.dagster_home)
    arguments = ["worker", "--json"]
    if lane != "worker":
        arguments = ["run", "-w", str(settings.dagster_home / "workspace.yaml")]
        if lane == LANES[2]:
            _without_launcher(settings.dagster_home / "dagster.yaml")
    environment = os.environ | {
        "HOLOVITALS_HOME": str(settings.root),
        "DAGSTER_HOME": str(settings.dagster_home),
        "PYTHONWARNINGS": "ignore",
    }
    with (settings.root / "lane.log").open("w") as log:
        process = subprocess.Popen(
            [str(program), *arguments], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            time.sleep(15)  # code server, daemon, fork server: what a running installation has
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _without_launcher(file: Path) -> None:
    lines = file.read_text().splitlines()
    start = lines.index(next(line for line in lines if line.startswith("run_launcher:")))
    end = next((place for place in range(start + 1, len(lines)) if not lines[place].startswith(" ")), len(lines))
    file.write_text("\n".join(lines[:start] + lines[end:]) + "\n")


@dataclass(frozen=True)
class Figures:
    median: float
    slowest_of_ten: float


def figures(seconds: list[float]) -> Figures:
    return Figures(statistics.median(seconds), statistics.quantiles(seconds, n=10)[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20)
    parser.add_argument("--lane", choices=LANES, action="append", help="repeat for several; default: all")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    console = Console()
    found: dict[str, dict[str, Figures]] = {}
    for lane in given.lane or LANES:
        with console.status(lane):
            found[lane] = {part: figures(taken) for part, taken in measure(lane, given.events).items()}
    shown = Table(title=f"{given.events} events, seconds: median (9 of 10)", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("lane", *PARTS):
        shown.add_column(column, justify="left" if column == "lane" else "right")
    for lane, parts in found.items():
        shown.add_row(lane, *(f"{parts[part].median:.2f} ({parts[part].slowest_of_ten:.2f})" for part in PARTS))
    console.print(shown)
    if given.json:
        plain = {lane: {part: asdict(one) for part, one in parts.items()} for lane, parts in found.items()}
        given.json.write_text(json.dumps(plain, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
