"""The five types of jobs at a vendor that is fed by messages: which of what it told each of them reads.

Law: no job asks the vendor for anything, and none takes absence for a deletion: what no message told of may be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.events import VendorEvent, sync_after
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType

from .feed import adt, all_held, receiving, sent
from .test_merges import chart, merge, pid
from .test_to_fhir import fhir

ONE, OTHER = "FAC1-MR-1", "FAC1-MR-2"
CHART = {"Patient": 1, "Encounter": 1, "AllergyIntolerance": 1, "Observation": 1, "DiagnosticReport": 1}


@dataclass(frozen=True)
class Site:
    home: Home

    def tells(self, *messages: bytes) -> None:
        sent(self.home, messages)

    def renames(self, number: str, name: str) -> None:
        self.tells(adt("A31", f"n{number}", pid(number, name), at="202601150935"))

    def sync(self, kind: JobType, **named: Any) -> JobReport:
        return run_sync(self.home, SyncRequest("hospital", kind, **named))

    def family(self, patient: str) -> str:
        return str(fhir(self.home, "Patient", patient)["name"][0]["family"])

    def record(self, kind: str, patient: str) -> str:
        [found] = [one["id"] for one in all_held(self.home, kind) if one["patient"]["id"] == patient]
        return str(found)

    def watermarks(self) -> list[Any]:
        with self.home.database.read() as transaction:
            return list(transaction.exec_driver_sql("select resource_type, value from watermark order by 1"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two patients, each with a chart, told and synced."""
    with receiving(tmp_path) as home:
        opened = Site(home)
        opened.tells(*chart("1"), *chart("2"))
        opened.sync(JobType.INCREMENTAL_SYNC)
        yield opened


def extracted(report: JobReport) -> dict[str, int]:
    return {kind: outcome.extracted for kind, outcome in report.outcomes.items() if outcome.extracted}


def test_a_full_job_reads_again_all_that_was_ever_told_and_takes_nothing_away(site: Site) -> None:
    report = site.sync(JobType.FULL_SYNC)
    assert extracted(report) == dict.fromkeys(CHART, 2)
    assert (report.total.unchanged, report.total.removed, report.error_count) == (10, 0, 0)


def test_an_incremental_job_brings_what_has_been_told_since(site: Site) -> None:
    site.renames("1", "NEWER")
    report = site.sync(JobType.INCREMENTAL_SYNC)
    assert (report.total.updated, report.total.created, report.total.removed) == (1, 0, 0)
    assert (site.family(ONE), site.family(OTHER)) == ("NEWER", "TEST")


def test_a_patient_job_reads_one_chart_and_leaves_the_others_for_their_turn(site: Site) -> None:
    site.renames("1", "NEWER")
    site.renames("2", "OTHER")
    before = site.watermarks()
    report = site.sync(JobType.PATIENT_SYNC, patients=(ONE,))
    assert extracted(report) == CHART
    assert (site.family(ONE), site.family(OTHER)) == ("NEWER", "TEST")
    assert site.watermarks() == before
    site.sync(JobType.INCREMENTAL_SYNC)
    assert site.family(OTHER) == "OTHER"


def test_a_patient_job_of_a_survivor_reads_what_was_told_of_the_retired_number_too(site: Site) -> None:
    site.tells(merge("A40", "m", "2", "1", "202601150940"))
    report = site.sync(JobType.PATIENT_SYNC, patients=(OTHER,))
    assert extracted(report) == {kind: 1 if kind == "Patient" else 2 for kind in CHART}


def test_a_resource_job_reads_whole_types_or_what_has_these_ids(site: Site) -> None:
    assert extracted(site.sync(JobType.RESOURCE_SYNC, resource_types=("Encounter",))) == {"Encounter": 2}
    one = site.record("Observation", ONE)
    assert extracted(site.sync(JobType.RESOURCE_SYNC, ids=(("Observation", one),))) == {"Observation": 1}


def test_a_job_after_events_reads_their_patients_and_records_each_once(site: Site) -> None:
    site.renames("2", "OTHER")
    one = site.record("Observation", ONE)
    events = [VendorEvent(OTHER), VendorEvent(OTHER, "Patient"), VendorEvent(one, "Observation")]
    report = sync_after(site.home, "hospital", [*events, events[-1]])
    assert report.type is JobType.WEBHOOK_SYNC
    assert extracted(report) == {**CHART, "Observation": 2}
    assert site.family(OTHER) == "OTHER"


def test_an_id_of_which_nothing_was_told_is_reported_and_nothing_is_deleted(site: Site) -> None:
    report = site.sync(JobType.RESOURCE_SYNC, ids=(("Observation", "0-0"),))
    assert [error.code for error in report.errors] == ["meditech.not_told"]
    assert (report.total.extracted, report.total.removed) == (0, 0)
