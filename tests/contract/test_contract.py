"""Every adapter under contract, against its simulator: one process plays all vendors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holovitals_pipelines.providers.registry import AVAILABLE
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.contract.contract import AdapterContract, plant, sync
from tests.contract.harness import Bench
from tests.contract.vendor import VendorUnderTest
from tests.contract.vendors import VENDORS
from tests.end_to_end.two_way import Ours

pytestmark = pytest.mark.timeout(180)
PATIENTS = 9
"""Of these people each vendor has some."""
SMART = [vendor.provider for vendor in VENDORS if vendor.connection.get("auth", {}).get("kind") == "smart_backend"]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def running(credentials: DemoCredentials) -> Iterator[RunningSandbox]:
    knobs = {vendor.provider: dict(vendor.sandbox) for vendor in VENDORS}
    names = [vendor.provider for vendor in VENDORS]
    with start_sandbox(
        dialects=names, patients=PATIENTS, credentials=credentials, smart=SMART, settings=knobs
    ) as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=VENDORS, ids=str)
def on_bench(
    request: pytest.FixtureRequest,
    running: RunningSandbox,
    credentials: DemoCredentials,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    vendor: VendorUnderTest = request.param
    return Bench(vendor, running, credentials, tmp_path_factory.mktemp(vendor.provider))


@pytest.fixture
def bench(request: pytest.FixtureRequest, on_bench: Bench) -> Iterator[Bench]:
    reason = on_bench.vendor.not_applicable.get(request.function.__name__)
    if reason is not None:
        pytest.skip(reason)
    yield on_bench
    waiting = [fault["kind"] for fault in on_bench.admin("GET", "faults").json() if fault["times"]]
    on_bench.forget_faults()
    assert waiting == [], "a fault that did not happen has shown nothing"


@pytest.fixture(scope="module")
def ours(on_bench: Bench, sqlite_template: Path) -> Iterator[Ours]:
    """Our side of the vendor after its first sync; one for all its tests."""
    home = on_bench.folder / "home"
    home.mkdir()
    shutil.copyfile(sqlite_template, home / "operational.sqlite")
    with pytest.MonkeyPatch.context() as patched:
        url = f"sqlite:///{home / 'operational.sqlite'}"
        with on_bench.ours(home, url, patched.setenv) as side:
            plant(on_bench)
            sync(side)
            yield side


class TestAdapterContract(AdapterContract):
    pass


def test_every_adapter_is_listed() -> None:
    assert {vendor.provider for vendor in VENDORS} == set(AVAILABLE)
