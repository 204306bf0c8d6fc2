"""What is edited over HTTP reaches a simulated vendor with the next sync, and what the vendor has comes back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holovitals_pipelines.engine.job_queue import claim_next, run_claimed
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Lane
from tests.api.service import FHIR, Service, served
from tests.end_to_end.two_way import Site, declared, simulated_vendor

ANN = {"resourceType": "Patient", "id": "ann", "name": [{"family": "Doe"}], "birthDate": "1950-01-01"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as running:
        yield Site(running)


@pytest.fixture
def api(tmp_path: Path, sqlite_template: Path, site: Site) -> Iterator[Service]:
    shutil.copyfile(sqlite_template, tmp_path / "operational.sqlite")
    with served(tmp_path, declared(site.base_url).model_dump(mode="json")) as service:
        yield service


def sync(api: Service) -> None:
    """A job asked for over HTTP, run as a worker does."""
    asked = {"type": "INCREMENTAL_SYNC", "ehrConnectionId": "clinic"}
    job = api.call("POST", "/api/sync/jobs", "operator", json=asked).json()
    claimed = claim_next(api.home, "host:1:test", lane=Lane.WORKER)
    assert claimed is not None and claimed.job_id == job["id"]
    run_claimed(api.home, claimed.job_id, "host:1:test")
    told = api.get(f"/api/sync/jobs/{job['id']}")
    assert told["status"] == "COMPLETED", told


def test_edits_creations_and_deletions_reach_the_vendor(api: Service, site: Site) -> None:
    site.put(ANN)
    run_sync(api.home, SyncRequest("clinic", JobType.FULL_SYNC))
    path = "/api/records/Patient/ann"
    seen = api.call("GET", path)
    headers = {"Content-Type": FHIR, "If-Match": seen.headers["etag"]}
    edited = seen.content.replace(b"1950-01-01", b"1950-12-31")
    assert api.call("PUT", path, "operator", content=edited, headers=headers).status_code == 200
    new = b'{"resourceType":"Patient","name":[{"family":"New"}]}'
    made = api.call(
        "POST", "/api/records/Patient?connection=clinic", "operator", content=new, headers={"Content-Type": FHIR}
    )
    assert site.held("Patient", "ann")["birthDate"] == "1950-01-01", "nothing goes out by itself"
    sync(api)
    assert site.held("Patient", "ann")["birthDate"] == "1950-12-31"
    [link] = api.get(f"{made.headers['location']}/links")["links"]
    assert site.held("Patient", link["remoteId"])["name"] == [{"family": "New"}]
    [link] = api.get(f"{path}/links")["links"]
    assert link["agreed"] is True and link["changedHere"] is False

    seen = api.call("GET", path)
    gone = api.call("DELETE", path, "operator", headers={"If-Match": seen.headers["etag"]})
    assert gone.status_code == 200
    sync(api)
    assert "ann" not in site.ids("Patient")


def test_persons_are_told_with_the_ids_vendors_know_them_by(api: Service, site: Site) -> None:
    site.put({**ANN, "id": "bob"})
    site.put({**ANN, "id": "eve"})
    run_sync(api.home, SyncRequest("clinic", JobType.FULL_SYNC))
    first = api.get("/api/patients?limit=1&connection=clinic")
    second = api.get("/api/patients", params={"limit": "1000", "cursor": first["next"]})
    persons = [*first["items"], *second["items"]]
    known = {one["remoteId"]: person["patientKey"] for person in persons for one in person["ids"]}
    assert {"bob", "eve", "seed"} <= set(known) and len(persons) == len({p["patientKey"] for p in persons})
    bob = api.get(f"/api/patients/{known['bob']}")
    [record] = bob["records"]
    assert api.call("GET", f"/api/records/Patient/{record['recordId']}").json()["id"] == "bob"
    assert api.call("GET", "/api/patients/nobody").status_code == 404


def test_what_was_refused_is_told_without_its_content(api: Service, site: Site) -> None:
    site.put({**ANN, "id": "odd", "birthDate": "SECRET"})
    run_sync(api.home, SyncRequest("clinic", JobType.FULL_SYNC))
    site.delete("Patient", "odd")
    answer = api.call("GET", "/api/quarantine?connection=clinic")
    [held] = answer.json()["items"]
    assert held["rule"] and held["remedy"] and "birthDate" in held["path"] and "SECRET" not in answer.text
    explained = api.call("GET", f"/api/quarantine/{held['quarantineId']}")
    assert explained.json()["issues"][0]["severity"] == "ERROR" and "SECRET" not in explained.text
    assert api.call("GET", "/api/quarantine/999999").status_code == 404
