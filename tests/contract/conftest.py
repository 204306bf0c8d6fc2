"""What every vendor under contract is tried with, whoever's vendor it is; a module says which by `on_bench`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from tests.contract.contract import plant, sync
from tests.contract.harness import Bench
from tests.end_to_end.two_way import Ours


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


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
def ours(on_bench: Bench) -> Iterator[Ours]:
    """Our side of the vendor after its first sync; one for all its tests."""
    home = on_bench.folder / "home"
    home.mkdir()
    shutil.copyfile(on_bench.template, home / "operational.sqlite")
    with pytest.MonkeyPatch.context() as patched:
        url = f"sqlite:///{home / 'operational.sqlite'}"
        with on_bench.ours(home, url, patched.setenv) as side:
            plant(on_bench)
            sync(side)
            yield side
