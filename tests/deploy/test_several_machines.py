"""The same sync on PostgreSQL, with a broker, an object store and two workers, one of which loses power in mid-step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from holovitals_pipelines.cli.app import app
from holovitals_pipelines.cli.demo.at_vendor import AtVendor
from holovitals_pipelines.cli.demo.both_sides import compare_stores
from holovitals_pipelines.engine.auditing import verify
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig, ReadSettings
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.orchestration.run_ends import end_job_of
from holovitals_pipelines.orchestration.steps import JOB_TAG
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import Settings, save_connections
from tests.deploy.several_machines import SeveralMachines, Worker, several_machines, until
from tests.local_http import LOCAL

pytestmark = pytest.mark.timeout(900)

TYPES = ("Patient", "Condition", "Observation")
VENDOR = "fhir"
CONNECTIONS = (VENDOR, "ward")
"""Two at one vendor."""
HELD_SECONDS = 8
"""For so long the vendor keeps the answer in the middle of which the worker dies."""

CONTENTS = """
    select l.connection, l.resource_type, l.remote_id, l.state, r.state, r.version, r.hash
    from link l join record r on r.record_id = l.record_id order by 1, 2, 3
"""


@dataclass(frozen=True)
class Killed:
    """What there is when both runs have ended, of which one lost a worker."""

    machines: SeveralMachines
    vendors: RunningSandbox
    victim: str
    """The connection at which the worker died."""
    dead: str
    """The name that it had signed its lease with."""
    ended_well: dict[str, bool]
    said: dict[str, str]
    alone: list[Any]
    """What one machine holds that read the same vendors."""
    doctor: dict[str, Any]
    """What `holovitals doctor` said before."""


@pytest.fixture(scope="module", params=["killed", pytest.param("asleep", marks=pytest.mark.long)])
def killed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: sa.URL
) -> Iterator[Killed]:
    """The worker is killed; or it only sleeps, and wakes while another one does its step."""
    folder = tmp_path_factory.mktemp("several-machines")
    databases = [
        new_database(postgres_server, name) for name in (f"{request.param}_operational", f"{request.param}_dagster")
    ]
    with start_sandbox(dialects=(VENDOR,), patients=4) as vendors, several_machines(folder, *databases) as machines:
        (folder / "home").mkdir(exist_ok=True)
        connections = [
            ConnectionConfig(
                name=name,
                provider=Provider.FHIR,
                base_url=vendors.base_urls[VENDOR],
                resource_types=list(TYPES),
                read=ReadSettings(mode="search", page_size=20),
            )
            for name in CONNECTIONS
        ]
        save_connections(folder / "home" / "connections.yaml", connections)
        doctor = machines.command("doctor", "--json")
        _hold_back_a_page(vendors)
        workers = [machines.worker(name) for name in ("one", "two")]
        runs = {name: machines.run(name) for name in CONNECTIONS}
        victim, dead = _strike_in_mid_step(machines, workers, asleep=request.param == "asleep")
        ended = {name: run.ended_well() for name, run in runs.items()}
        said = {name: run.log.read_text() for name, run in runs.items()}
        alone = _alone(folder / "alone", connections)
        yield Killed(machines, vendors, victim, dead, ended, said, alone, json.loads(doctor.stdout))


def new_database(server: sa.URL, name: str) -> str:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


def _hold_back_a_page(vendors: RunningSandbox) -> None:
    """A page in the midst of the Observations comes late."""
    fault = {"kind": "latency", "dialect": VENDOR, "path": "Observation*", "skip": 2, "seconds": HELD_SECONDS}
    LOCAL.post(f"{vendors.admin_url}/faults", json=fault).raise_for_status()


def _strike_in_mid_step(machines: SeveralMachines, workers: list[Worker], *, asleep: bool) -> tuple[str, str]:
    """Strike the worker that waits for the late page; returns the connection and the name of its lease."""

    def at_work() -> list[Any]:
        return machines.rows(
            "select j.connection, j.owner from sync_job j join sync_stage s on s.job_id = j.job_id"
            " where j.owner is not null and s.resource_type = 'Observation' and s.state = 'running'"
        )

    connection, owner = until(lambda: next(iter(at_work()), None), "a worker in the middle of a step")
    [worker] = [one for one in workers if one.has(int(owner.split("/")[2]))]
    if not asleep:
        worker.kill()
        return connection, owner
    worker.put_to_sleep()
    taken = "select 1 from sync_job where connection = :connection and owner is not null and owner <> :owner"
    until(lambda: machines.rows(taken, connection=connection, owner=owner) or None, "another worker with the step")
    worker.wake()
    return connection, owner


def _alone(folder: Path, connections: list[ConnectionConfig]) -> list[Any]:
    folder.mkdir()
    save_connections(folder / "connections.yaml", connections)
    with open_home(Settings(home=folder)) as home:
        for name in CONNECTIONS:
            assert run_sync(home, SyncRequest(name, JobType.FULL_SYNC)).succeeded
        with home.database.read() as transaction:
            return list(transaction.execute(sa.text(CONTENTS)))


def test_both_runs_end_well_though_a_worker_died_in_the_middle_of_a_step(killed: Killed) -> None:
    assert killed.ended_well == dict.fromkeys(CONNECTIONS, True), killed.said[killed.victim]
    jobs = killed.machines.rows("select connection, status, attempt from sync_job order by 1")
    assert [tuple(row) for row in jobs] == [(name, "COMPLETED", 1) for name in sorted(CONNECTIONS)]


def test_the_silent_workers_step_was_taken_over_and_its_lease_broken(killed: Killed) -> None:
    history = killed.machines.rows(
        "select e.kind, e.detail from sync_job_event e join sync_job j on j.job_id = e.job_id"
        " where j.connection = :connection order by e.event_id",
        connection=killed.victim,
    )
    owners = [row.detail["owner"] for row in history if row.kind == "leased"]
    assert owners[owners.index(killed.dead) + 1] != killed.dead
    assert "lease_broken" in [row.kind for row in history]


def test_the_store_holds_what_one_machine_holds_that_was_never_interrupted(killed: Killed) -> None:
    here = killed.machines.rows(CONTENTS)
    assert {row.connection for row in here} == set(CONNECTIONS)
    assert [_plain(row) for row in here] == [_plain(row) for row in killed.alone]


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def test_the_vendor_holds_the_same_and_the_audit_log_is_whole(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in killed.machines.environment.items():
        monkeypatch.setenv(variable, value)
    with open_home() as home:
        compared = compare_stores(home, AtVendor(killed.vendors.admin_url, VENDOR))
        assert compared.linked == compared.equal > 0
        assert verify(home, records=True).finding_count == 0


def test_doctor_says_where_everything_is_and_no_password(killed: Killed) -> None:
    found = killed.doctor["found"]
    assert killed.doctor["problem"] is None
    assert found["broker"].startswith("redis://") and found["landing zone"].startswith("s3://")
    assert found["database"].startswith("postgresql") and found["Dagster's database"].startswith("postgresql")


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("HOLOVITALS_BROKER_URL", "redis://127.0.0.1:1/0", "broker.unreachable"),
        ("HOLOVITALS_BROKER_URL", "amqp://127.0.0.1:1/0", "settings.broker_url"),
        ("HOLOVITALS_DAGSTER_DATABASE_URL", "postgresql://x@127.0.0.1:1/d", "dagster.database_unreachable"),
    ],
)
def test_doctor_names_what_cannot_be_reached(
    killed: Killed, setting: str, value: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, told in (killed.machines.environment | {setting: value}).items():
        monkeypatch.setenv(variable, told)
    said = CliRunner().invoke(app, ["doctor", "--json"])
    assert said.exit_code == 1
    assert json.loads(said.stdout)["problem"]["code"] == code


def test_doctor_knows_one_database_under_two_names(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster would take the operational store's version of its tables for its own."""
    same = killed.machines.environment["HOLOVITALS_DATABASE_URL"].replace("postgresql+psycopg2:", "postgresql:")
    for variable, told in (killed.machines.environment | {"HOLOVITALS_DAGSTER_DATABASE_URL": same}).items():
        monkeypatch.setenv(variable, told)
    said = CliRunner().invoke(app, ["doctor", "--json"])
    assert json.loads(said.stdout)["problem"]["code"] == "settings.dagster_database"


@pytest.mark.long
def test_a_cancelled_run_cancels_its_job_on_another_machine(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, told in killed.machines.environment.items():
        monkeypatch.setenv(variable, told)
    _hold_back_a_page(killed.vendors)
    run = killed.machines.run("ward", config={"ops": {"ward_extract": {"config": {"full": True}}}})
    at_work = "select job_id from sync_job where connection = 'ward' and status = 'PROCESSING' and owner is not null"
    [(job_id,)] = until(lambda: killed.machines.rows(at_work) or None, "a step at work")
    with dg.DagsterInstance.from_config(killed.machines.environment["DAGSTER_HOME"]) as instance:
        [running] = instance.get_runs(dg.RunsFilter(tags={JOB_TAG: job_id}))
        instance.report_run_canceling(running)
        os.kill(run.process.pid, signal.SIGINT)  # as Dagster's launcher does it
        run.process.wait(timeout=120)
        ended = instance.get_run_by_id(running.run_id)
        assert ended is not None and ended.is_finished
        with open_home() as home:
            end_job_of(home, ended)  # as the sensor does it
    [(status,)] = killed.machines.rows("select status from sync_job where job_id = :job_id", job_id=job_id)
    assert status == "CANCELLED"
