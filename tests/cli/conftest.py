"""The command in this process, on a home in a temporary folder, and a vendor that demands credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.app import app
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox

Run = Callable[..., Result]


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with these arguments; settings are environment variables without their prefix."""
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)

    def invoke(*arguments: str, **settings: str) -> Result:
        environment = {f"HOLOVITALS_{name.upper()}": value for name, value in settings.items()}
        return CliRunner().invoke(app, arguments, env={"HOLOVITALS_HOME": str(home)} | environment)

    return invoke


def declare(home: Path, *connections: dict[str, Any]) -> None:
    (home / "connections.yaml").write_text(yaml.safe_dump({"connections": list(connections)}), encoding="utf-8")


@dataclass(frozen=True)
class GuardedVendor:
    """A FHIR server that answers only who signs with the right key."""

    running: RunningSandbox
    credentials: DemoCredentials

    def connection(self, name: str = "clinic", **auth: Any) -> dict[str, Any]:
        signed = {
            "kind": "smart_backend",
            "client_id": self.credentials.client_id,
            "keys": [{"file": str(self.credentials.ec_key)}],
            "algorithm": "ES384",
            "scopes": "system/*.cruds",
        }
        return {
            "name": name,
            "provider": "fhir",
            "base_url": self.running.base_urls["fhir"],
            "auth": signed | auth,
            "resource_types": ["Patient", "Observation"],
            "read": {"retry_delay_ms": 1, "max_retries": 1},
        }


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedVendor]:
    credentials = demo_credentials(tmp_path_factory.mktemp("keys"))
    knobs = {"fhir": {"polls": 0}}
    with start_sandbox(dialects=["fhir"], patients=3, credentials=credentials, settings=knobs) as running:
        yield GuardedVendor(running, credentials)
