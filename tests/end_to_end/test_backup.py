"""`holovitals backup` while a sync is at work, `holovitals restore`, and the sync going on from there."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.app import app
from holovitals_pipelines.engine.maintenance import damaged_parts
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from tests.end_to_end.commands import start
from tests.end_to_end.two_way import Ours, Site, declared, our_side, setting, simulated_vendor

pytestmark = pytest.mark.timeout(120)
PATIENTS = [f"p{number:02}" for number in range(30)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as running:
        vendor = Site(running)
        vendor.as_new()
        for identity in PATIENTS:
            vendor.put({"resourceType": "Patient", "id": identity, "name": [{"family": "Doe"}]})
        yield vendor


def holovitals(home: Path, *arguments: str, url: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, env={"HOLOVITALS_HOME": str(home), "HOLOVITALS_DATABASE_URL": url})


def awaited(what: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


@contextmanager
def ended_after(process: subprocess.Popen[str]) -> Iterator[None]:
    """What waits for ever would hide what went wrong."""
    try:
        yield
    finally:
        process.kill()


def test_a_backup_made_during_a_sync_is_restored_and_the_sync_goes_on_with_nothing_lost(
    site: Site, home: Path, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copyfile(sqlite_template, home / "operational.sqlite")
    connection = declared(site.base_url, "Patient", "Observation", read={"max_retries": 1000})
    with our_side(home, f"sqlite:///{home / 'operational.sqlite'}", connection) as ours:
        assert ours.sync().status is JobStatus.COMPLETED
        ours.edit("Patient", "p03", setting(gender="female"))
        for identity in PATIENTS:
            site.edit("Patient", identity, setting(birthDate="1950-01-01"))
        # The second type is refused until the fault is taken away: the sync stands in its middle.
        site.fault("throttle", path="Observation", retry_after="0.05", times=0)
        with start(home, "sync", "clinic", "--full") as syncing, ended_after(syncing):
            job = awaited(lambda: [row for row in ours.rows("landing_part") if _is_running(ours, row.job_id)])[0].job_id
            backup = tmp_path / "backup"
            made = holovitals(home, "backup", str(backup), "--json")
            assert made.exit_code == 0 and syncing.poll() is None, made.output
            site.forget_faults()
            syncing.communicate(timeout=60)
            assert syncing.returncode == 0
        damaged = damaged_parts(ours.home)
        before = {kind: len(ours.rows(kind)) for kind in ("record", "landing_part", "audit_log")}
    assert damaged == []
    assert site.held("Patient", "p03")["gender"] == "female", "what was changed here has gone out since the backup"
    site.edit("Patient", "p05", setting(gender="other"))
    site.forget_requests()

    restored = tmp_path / "restored"
    put_back = holovitals(restored, "restore", str(backup), "--json")
    assert put_back.exit_code == 0, put_back.output
    assert json.loads(put_back.stdout)["auditFindings"] == [] and json.loads(put_back.stdout)["auditEntries"] > 0
    with our_side(restored, f"sqlite:///{restored / 'operational.sqlite'}", connection) as again:
        assert _is_running(again, job), "the job stands where it stood"
        parts = len(again.rows("landing_part"))
        assert 0 < parts < before["landing_part"] and damaged_parts(again.home) == []
        # The first sync takes up the broken job; what the vendor changed behind its cursor, the next one reads.
        assert again.sync(JobType.FULL_SYNC).status is JobStatus.COMPLETED
        assert again.sync(JobType.FULL_SYNC).status is JobStatus.COMPLETED
        assert again.rows("sync_job", job_id=job)[0].status == "COMPLETED"
        assert len(again.rows("record")) == before["record"] == len(PATIENTS) + 2
        assert again.held("Patient", "p05")["gender"] == "other"
        assert again.held("Patient", "p03")["gender"] == site.held("Patient", "p03")["gender"] == "female"
        assert {again.held("Patient", identity)["birthDate"] for identity in PATIENTS} == {"1950-01-01"}
        assert {row.status for row in again.conflicts()} <= {"RESOLVED"} and again.complaints() == []
    assert site.writes() == [], "nothing of the vendor's was written over"


def _is_running(ours: Ours, job_id: str) -> bool:
    return any(row.status == "PROCESSING" for row in ours.rows("sync_job", job_id=job_id))


@pytest.fixture
def backed_up(home: Path, sqlite_template: Path, tmp_path: Path) -> Path:
    shutil.copyfile(sqlite_template, home / "operational.sqlite")
    (home / "connections.yaml").write_text("connections: []\n", encoding="utf-8")
    (home / "access").mkdir()
    (home / "access" / "2026-01.jsonl").write_text("{}\n", encoding="utf-8")
    (home / "warehouse").mkdir()
    (home / "warehouse" / "old.duckdb").write_text("rebuilt at any time", encoding="utf-8")
    made = holovitals(home, "backup", str(tmp_path / "backup"))
    assert made.exit_code == 0, made.output
    return tmp_path / "backup"


def test_everything_that_cannot_be_made_again_is_in_it_and_only_its_owner_reads_it(backed_up: Path) -> None:
    named = {one["path"] for one in json.loads((backed_up / "backup.json").read_bytes())["files"]}
    assert {"home/operational.sqlite", "home/connections.yaml", "home/access/2026-01.jsonl"} <= named
    assert not any("warehouse" in name for name in named)
    assert all((backed_up / name).stat().st_mode & 0o077 == 0 for name in named)


def test_neither_a_home_nor_another_backup_is_ever_written_over(backed_up: Path, home: Path) -> None:
    def refused(*arguments: str) -> str:
        ended = holovitals(home, *arguments, "--json")
        assert ended.exit_code == 1
        return str(json.loads(ended.stdout)["error"]["code"])

    assert refused("restore", str(backed_up)) == "restore.not_empty"
    assert refused("backup", str(backed_up)) == "backup.not_empty"
    assert refused("backup", str(home / "backup")) == "backup.inside_home"
    assert refused("backup", str(home / "backup"), "--database-dumped") == "backup.store_is_a_file"
    (home / "connections.yaml").write_text("connections: [] # newer\n", encoding="utf-8")
    replaced = holovitals(home, "restore", str(backed_up), "--replace", "--json")
    assert replaced.exit_code == 0, replaced.output
    aside = Path(json.loads(replaced.stdout)["setAside"])
    assert (aside / "connections.yaml").read_text(encoding="utf-8").endswith("newer\n")
    assert (home / "connections.yaml").read_text(encoding="utf-8") == "connections: []\n"


def test_a_damaged_or_unfinished_backup_changes_nothing(backed_up: Path, tmp_path: Path) -> None:
    with (backed_up / "home" / "operational.sqlite").open("r+b") as file:
        file.seek(20_000)
        file.write(b"\0damage\0")
    damaged = holovitals(tmp_path / "new", "restore", str(backed_up), "--json")
    assert (damaged.exit_code, json.loads(damaged.stdout)["error"]["code"]) == (1, "backup.damaged")
    (backed_up / "backup.json").unlink()
    unfinished = holovitals(tmp_path / "new", "restore", str(backed_up), "--json")
    assert (unfinished.exit_code, json.loads(unfinished.stdout)["error"]["code"]) == (1, "backup.none")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def postgres_url(postgres_server: sa.URL, postgres_template: str) -> Iterator[str]:
    """A database of its own, which stands for one that was dumped and restored by PostgreSQL's tools."""
    name = "backed_up"
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {postgres_template}"))
        yield postgres_server.set(database=name).render_as_string(hide_password=False)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def test_a_postgresql_is_left_to_its_own_tools_and_the_rest_is_copied(
    home: Path, tmp_path: Path, postgres_url: str
) -> None:
    (home / "connections.yaml").write_text("connections: []\n", encoding="utf-8")
    backup, restored = tmp_path / "backup", tmp_path / "restored"

    def code_of(run: Result) -> str:
        return str(json.loads(run.stdout)["error"]["code"])

    assert code_of(holovitals(home, "backup", str(backup), "--json", url=postgres_url)) == "store.not_a_file"
    assert not backup.exists()
    assert holovitals(home, "backup", str(backup), "--database-dumped", url=postgres_url).exit_code == 0
    assert code_of(holovitals(restored, "restore", str(backup), "--json")) == "restore.store_elsewhere"
    put_back = holovitals(restored, "restore", str(backup), "--json", url=postgres_url)
    assert put_back.exit_code == 0, put_back.output
    assert (restored / "connections.yaml").exists() and not (restored / "operational.sqlite").exists()


def test_a_sqlite_store_is_not_put_beside_another_database(backed_up: Path, tmp_path: Path) -> None:
    elsewhere = holovitals(tmp_path / "new", "restore", str(backed_up), "--json", url="sqlite:////nowhere/other.sqlite")
    assert json.loads(elsewhere.stdout)["error"]["code"] == "restore.store_elsewhere"
    assert not (tmp_path / "new").exists()
