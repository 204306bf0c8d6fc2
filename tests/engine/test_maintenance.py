"""Housekeeping of the landing zone: garbage goes, what is registered stays, and damage is named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.maintenance import damaged_parts, sweep_landing_zone
from tests.engine.conftest import Sync, Vendor, patient


@pytest.fixture
def landing(opened: Home, vendor: Vendor, sync: Sync) -> Path:
    vendor.holds("Patient", [patient(n) for n in range(10)])
    sync()
    return Path(opened.settings.resolved_landing_url)


def test_files_that_no_job_registered_are_removed_and_registered_parts_stay(opened: Home, landing: Path) -> None:
    registered = sorted(landing.rglob("*.parquet"))
    orphan = registered[0].with_name("part-00000000000000000000000000000000.parquet")
    orphan.write_bytes(b"left by a killed worker")

    removed = sweep_landing_zone(opened, older_than=timedelta(seconds=-1))

    assert [Path(path).name for path in removed] == [orphan.name]
    assert sorted(landing.rglob("*.parquet")) == registered


def test_a_part_that_changed_or_vanished_is_named(opened: Home, landing: Path) -> None:
    assert damaged_parts(opened) == []
    changed, vanished = sorted(landing.rglob("*.parquet"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    vanished.unlink()

    assert sorted(damaged_parts(opened)) == sorted(
        [str(changed.relative_to(landing)), str(vanished.relative_to(landing))]
    )
