"""README.md as a newcomer follows it, word for word: the demo, its conflict decided, undone and proved, one of our own.

Law: only ids and the port are put in the place of the README's; what came of it is read from the vendor.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.commands import environment, holovitals, start
from tests.local_http import LOCAL

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
PAGE = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
VENDORS_ID = "THE-VENDORS-ID"


def scripts(title: str) -> list[str]:
    """The blocks of a section, those that run in a terminal of their own left out."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return [
        text
        for text in re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        if "holovitals sandbox" not in text
    ]


@contextmanager
def vendors(home: Path, port: int) -> Iterator[str]:
    with start(home, "sandbox", "--demo", "--port", str(port)) as process:
        try:
            until = time.monotonic() + 60
            while not _answers(port):
                assert process.poll() is None and time.monotonic() < until, "the sandbox did not come up"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/_sandbox/fhir/Patient"
        finally:
            process.send_signal(signal.SIGINT)


def _answers(port: int) -> bool:
    try:
        return LOCAL.get(f"http://127.0.0.1:{port}/_sandbox/health").is_success
    except httpx.TransportError:
        return False


def run(home: Path, script: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = environment(home, PATH=path, NO_PROXY="*")
    ran = subprocess.run(["sh", "-ec", script], env=given, cwd=home, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def links_of(home: Path, record: str) -> str:
    (link,) = holovitals(home, "records", "links", record, "--json").json()["links"]
    return str(link["remoteId"])


def test_from_the_demo_to_a_decided_conflict_and_back_by_the_readme_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert holovitals(home, "demo", "--provider", "fhir", "--patients", "15", timeout=400).code == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with vendors(home, port) as at_vendor:
        (waiting,) = holovitals(home, "conflicts", "list", "--json").json()
        record = waiting["recordId"]
        before = {born(at_vendor, links_of(home, record))}
        look, decide, undo, prove = scripts("Decide a conflict")
        for script in (look, decide):
            run(
                home,
                script.replace("5fde91c2", waiting["conflictId"][:8]).replace("export PATH=$PWD/.venv/bin:$PATH", ""),
            )
        ours = born(at_vendor, links_of(home, record))
        assert ours not in before, "the vendor holds what was decided"
        run(home, undo.replace("5fde91c2", waiting["conflictId"][:8]))
        assert "intact" in run(home, prove)

        listed = holovitals(home, "records", "list", "--type", "Patient", "--connection", "fhir", "--json").json()
        mine = next(one for one in listed if one["recordId"] != record)
        edit, conflict = (
            script.replace("4f2a91c7", mine["recordId"][:12])
            .replace("--version 2", f"--version {mine['version'] + 1}")
            .replace("--version 1", f"--version {mine['version']}")
            .replace(VENDORS_ID, links_of(home, mine["recordId"]))
            .replace(":8750/", f":{port}/")
            for script in scripts("Two-way sync")
        )
        assert "both sides held the same" in run(home, edit)
        run(home, conflict)
        open_now = holovitals(home, "conflicts", "list", "--json").json()
        assert mine["recordId"] in {one["recordId"] for one in open_now}
        assert born(at_vendor, links_of(home, mine["recordId"])) == "1952-02-03", "neither side moved"


def born(at_vendor: str, identity: str) -> str:
    return str(LOCAL.get(f"{at_vendor}/{identity}").json()["birthDate"])
