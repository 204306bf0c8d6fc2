"""JupyterLab on a copy of the review notebook, and a person in front of it: what the browser tests share.

Law: everything is real: the server, the kernel, the store, the keys that are pressed. What a page says is noted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from holovitals_pipelines.store.tables import sync_conflict, sync_conflict_field
from tests.end_to_end.two_way import Ours
from tests.local_http import LOCAL
from tests.pictures import keep

PROJECT = Path(__file__).parents[2]
"""A folder for pictures of the widget, for whoever works on it."""


def sync(ours: Ours) -> None:
    """Beside this thread, in which playwright's event loop runs."""
    with ThreadPoolExecutor(1) as beside:
        assert beside.submit(ours.sync).result().succeeded


def queue_up(ours: Ours, many: int) -> None:
    """More of the conflict about a Patient, less grave and about links of their own."""
    [model] = ours.conflicts(resource_type="Patient")
    [unit] = ours.rows("sync_conflict_field", conflict_id=model.conflict_id)
    names = [f"{number:08d}-queue" for number in range(many)]
    with ours.home.database.write() as transaction:
        row = {**model._mapping, "severity": "MEDIUM", "two_person": False}
        more = [{**row, "conflict_id": name, "link_id": name} for name in names]
        transaction.execute(sa.insert(sync_conflict), more)
        transaction.execute(
            sa.insert(sync_conflict_field),
            [{**unit._mapping, "conflict_id": name, "severity": "MEDIUM"} for name in names],
        )


@contextmanager
def lab(ours: Ours, folder: Path, *, dark: bool = False) -> Iterator[str]:
    """JupyterLab on a copy of the notebook; yields the address of the notebook."""
    shutil.copy(PROJECT / "notebooks" / "04_review.ipynb", folder)
    if dark:
        theme = folder / "settings" / "@jupyterlab" / "apputils-extension"
        theme.mkdir(parents=True)
        (theme / "themes.jupyterlab-settings").write_text('{"theme": "JupyterLab Dark"}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(8)
    command = [
        str(Path(sys.executable).with_name("jupyter-lab")), "--no-browser", f"--port={port}", "--ip=127.0.0.1",
        "--allow-root", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None",
    ]  # fmt: skip
    private = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    environment = {
        **os.environ, **private, "HOLOVITALS_HOME": str(ours.home.settings.root), "PYTHONPATH": str(PROJECT),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }  # fmt: skip
    environment.pop("HOLOVITALS_DATABASE_URL", None)
    address = f"http://127.0.0.1:{port}"
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: answers(f"{address}/api/status?token={token}") or process.poll() is not None)
            assert process.poll() is None, (folder / "lab.log").read_text()
            yield f"{address}/doc/tree/04_review.ipynb?token={token}"
            LOCAL.post(f"{address}/api/shutdown?token={token}")
            process.wait(timeout=30)
        finally:
            process.kill()


def answers(address: str) -> bool:
    try:
        return LOCAL.get(address, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


class Person:
    """Who looks at the widget, and types."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.widget = page.locator(".hv-review")
        self.status = self.widget.locator(".hv-status")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def answer(self, label: str, text: str) -> None:
        """Into the dialog that is open."""
        self.widget.get_by_label(label, exact=True).fill(text)
        self.press("Enter")

    def line(self, conflict_id: str) -> Any:
        return self.widget.locator(f"[id='hv-{conflict_id}']")

    def opened(self, conflict_id: str) -> None:
        self.line(conflict_id).click()
        self.widget.locator(f".hv-detail[data-id='{conflict_id}']").wait_for()

    def told(self, words: str) -> None:
        self.status.get_by_text(words).wait_for()

    def picture(self, name: str) -> None:
        keep(self.widget, name)


class Opened:
    """A page with the notebook run from top to bottom, and what its console and its requests have to say."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1500, "height": 1100})
        self.page.add_init_script(WATCH)
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._own = (address.partition("/doc")[0], "data:", "blob:", "ws:")
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda asked: self._note(asked.url))
        self.page.goto(address)
        self.page.get_by_role("heading", name="Review conflicts").wait_for(timeout=60_000)
        self.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    def _note(self, url: str) -> None:
        if not url.startswith(self._own):
            self.foreign.append(url)


LOW_CONTRAST = """() => {
    const root = document.querySelector(".hv-review");
    const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const colour = (text) => {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = text;
        pixel.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
        return [[r, g, b], a / 255];
    };
    const over = ([top, share], under) => top.map((one, place) => one * share + under[place] * (1 - share));
    const behind = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) {
            layers.push(colour(getComputedStyle(one).backgroundColor));
        }
        return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const linear = (one) => (one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const found = {};
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const element = text.parentElement, under = behind(element);
        const both = [light(over(colour(getComputedStyle(element).color), under)), light(under)];
        const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
        if (text.textContent.trim() && ratio < 4.5) found[`${element.tagName}.${element.className}`] = ratio;
    }
    return found;
}"""
"""Where words in the widget stand out from what is behind them by less than 4.5 to 1 (WCAG 2, AA)."""
WATCH = """(() => {
    const seen = (window.hvSeen = {});
    const look = () => {
        const now = performance.now();
        if (document.querySelector(".hv-review")) seen.there ??= now;
        if (document.querySelector(".hv-line")) seen.painted ??= now;
        if (seen.painted && !document.querySelector(".hv-review[aria-busy]")) seen.listed ??= now;
        if (!seen.listed) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})()"""
FIRST_SEEN = "() => ({ painted: hvSeen.painted - hvSeen.there, listed: hvSeen.listed - hvSeen.there })"
"""Milliseconds from the widget's frame to its first lines, and until the whole queue is listed."""
SMOOTH = """async (word) => {
    const list = document.querySelector(".hv-list"), search = document.querySelector(".hv-search");
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const lay = () => { list.getBoundingClientRect(); list.firstChild.lastChild.getBoundingClientRect(); };
    const took = { scroll: [], keystroke: [], move: [] };
    const timed = (name, act) => {
        const began = performance.now();
        act();
        lay();
        took[name].push(performance.now() - began);
    };
    for (let step = 0; step < 100; step += 1) {
        timed("scroll", () => { list.scrollTop = step * 480; list.dispatchEvent(new Event("scroll")); });
        if (step % 20 === 0) await frame();
    }
    for (let end = 1; end <= word.length; end += 1) {
        timed("keystroke", () => { search.value = word.slice(0, end); search.dispatchEvent(new Event("input")); });
        await frame();
    }
    search.value = "";
    timed("keystroke", () => search.dispatchEvent(new Event("input")));
    for (const key of ["j", "j", "G", "k", "g"]) {
        timed("move", () => list.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
        await frame();
    }
    const median = (all) => all.sort((one, other) => one - other)[Math.floor(all.length / 2)];
    const names = Object.keys(took);
    return {
        median: Object.fromEntries(names.map((name) => [name, median(took[name])])),
        longest: Object.fromEntries(names.map((name) => [name, Math.max(...took[name])])),
    };
}"""
"""Milliseconds that a step of scrolling, a keystroke of searching and a move by key take, with layout. A machine that
does other things at the same time makes the longest of them long; the median tells what the widget does."""
