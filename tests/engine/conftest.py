"""A home in a temporary folder, with one connection whose vendor is a folder of NDJSON files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.settings import Settings, save_connections
from tests.engine.ndjson_source import NdjsonSource

CONNECTION = ConnectionConfig(name="clinic", provider=Provider.FHIR, base_url="http://127.0.0.1:9/fhir")


def patient(number: int, family: str = "Doe", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}], "gender": "female", **more}


def observation(number: int, value: str = "5.40", status: str = "final") -> str:
    """As text, so that the decimal's digits are exactly those."""
    return (
        f'{{"resourceType":"Observation","id":"o{number}","status":"{status}","code":{{"text":"Glucose"}},'
        f'"subject":{{"reference":"Patient/p{number}"}},"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}'
    )


class Vendor:
    """The folder that plays the vendor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.deletions: dict[str, list[str]] = {}
        self.readable: list[dict[str, Any]] = []
        """What can be read by its id although no full read shows it."""
        self.page = 50

    def holds(self, resource_type: str, resources: list[dict[str, Any] | str | bytes]) -> None:
        lines = [
            r if isinstance(r, bytes) else (r if isinstance(r, str) else json.dumps(r)).encode() for r in resources
        ]
        (self.folder / f"{resource_type}.ndjson").write_bytes(b"\n".join(lines) + b"\n")

    def source(self, _: ConnectionConfig | None = None) -> NdjsonSource:
        return NdjsonSource(self.folder, page=self.page, deletions=self.deletions, readable=self.readable)


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path / "vendor")


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    save_connections(home / "connections.yaml", [CONNECTION])
    return Settings(home=home, database_url=database_url, batch_rows=100, commit_rows=100)


@pytest.fixture
def opened(settings: Settings) -> Iterator[Home]:
    with open_home(settings) as home:
        yield home


Sync = Callable[..., JobReport]


@pytest.fixture
def sync(opened: Home, vendor: Vendor) -> Sync:
    def run(
        job_type: JobType = JobType.FULL_SYNC, *types: str, allow_deletes: bool = False, **options: Any
    ) -> JobReport:
        request = SyncRequest(connection="clinic", type=job_type, resource_types=types, allow_deletes=allow_deletes)
        return run_sync(opened, request, adapter_for=vendor.source, **options)

    return run
