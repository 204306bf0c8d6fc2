"""What messages tell, as FHIR records of the local store: the whole way, with the shipped rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.local_records import record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobType

from .feed import PID, PV1, adt, oru, receiving, sent
from .test_applying import LAB, PATIENT, SHORT_PID


def synced(home: Home, *messages: bytes, job_type: JobType = JobType.INCREMENTAL_SYNC, **named: Any) -> JobReport:
    sent(home, messages)
    report = run_sync(home, SyncRequest("hospital", job_type, **named))
    assert report.succeeded, report.errors
    return report


def fhir(home: Home, kind: str, identity: str) -> dict[str, Any]:
    return json.loads(record_of(home, "hospital", kind, identity).body)  # type: ignore[no-any-return]


def test_admissions_results_nulls_and_merges_become_the_record_of_a_patient(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        report = synced(home, adt("A01", "1", PID, PV1), oru("2", SHORT_PID, *LAB))
        assert {kind: row.created for kind, row in report.outcomes.items() if row.created} == {
            "Patient": 1, "Encounter": 1, "Observation": 1, "DiagnosticReport": 1,
        }  # fmt: skip
        patient = fhir(home, "Patient", PATIENT)
        assert (patient["birthDate"], patient["active"]) == ("1972-02-29", True)
        assert [name["family"] for name in patient["name"]] == ["TEST", "TESTER"]

        assert synced(home, adt("A08", "3", PID, PV1, at="202601150931")).total.updated == 0

        null = PID.replace("|19720229 |F|", '|""|F|')
        assert synced(home, adt("A08", "4", null, at="202601150932")).total.updated == 1
        assert "birthDate" not in fhir(home, "Patient", PATIENT)

        merge = adt("A40", "5", "PID|1||99^^^^MR^FAC1||NEW^ANN", "MRG|M900000101^^^^MR^FAC1", at="202601150933")
        synced(home, merge)
        retired, survivor = fhir(home, "Patient", PATIENT), fhir(home, "Patient", "FAC1-MR-99")
        assert (retired["active"], survivor["active"]) == (False, True)
        assert retired["link"] == [{"other": {"reference": "Patient/FAC1-MR-99"}, "type": "replaced-by"}]
        assert survivor["link"] == [{"other": {"reference": f"Patient/{PATIENT}"}, "type": "replaces"}]
        assert [one["value"] for one in survivor["identifier"] if one.get("use") == "old"] == ["M900000101"]


def test_a_visits_status_follows_its_events_and_not_its_updates(tmp_path: Path) -> None:
    with receiving(tmp_path, types=["Encounter"]) as home:
        statuses = []
        for number, event in enumerate(("A01", "A08", "A03", "A08", "A13", "A11")):
            synced(home, adt(event, str(number), PID, PV1))
            with home.database.read() as transaction:
                identity = transaction.exec_driver_sql(
                    "select remote_id from hl7_record where resource_type = 'Encounter'"
                ).scalar_one()
            statuses.append(fhir(home, "Encounter", identity)["status"])
    assert statuses == ["in-progress", "in-progress", "finished", "finished", "in-progress", "cancelled"]


def test_a_patient_alone_can_be_read(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        report = synced(
            home,
            adt("A08", "1", PID, PV1),
            adt("A08", "2", "PID|1||2^^^^MR^FAC1||B"),
            job_type=JobType.PATIENT_SYNC,
            patients=(PATIENT,),
        )
        assert (report.outcomes["Patient"].created, report.outcomes["Encounter"].created) == (1, 1)
        assert synced(home).outcomes["Patient"].created == 1
