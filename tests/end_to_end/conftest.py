"""Simulated vendors shared by a module's tests; every test module orders its own faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.end_to_end.resources import write_clinic
from tests.local_http import LOCAL

PATIENTS, EACH = 12, 60


@pytest.fixture(scope="session")
def clinic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 patients and 60 resources of each of ten types."""
    return write_clinic(tmp_path_factory.mktemp("clinic") / "data", patients=PATIENTS, each=EACH)


@pytest.fixture(scope="session")
def vendor(clinic_data: Path) -> Iterator[RunningSandbox]:
    """An open FHIR server that answers exports without making anybody wait."""
    with start_sandbox(dialects=["fhir"], data=clinic_data, settings={"fhir": {"polls": 0}}) as running:
        yield running


@pytest.fixture(scope="session")
def order_faults(vendor: RunningSandbox) -> Callable[..., None]:
    """Replace all ordered faults by these."""

    def order(*faults: dict[str, Any]) -> None:
        address = f"{vendor.admin_url}/faults"
        LOCAL.delete(address).raise_for_status()
        if faults:
            LOCAL.post(address, json=list(faults)).raise_for_status()

    return order
