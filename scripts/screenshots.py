"""Makes the pictures of the README from the real thing: the demo on a terminal, Dagster's UI, notebooks, dashboard.

    .venv/bin/python scripts/screenshots.py            # into docs/images, from a demo in a temporary home

Needs Chromium (/usr/bin/chromium) and the test extras; everything else is started here and ends here.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import nbformat
from nbclient import NotebookClient
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright
from rich.console import Console
from rich.text import Text

PROJECT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTH = 1400
COLUMNS = 112
NOTEBOOKS = {
    "01_sync_overview": ("notebook", 1400),
    "02_conflicts": ("notebook-conflicts", 1900),
    "06_patient_360": ("notebook-patient", 1700),
}
"""Notebooks, what their pictures are called, and how tall they are."""
REVIEW = "04_review"
LEFT_OUT = ("cerner:", "allscripts:", "nextgen:", "athenahealth:", "eclinicalworks:")
"""Vendors of the demo that its picture has no room for."""
LARGEST = 250_000
"""Bytes; a README should load at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=PROJECT / "docs" / "images")
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--home", type=Path, help="a home whose demo has run already (default: a new one)")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="holovitals-pictures-") as scratch:
        home = (options.home or Path(scratch) / "home").resolve()
        os.environ["HOLOVITALS_HOME"] = str(home)
        summary = run_demo(options.patients) if options.home is None else None
        notebooks = {name: execute_notebook(home, Path(scratch), name) for name in NOTEBOOKS}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            if summary is not None:
                picture_summary(browser, options.into, summary)
            for name, notebook in notebooks.items():
                picture, tall = NOTEBOOKS[name]
                picture_notebook(browser, options.into / f"{picture}.png", notebook, tall)
            picture_review(browser, options.into / "review.png", Path(scratch))
            picture_dagster(browser, options.into)
            picture_quality(browser, options.into / "quality.png")
            picture_dashboard(browser, options.into)
            browser.close()
    for picture in sorted(options.into.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture.name}: {size / 1000:.0f} kB" + ("  TOO LARGE" if size > LARGEST else ""))


def run_demo(patients: int) -> str:
    """The demo, in the home that HOLOVITALS_HOME names; returns what it printed, drawn as SVG."""
    from holovitals_pipelines.cli.demo_command import demo
    from holovitals_pipelines.cli.output import console

    console.record, console.file, console.width = True, io.StringIO(), COLUMNS
    demo(data=None, patients=patients, seed=1, provider=None, as_json=False)
    drawing = Console(record=True, file=io.StringIO(), width=COLUMNS)
    for line in the_story(console.export_text(styles=True).splitlines()):
        drawing.print(line)
    drawn = drawing.export_svg(title="make demo")
    return re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # fonts of this machine, none from the network


def the_story(lines: list[str]) -> Iterator[Text]:
    """What was done and what came of it, under the titles of the passes; not their tables, and neither a folder nor the
    pace of this machine. Of the eight vendors those that differ the most: the picture would be a yard long."""
    told = True
    for line in map(Text.from_ansi, lines):
        line.rstrip()
        title = re.match(r"\d+\. [^(]+", line.plain)
        if title:
            yield Text()
            yield line[: title.end()]
        elif line.plain.startswith(("✎", "✓")):
            told = not line.plain[2:].startswith(LEFT_OUT)
        if told and line.plain.startswith(("✎", "✓", "    →", "      look")):
            yield line


def picture_summary(browser: Browser, into: Path, drawn: str) -> None:
    page = browser.new_page(viewport={"width": WIDTH, "height": 900})
    page.set_content(f"<body style='margin:0'>{drawn}</body>")
    page.locator("svg").first.evaluate("svg => svg.setAttribute('width', 860)")
    page.locator("svg").first.screenshot(path=into / "demo-summary.png")
    page.close()


def execute_notebook(home: Path, scratch: Path, name: str) -> Path:
    """A copy of the notebook, run from top to bottom."""
    notebook = nbformat.read(PROJECT / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute(
        env={**os.environ, "HOLOVITALS_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    )
    folder = scratch / "notebooks"
    folder.mkdir(exist_ok=True)
    target = folder / f"{name}.ipynb"
    nbformat.write(notebook, target)
    return target


def picture_notebook(browser: Browser, picture: Path, notebook: Path, tall: int) -> None:
    """As JupyterLab shows it after Run All."""
    with jupyter_lab(notebook) as address:
        page = browser.new_page(viewport={"width": WIDTH, "height": tall})
        page.goto(address)
        page.locator(".vega-embed canvas, .vega-embed svg").first.wait_for(timeout=90_000)
        without_news(page)
        page.locator(".jp-NotebookPanel-notebook").screenshot(path=picture)
        page.close()


def picture_review(browser: Browser, picture: Path, scratch: Path) -> None:
    """The widget with the gravest conflict opened; it needs a kernel, so the notebook is run here."""
    folder = scratch / "review"
    folder.mkdir()
    notebook = Path(shutil.copy(PROJECT / "notebooks" / f"{REVIEW}.ipynb", folder))
    with jupyter_lab(notebook) as address:
        page = browser.new_page(viewport={"width": WIDTH, "height": 1100})
        page.goto(address)
        page.get_by_role("heading", name="Review conflicts").wait_for(timeout=90_000)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.locator(".hv-line").first.click(timeout=90_000)
        page.locator(".hv-detail .hv-unit").first.wait_for()
        page.keyboard.press("2")
        without_news(page)
        page.locator(".hv-review").screenshot(path=picture)
        page.close()


@contextmanager
def jupyter_lab(notebook: Path) -> Iterator[str]:
    """The address at which JupyterLab shows the notebook."""
    port, token = free_port(), secrets.token_hex(8)
    command = [
        beside_python("jupyter-lab"), "--no-browser", f"--port={port}", "--ip=127.0.0.1", "--allow-root",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={notebook.parent}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with running(command, lambda: answers(f"{address}/api/status?token={token}")):
        yield f"{address}/doc/tree/{notebook.name}?token={token}"


def without_news(page: Page) -> None:
    """JupyterLab asks whether it may tell its news, a moment after all else is there."""
    settle(page)
    for question in page.get_by_role("button", name="No", exact=True).all():
        question.click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(1_000)


def picture_dagster(browser: Browser, into: Path) -> None:
    """The asset graph, an asset with metadata and checks, a run, and the runs of one connection."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running([beside_python("holovitals"), "ui", "--port", str(port)], lambda: answers(f"{address}/server_info")):
        page = browser.new_page(viewport={"width": WIDTH, "height": 1640}, device_scale_factor=0.8)
        page.goto(f"{address}/asset-groups")
        page.get_by_text("statistics", exact=True).first.wait_for(timeout=90_000)
        settle(page)
        page.wait_for_function("!document.body.innerText.includes('fetching statuses')", timeout=90_000)
        page.screenshot(path=into / "asset-graph.png")
        page.close()
        page = browser.new_page(viewport={"width": WIDTH, "height": 680})
        page.goto(f"{address}/assets/epic/records/Patient?view=lineage&lineageScope=neighbors")
        settle(page)
        page.screenshot(path=into / "lineage.png")
        page.set_viewport_size({"width": WIDTH, "height": 1250})
        page.goto(f"{address}/assets/epic/records/Patient")
        page.get_by_text("Latest materialization").wait_for()
        settle(page)
        page.screenshot(path=into / "asset-page.png")
        page.set_viewport_size({"width": WIDTH, "height": 900})
        page.goto(f"{address}/assets/epic/records/Patient?view=checks")
        settle(page)
        page.screenshot(path=into / "checks.png")
        page.goto(f"{address}/runs/{newest_sync(address)}")
        settle(page)
        page.screenshot(path=into / "run.png")
        page.set_viewport_size({"width": 1600, "height": 900})
        page.goto(f"{address}/runs?q[0]=tag%3Aholovitals%2Fconnection%3Depic")
        settle(page)
        page.screenshot(path=into / "runs.png")
        page.close()


def picture_quality(browser: Browser, picture: Path) -> None:
    """The page that `holovitals quality docs` writes, from what failed on."""
    told = subprocess.run([beside_python("holovitals"), "quality", "docs", "--json"], capture_output=True, check=True)
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(Path(json.loads(told.stdout)["page"]).as_uri())
    page.screenshot(path=picture)
    page.close()


def picture_dashboard(browser: Browser, into: Path) -> None:
    """The dashboard by day and by night, and one person's page."""
    create = [
        beside_python("holovitals"),
        "tokens",
        "create",
        f"ann-{secrets.token_hex(2)}",
        "--role",
        "viewer",
        "--json",
    ]
    token = json.loads(subprocess.run(create, capture_output=True, check=True).stdout)["token"]
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = [beside_python("holovitals"), "serve", "--port", str(port), "--quiet"]
    with running(serve, lambda: answers(f"{address}/dashboard")):
        for theme in ("light", "dark"):
            context = browser.new_context(color_scheme=theme, viewport={"width": WIDTH, "height": 1000})
            context.request.post(f"{address}/api/session", data={"token": token})
            page = context.new_page()
            page.goto(f"{address}/dashboard")
            settle(page)
            page.screenshot(path=into / f"dashboard-{theme}.png")
            if theme == "light":
                people = context.request.get(f"{address}/api/patients?limit=1000").json()["items"]
                person = max(people, key=lambda one: len(one["ids"]))  # whom several vendors know
                page.goto(f"{address}/dashboard/patients/{person['patientKey']}")
                settle(page)
                page.screenshot(path=into / "patient-page.png")
            context.close()


def newest_sync(address: str) -> str:
    query = '{ runsOrError(limit: 1, filter: {pipelineName: "sync_fhir"}) { ... on Runs { results { runId } } } }'
    answer = httpx.post(f"{address}/graphql", json={"query": query}, trust_env=False, timeout=60).json()
    return str(answer["data"]["runsOrError"]["results"][0]["runId"])


def settle(page: Page) -> None:
    """Statuses come in over a web socket, pages ask again and again: nothing says when the last has come."""
    with suppress(TimeoutError):
        page.wait_for_load_state("networkidle", timeout=15_000)
    page.wait_for_timeout(4_000)


@contextmanager
def running(command: list[str], ready: Callable[[], bool], seconds: float = 120.0) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.3)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()
