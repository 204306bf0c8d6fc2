"""`holovitals ui` as a person uses it: a browser opens it, materializes an asset, looks at it; Ctrl-C ends it all."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from holovitals_pipelines.deploy.dagster_home import prepare_dagster_home
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.settings import Settings
from tests.orchestration.installation import Installation, today
from tests.orchestration.test_processes import until
from tests.orchestration.worker import executable, started

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
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    errors: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: foreign.append(request.url) if _leaves(request.url, address) else None)

    page.goto(f"{address}/asset-groups")
    for group in ("clinic", "ward", "epic", "fhir", "statistics"):
        page.get_by_text(group, exact=True).first.wait_for()

    page.goto(f"{address}/assets/clinic/extract/Patient")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Latest", exact=True).click()
    page.get_by_role("button", name="Launch 1 run").click()
    until(lambda: [run for run in installation.instance.get_runs() if run.is_finished], seconds=60)
    [run] = installation.instance.get_runs()
    assert run.is_success and run.tags["dagster/partition"] == today()

    page.goto(f"{address}/assets/clinic/extract/Patient")
    page.get_by_text("Latest materialization").wait_for()
    page.get_by_text(today(), exact=True).first.wait_for()
    page.get_by_text("content_hash").first.wait_for()
    page.get_by_text("changes are found by").first.wait_for()
    page.get_by_text("last_updated", exact=True).first.wait_for()
    page.goto(f"{address}/assets/clinic/extract/Patient?view=checks")
    page.get_by_text("the_read_is_complete").first.wait_for()
    page.get_by_text("Succeeded", exact=True).first.wait_for()
    assert errors == [], "the console is clean"
    assert foreign == [], "and nothing leaves this machine"

    job = installation.job_of(run.run_id)
    assert (job.type, job.status, job.resource_types) == (JobType.RESOURCE_SYNC, JobStatus.COMPLETED, ("Patient",))


def test_two_runs_of_one_connection_take_turns(ui: tuple[str, Installation]) -> None:
    """Asked for at once, as Materialize on two assets does it; neither finds the connection busy."""
    address, installation = ui
    before = {run.run_id for run in installation.instance.get_runs()}

    launched = [_launch(address, "extract", name) for name in ("Condition", "Observation")]

    def runs() -> list[dg.DagsterRun]:
        return [run for run in installation.instance.get_runs() if run.run_id not in before]

    until(lambda: len([run for run in runs() if run.is_finished]) == len(launched), seconds=90)
    assert {run.status for run in runs()} == {dg.DagsterRunStatus.SUCCESS}
    one, other = sorted(installation.jobs()[:2], key=lambda job: job.created_at)
    assert one.finished_at is not None and one.finished_at <= other.created_at


def _launch(address: str, layer: str, resource_type: str) -> str:
    launched = "launchRun(executionParams: $p) { ... on LaunchRunSuccess { run { runId } } }"
    mutation = f"mutation ($p: ExecutionParams!) {{ {launched} }}"
    params = {
        "selector": {
            "repositoryLocationName": "holovitals_pipelines", "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["clinic", layer, resource_type]}],
        },
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": today()}]},
        "mode": "default", "runConfigData": {},
    }  # fmt: skip
    answer = httpx.post(
        f"{address}/graphql", json={"query": mutation, "variables": {"p": params}}, trust_env=False, timeout=60
    ).json()
    return str(answer["data"]["launchRun"]["run"]["runId"])


def _loaded(address: str) -> bool:
    """Whether the server answers and has loaded the code location."""
    query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
    try:
        answer = httpx.post(f"{address}/graphql", json={"query": query}, trust_env=False, timeout=10).json()
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
