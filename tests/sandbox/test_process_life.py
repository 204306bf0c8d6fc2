from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import holovitals_pipelines.sandbox as package
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.credentials import demo_credentials
from holovitals_pipelines.sandbox.dialects import dialect_names, load_dialect
from holovitals_pipelines.sandbox.process import start_sandbox
from holovitals_pipelines.sandbox.server import SandboxConfig, apply_settings, build, listening_socket
from tests.local_http import LOCAL

PROJECT = Path(__file__).parents[2]


def runs(pid: int) -> bool:
    """Whether the process lives; one that waits for its burial does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def ends(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while runs(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_child_process_serves_both_vendors_and_stops(tmp_path: Path) -> None:
    keys = demo_credentials(tmp_path)
    with start_sandbox(patients=4, credentials=keys, smart=["epic"], settings={"epic": {"polls": 3}}) as running:
        assert set(running.base_urls) == {"fhir", "epic"} and running.groups["epic"]
        health = LOCAL.get(f"{running.admin_url}/health").json()
        assert health["base_urls"] == dict(running.base_urls)
        assert LOCAL.get(f"{running.base_urls['fhir']}/Patient").status_code == 200
        patient = running.patient_ids("epic")[0]
        assert LOCAL.get(f"{running.base_urls['epic']}/Patient/{patient}").status_code == 401
        assert LOCAL.get(f"{running.admin_url}/epic/settings").json()["polls"] == 3
    assert running.process.poll() is not None
    running.stop()


def test_a_killed_parent_leaves_no_sandbox_behind() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\n"
            "from holovitals_pipelines.sandbox.process import start_sandbox\n"
            "running = start_sandbox(patients=2)\n"
            "print(running.process.pid, flush=True)\n"
            "time.sleep(60)\n",
        ],
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert runs(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ends(child, within=5)


def test_a_child_that_cannot_start_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="exit code 2"):
        start_sandbox(data=tmp_path / "nothing.ndjson")
    assert "sandbox.no_data" in capfd.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "::"])
def test_other_hosts_than_the_loopback_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="loopback"):
        listening_socket(SandboxConfig(host=host))


def test_unknown_dialects_and_knobs_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="epic"):
        load_dialect("nobody")
    with pytest.raises(ConfigurationError, match="session_seconds"):
        apply_settings(load_dialect("epic").settings(), {"sesion_seconds": 1})
    with pytest.raises(ConfigurationError, match="--clients"):
        build(SandboxConfig(smart=frozenset({"fhir"}), patients=1))


def test_every_dialect_names_itself_and_lives_below_its_own_prefix() -> None:
    dialects = [load_dialect(name) for name in dialect_names()]
    assert {"epic", "fhir"} <= {d.name for d in dialects} == set(dialect_names())
    assert len({d.prefix for d in dialects}) == len(dialects)


def test_the_sandbox_shares_no_code_with_the_adapters() -> None:
    allowed = ("holovitals_pipelines.model", "holovitals_pipelines.fhir", "holovitals_pipelines.sandbox")
    files = list(Path(package.__path__[0]).rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.startswith("holovitals_pipelines")]
            assert all(name.startswith(allowed) for name in ours), file
