"""What the demo checks both stores with: it has to see what is not so, or its exit code would say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holovitals_pipelines.cli.demo.at_vendor import AtVendor
from holovitals_pipelines.cli.demo.both_sides import Compared, compare_stores
from holovitals_pipelines.cli.demo.stage import WAITING, cast_of
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import delete_record, edit_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.process import start_sandbox
from holovitals_pipelines.settings import Settings, save_connections
from tests.end_to_end.resources import line
from tests.local_http import LOCAL

PEOPLE = ("p1", "p2", "p3")


def patient(identity: str) -> Document:
    return {"resourceType": "Patient", "id": identity, "name": [{"family": "Doe"}], "birthDate": "1970-01-01"}


def born(year: int) -> Document:
    return {"birthDate": f"{year}-01-01"}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtVendor]:
    folder = tmp_path_factory.mktemp("vendor")
    (folder / "people.ndjson").write_bytes(b"".join(line(patient(name)) + b"\n" for name in PEOPLE))
    with start_sandbox(dialects=["fhir"], data=folder, settings={"fhir": {"polls": 0}}) as running:
        yield AtVendor(running.admin_url, "fhir")


@pytest.fixture
def begun(vendor: AtVendor, home: Path) -> Iterator[Home]:
    """Both sides hold the three people, in agreement."""
    for identity in PEOPLE:
        url = f"{vendor.admin_url}/fhir/Patient/{identity}"
        LOCAL.put(url, content=line(patient(identity))).raise_for_status()
    base = vendor.admin_url.replace("_sandbox", "fhir/r4")
    declared = {
        "name": "fhir",
        "provider": "fhir",
        "base_url": base,
        "resource_types": ["Patient"],
        "read": {"mode": "search"},
        "write": {"enabled": True, "read_only_elements": {"Patient": ["gender"]}},
    }
    save_connections(home / "connections.yaml", [ConnectionConfig.model_validate(declared)])
    with open_home(Settings(home=home)) as opened:
        assert run_sync(opened, SyncRequest("fhir")).succeeded
        yield opened


def edit(home: Home, identity: str, changes: Document) -> None:
    stored = record_of(home, "fhir", "Patient", identity)
    body = write_document(read_document(stored.body) | changes)
    edit_record(home.database, stored.record_id, body, seen_version=stored.version, actor="dr")


def counts(compared: Compared) -> tuple[int, ...]:
    return (compared.linked, compared.equal, compared.standing, compared.held, compared.apart, compared.only_there)


def test_sides_that_agree_are_equal(begun: Home, vendor: AtVendor) -> None:
    assert counts(compare_stores(begun, vendor)) == (3, 3, 0, 0, 0, 0)


def test_an_edit_that_has_not_travelled_is_apart_whichever_side_made_it(begun: Home, vendor: AtVendor) -> None:
    edit(begun, "p1", {"language": "en"})
    vendor.edit("Patient", "p2", lambda held: held.update(language="en"))
    assert counts(compare_stores(begun, vendor)) == (3, 1, 0, 0, 2, 0)


def test_what_one_side_alone_holds_is_apart_or_only_there(begun: Home, vendor: AtVendor) -> None:
    stored = record_of(begun, "fhir", "Patient", "p1")
    delete_record(begun.database, stored.record_id, seen_version=stored.version, actor="dr")
    assert counts(compare_stores(begun, vendor)) == (3, 2, 0, 0, 1, 0)
    vendor.delete("Patient", "p2")
    assert counts(compare_stores(begun, vendor)) == (3, 1, 0, 0, 2, 0)
    LOCAL.put(f"{vendor.admin_url}/fhir/Patient/p4", content=line(patient("p4"))).raise_for_status()
    assert counts(compare_stores(begun, vendor)) == (3, 1, 0, 0, 2, 1)
    vendor.delete("Patient", "p4")


def test_only_a_listed_element_excuses_a_standing_difference(begun: Home, vendor: AtVendor) -> None:
    edit(begun, "p3", {"gender": "female"})
    run_sync(begun, SyncRequest("fhir"))
    assert compare_stores(begun, vendor).standing == 1
    vendor.edit("Patient", "p3", lambda held: held.update(language="en"))
    compared = compare_stores(begun, vendor)
    assert (compared.standing, compared.apart) == (0, 1)


def test_an_open_conflict_excuses_a_difference_and_its_patient_is_cast_as_who_waits(
    begun: Home, vendor: AtVendor
) -> None:
    roles = {"Patient": ("pulled", WAITING)}
    assert cast_of(begun, "fhir", roles) == {"pulled": "p1", WAITING: "p2"}
    edit(begun, "p1", born(1971))
    vendor.edit("Patient", "p1", lambda held: held.update(born(1972)))
    run_sync(begun, SyncRequest("fhir"))
    assert counts(compare_stores(begun, vendor)) == (3, 2, 0, 1, 0, 0)
    assert cast_of(begun, "fhir", roles) == {"pulled": "p2", WAITING: "p1"}
    assert cast_of(begun, "fhir", {"Patient": ("pulled", "pushed", "merged")}) is None, "who waits plays no other role"


def test_writes_are_counted_from_the_vendors_own_log(begun: Home, vendor: AtVendor) -> None:
    vendor.forget_requests()
    run_sync(begun, SyncRequest("fhir"))
    assert vendor.writes() == 0
    edit(begun, "p3", {"language": "de"})
    run_sync(begun, SyncRequest("fhir"))
    assert vendor.writes() == 1
