"""A home in which two connections know one person, whose record was edited here and changed by a vendor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import edit_record, read_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.tables import patient_member
from tests.engine.ndjson_source import NdjsonSource

NORTH, SOUTH = "north", "south"
FAMILY, MARRIED = "Ashby", "Ashby-Stone"
EDITOR = "dr.who"
SAID_HERE = "as said here"
_IDENTIFIER = {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456"}


def chart_person(home: Path) -> Settings:
    """`north` tells a Patient and two Observations, `south` a Patient of the same number and a Condition.

    Then a marital status is added here, north tells another family name, and one Observation is gone.
    """
    home.mkdir(parents=True)
    settings = Settings(home=home)
    connections = [
        ConnectionConfig(name=n, provider=Provider.FHIR, base_url="http://127.0.0.1:9") for n in (NORTH, SOUTH)
    ]
    save_connections(home / "connections.yaml", connections)
    _tell(
        home / NORTH,
        _patient("n1", FAMILY),
        _weight("w1", "n1", "2024-03-05", 71),
        _weight("w2", "n1", "2025-06-07", 73),
    )
    _tell(home / SOUTH, _patient("s1", FAMILY, gender="female"), _condition("c1", "s1"), _condition("c2", "another"))
    with open_home(settings) as opened:
        for name in (NORTH, SOUTH):
            _sync(opened, name)
        _are_one_person(opened)
        record = record_of(opened, NORTH, "Patient", "n1")
        body = {**json.loads(record.body), "maritalStatus": {"text": SAID_HERE}}
        edit_record(opened.database, record.record_id, json.dumps(body).encode(), seen_version=1, actor=EDITOR)
        _tell(home / NORTH, _patient("n1", MARRIED), _weight("w1", "n1", "2024-03-05", 71))
        _sync(opened, NORTH)
        assert read_record(opened.database, record.record_id).version == 3
    return settings


def _sync(home: Home, name: str) -> None:
    folder = home.settings.root / name
    report = run_sync(home, SyncRequest(name, JobType.FULL_SYNC), adapter_for=lambda _: NdjsonSource(folder))
    assert report.succeeded, report.errors


def _are_one_person(home: Home) -> None:
    """Whatever identity has made of them."""
    with home.database.read() as transaction:
        keys = set(transaction.execute(sa.select(patient_member.c.patient_key)).scalars())
    assert len(keys) == 1, "the shared number makes them one"


def _tell(folder: Path, *resources: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    kinds = {one["resourceType"] for one in resources}
    for kind in kinds:
        lines = (json.dumps(one) + "\n" for one in resources if one["resourceType"] == kind)
        (folder / f"{kind}.ndjson").write_text("".join(lines), encoding="utf-8")


def _patient(identity: str, family: str, gender: str = "female") -> dict[str, Any]:
    name = [{"family": family, "given": ["Mina"]}]
    told = {"identifier": [_IDENTIFIER], "name": name, "gender": gender, "birthDate": "1980-05-06"}
    return {"resourceType": "Patient", "id": identity, **told}


def _weight(identity: str, patient: str, day: str, kilograms: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": identity, "status": "final", "code": {"text": "Body weight"},
        "subject": {"reference": f"Patient/{patient}"}, "effectiveDateTime": day,
        "valueQuantity": {"value": kilograms, "unit": "kg"},
    }  # fmt: skip


def _condition(identity: str, patient: str) -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient}"}
    return {
        "resourceType": "Condition",
        "id": identity,
        "code": {"text": "Asthma"},
        "subject": subject,
        "onsetDateTime": "2019",
    }
