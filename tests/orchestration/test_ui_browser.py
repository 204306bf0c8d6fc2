"""`holovitals ui` as a person uses it: a browser opens it, materializes assets, reads what failed, runs it again, fills
days; Ctrl-C ends it all."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.execution.backfill import BulkActionStatus

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import tables
from tests.local_http import LOCAL
from tests.orchestration.installation import Installation, today
from tests.orchestration.test_processes import until
from tests.orchestration.vendor import Vendor, observation
from tests.orchestration.worker import executable, started
from tests.pictures import keep

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
REQUIRED = os.environ.get("HOLOVITALS_REQUIRE_BROWSER") == "1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven from here."""
    if not CHROMIUM.exists():
        assert not REQUIRED, f"there is no {CHROMIUM}, and HOLOVITALS_REQUIRE_BROWSER=1 requires one"
        pytest.skip(f"NOT TESTED: no {CHROMIUM}; install chromium, HOLOVITALS_REQUIRE_BROWSER=1 makes this a failure")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def ui(
    browser: Any,
    prepare_home: Callable[[Path], Settings],
    definitions: dg.Definitions,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Installation]]:
    """The address of a running `holovitals ui`, and the installation behind it."""
    folder = tmp_path_factory.mktemp("ui")
    settings = prepare_home(folder / "home")
    prepare_dagster_home(settings.dagster_home)
    with open_home(settings) as home, home.database.write() as transaction:
        yesterday = datetime.now(UTC) - timedelta(days=1)  # two days to choose from
        transaction.execute(tables.ehr_connection.update().values(created_at=yesterday))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch, (folder / "ui.log").open("w") as log:
        patch.setenv("HOLOVITALS_HOME", str(settings.root))
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        with started([executable("holovitals"), "ui", "--port", str(port)], settings, log) as process:
            try:
                until(lambda: _loaded(address) or process.poll() is not None)
                with dg.DagsterInstance.get() as instance:
                    yield address, Installation(settings, instance, definitions)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=40) == 0
            finally:
                left = _ended(settings)
        assert left == {}, "Ctrl-C ends the server, the daemon, the code server and every run"


def test_a_person_materializes_an_asset_and_reads_what_came_of_it(ui: tuple[str, Installation], browser: Any) -> None:
    address, installation = ui
    page, complaints = _looking(browser, address)

    page.goto(f"{address}/asset-groups")
    for group in ("clinic", "ward", "epic", "fhir", "statistics"):
        page.get_by_text(group, exact=True).first.wait_for()

    before = _finished(installation)
    _materialize(page, address, "clinic/extract/Patient")
    until(lambda: _finished(installation) - before, seconds=60)
    [run_id] = _finished(installation) - before
    run = installation.instance.get_run_by_id(run_id)
    assert run is not None and run.is_success and run.tags["dagster/partition"] == today()

    page.goto(f"{address}/assets/clinic/extract/Patient")
    page.get_by_text("Latest materialization").wait_for()
    page.get_by_text(today(), exact=True).first.wait_for()
    page.get_by_text("content_hash").first.wait_for()
    page.get_by_text("changes are found by").first.wait_for()
    page.get_by_text("last_updated", exact=True).first.wait_for()
    page.goto(f"{address}/assets/clinic/extract/Patient?view=checks")
    page.get_by_text("the_read_is_complete").first.wait_for()
    page.get_by_text("Succeeded", exact=True).first.wait_for()
    assert complaints == [], "the console is clean, and nothing leaves this machine"
    keep(page, "dagster-checks")

    job = installation.job_of(run.run_id)
    assert (job.type, job.status, job.resource_types) == (JobType.RESOURCE_SYNC, JobStatus.COMPLETED, ("Patient",))


def test_a_run_that_failed_explains_itself_and_succeeds_from_failure_once_the_cause_is_gone(
    ui: tuple[str, Installation], browser: Any, vendor: Vendor
) -> None:
    address, installation = ui
    page, complaints = _looking(browser, address)
    before = _finished(installation)
    with vendor.fault(kind="status", status=500, path="Condition"):
        _materialize(page, address, "clinic/extract/Condition")
        until(lambda: _finished(installation) - before, seconds=60)
    [failed] = _finished(installation) - before

    page.goto(f"{address}/runs/{failed}")
    said = page.get_by_text("Remedy: [retry] run the job again").first
    said.wait_for()
    assert "[http.500] connection clinic, GET Condition: the server answered 500" in said.inner_text()
    keep(page, "dagster-failed-run")
    page.goto(f"{address}/assets/clinic/extract/Condition?view=checks")
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_text("the server answered 500").first.wait_for()
    page.get_by_text("once the cause is gone: Re-execute, From failure").first.wait_for()

    page.goto(f"{address}/runs/{failed}")
    page.get_by_role("button", name="Re-execute").locator("xpath=following::button[1]").click()
    page.get_by_role("menuitem", name="From failure").click()
    until(lambda: _finished(installation) - before - {failed}, seconds=60)
    [again] = _finished(installation) - before - {failed}
    run = installation.instance.get_run_by_id(again)
    assert run is not None and run.is_success and run.parent_run_id == failed
    assert installation.job_of(again).job_id == installation.job_of(failed).job_id, "the same job goes on"
    page.goto(f"{address}/assets/clinic/extract/Condition?view=checks")
    page.get_by_text("Succeeded", exact=True).first.wait_for()
    assert complaints == []


@pytest.mark.long
def test_a_backfill_of_two_days_is_one_run_and_completes(ui: tuple[str, Installation], browser: Any) -> None:
    address, installation = ui
    page, complaints = _looking(browser, address)
    page.goto(f"{address}/assets/ward/extract/Patient")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("button", name="Launch backfill").click()
    until(installation.instance.get_backfills, seconds=30)
    [backfill] = installation.instance.get_backfills()

    page.goto(f"{address}/runs/b/{backfill.backfill_id}")
    page.get_by_text("100% completed").wait_for(timeout=120_000)
    [now] = installation.instance.get_backfills()
    assert now.status is BulkActionStatus.COMPLETED_SUCCESS
    [run] = installation.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill.backfill_id}))
    days = [run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert run.is_success and days[1] == today() and days[0] < today()
    assert complaints == []


@pytest.mark.long
def test_a_claim_about_quality_that_fails_says_how_many_records_break_it_and_why_it_is_claimed(
    ui: tuple[str, Installation], browser: Any, vendor: Vendor
) -> None:
    address, installation = ui
    page, complaints = _looking(browser, address)
    unitless = {**observation("o-unitless", "p0"), "valueQuantity": {"value": 5.4}}
    vendor.put(unitless)
    before = _finished(installation)
    try:
        _launch(address, "sync_ward")
        until(lambda: _finished(installation) - before, seconds=90)
    finally:
        vendor.delete("Observation", "o-unitless")
    page.goto(f"{address}/assets/ward/records/Observation?view=checks&checkDetail=quantities_have_a_unit")
    page.get_by_text("1 of 13 records break it, which is more than is tolerated").wait_for()
    page.get_by_text("A number that was measured says in what.").first.wait_for()
    assert complaints == []


def test_two_runs_of_one_connection_take_turns(ui: tuple[str, Installation]) -> None:
    """Asked for at once, as Materialize on two assets does it; neither finds the connection busy."""
    address, installation = ui
    before = {run.run_id for run in installation.instance.get_runs()}

    launched = [_launch(address, "__ASSET_JOB", f"clinic/extract/{name}") for name in ("Condition", "Observation")]

    def runs() -> list[dg.DagsterRun]:
        return [run for run in installation.instance.get_runs() if run.run_id not in before]

    until(lambda: len([run for run in runs() if run.is_finished]) == len(launched), seconds=90)
    assert {run.status for run in runs()} == {dg.DagsterRunStatus.SUCCESS}
    one, other = sorted(installation.jobs()[:2], key=lambda job: job.created_at)
    assert one.finished_at is not None and one.finished_at <= other.created_at


def _looking(browser: Any, address: str) -> tuple[Any, list[str]]:
    """A page, and what is wrong with it: errors of its console, requests that leave this machine."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if _leaves(request.url, address) else None)
    return page, complaints


def _materialize(page: Any, address: str, asset: str) -> None:
    page.goto(f"{address}/assets/{asset}")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Latest", exact=True).click()
    page.get_by_role("button", name="Launch 1 run").click()


def _finished(installation: Installation) -> set[str]:
    return {run.run_id for run in installation.instance.get_runs() if run.is_finished}


def _launch(address: str, job: str, *assets: str) -> str:
    """For today; all assets of the job unless some are named."""
    launched = "launchRun(executionParams: $p) { ... on LaunchRunSuccess { run { runId } } }"
    mutation = f"mutation ($p: ExecutionParams!) {{ {launched} }}"
    params = {
        "selector": {
            "repositoryLocationName": "holovitals_pipelines", "repositoryName": "__repository__",
            "pipelineName": job, "assetSelection": [{"path": asset.split("/")} for asset in assets] or None,
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": today()}]},
        "mode": "default", "runConfigData": {},
    }  # fmt: skip
    answer = LOCAL.post(f"{address}/graphql", json={"query": mutation, "variables": {"p": params}}, timeout=60).json()
    return str(answer["data"]["launchRun"]["run"]["runId"])


def _loaded(address: str) -> bool:
    """Whether the server answers and has loaded the code location."""
    query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
    try:
        answer = LOCAL.post(f"{address}/graphql", json={"query": query}, timeout=10).json()
    except (httpx.HTTPError, ValueError):
        return False
    entries = answer.get("data", {}).get("workspaceOrError", {}).get("locationEntries", [])
    return entries == [{"name": "holovitals_pipelines", "loadStatus": "LOADED"}]


def _leaves(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:", "ws:"))


def _ended(settings: Settings) -> dict[int, str]:
    """What of this home still lives a few seconds later, by process id; it lives no longer."""
    deadline = time.monotonic() + 5
    while (left := _processes_of(settings)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def _processes_of(settings: Settings) -> dict[int, str]:
    """Command lines of living processes that were started for this home, whoever started them."""
    mark = f"HOLOVITALS_HOME={settings.root}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in environment.split(b"\0") and int(folder.name) != os.getpid():
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
