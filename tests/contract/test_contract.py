"""Every adapter under contract, against its simulator: one process plays all vendors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.providers.registry import AVAILABLE
from holovitals_pipelines.sandbox.credentials import DemoCredentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.contract.contract import AdapterContract
from tests.contract.harness import Bench
from tests.contract.messages import MessageBench
from tests.contract.vendor import VendorUnderTest
from tests.contract.vendors import VENDORS

pytestmark = pytest.mark.timeout(180)
PATIENTS = 9
"""Of these people each vendor has some."""
SMART = [vendor.provider for vendor in VENDORS if vendor.connection.get("auth", {}).get("kind") == "smart_backend"]


@pytest.fixture(scope="module")
def running(credentials: DemoCredentials) -> Iterator[RunningSandbox]:
    knobs: dict[str, dict[str, Any]] = {}
    for vendor in VENDORS:
        knobs.setdefault(vendor.provider, {}).update(vendor.sandbox)
    with start_sandbox(
        dialects=list(knobs), patients=PATIENTS, credentials=credentials, smart=SMART, settings=knobs
    ) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=VENDORS, ids=str)
def on_bench(
    request: pytest.FixtureRequest,
    running: RunningSandbox,
    credentials: DemoCredentials,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
) -> Iterator[Bench]:
    vendor: VendorUnderTest = request.param
    kind = MessageBench if vendor.by_messages else Bench
    bench = kind(vendor, running, credentials, tmp_path_factory.mktemp(str(vendor)), sqlite_template)
    yield bench
    bench.close()


class TestAdapterContract(AdapterContract):
    pass


def test_every_adapter_is_listed() -> None:
    assert {vendor.provider for vendor in VENDORS} == set(AVAILABLE)
