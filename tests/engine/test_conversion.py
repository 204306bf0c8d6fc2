"""Jobs whose records are made by rules: what lands is what was sent, and what is stored is what the rules make."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.conversion import Conversions
from holovitals_pipelines.engine.converting_adapter import converting
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.engine.rule_library import activate, deactivate, save_rule_set
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import NotPermittedError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import Dataset, JobStatus, JobType, Provider
from holovitals_pipelines.model.writing import Present, UnitWrite
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.settings import Settings, save_connections
from holovitals_pipelines.store.documents import get_document
from holovitals_pipelines.store.parts import parts_of
from holovitals_pipelines.store.tables import quarantine, watermark
from tests.engine.conftest import CONNECTION, Sync, Vendor, patient
from tests.engine.toy_vendor import ToyVendor

RULES = """
ruleSet: clinic/patient
version: {version}
provider: fhir
resourceType: Patient
sourceFormat: FHIR_R4
options: {{baseOnSource: true, strictMode: {strict}{more}}}
source: {{sex: gender, family: "name.first().family"}}
rules:
  - {{id: gender, type: VALUE_MAPPING, source: sex, map: {map}, target: gender}}
  - {{id: upper, type: CALCULATION, expr: "{expr}", target: "name[0].text"}}
"""
MAP = "{female: female, male: male, F: female, M: male}"


def use(
    home: Home,
    version: str = "1.0.0",
    *,
    strict: bool = True,
    expr: str = "upper(family)",
    more: str = "",
    map_: str = MAP,
) -> None:
    text = RULES.format(version=version, strict=str(strict).lower(), expr=expr, more=more, map=map_)
    save_rule_set(home.database, text, "patient.yml", "ann", "for a test")
    activate(home.database, "clinic/patient", version, "ann")


def stored(home: Home, remote_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record_of(home, "clinic", "Patient", remote_id).body)
    return found


def no_vendor(_: ConnectionConfig) -> Adapter:
    raise AssertionError("a replay calls no vendor")


def replay(home: Home) -> JobReport:
    return run_sync(home, SyncRequest("clinic", JobType.RESOURCE_SYNC, replay=True), adapter_for=no_vendor)


def rows_of(home: Home, job_id: str, dataset: Dataset) -> list[dict[str, Any]]:
    with home.database.read() as transaction:
        paths = [part.path for part in parts_of(transaction, job_id, dataset, "Patient")]
    return home.landing.open_parts(paths).read_all().to_pylist() if paths else []


def test_what_lands_is_what_was_sent_and_what_is_stored_is_what_the_rules_make(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    use(opened)
    sent = [patient(1, gender="F"), patient(2, gender="M")]
    vendor.holds("Patient", sent)

    report = sync()

    assert (report.status, report.total.created, report.total.unaccounted) == (JobStatus.COMPLETED, 2, 0)
    assert [json.loads(row["body"]) for row in rows_of(opened, report.job_id, Dataset.EXTRACT)] == sent
    assert stored(opened, "p1") == {**sent[0], "gender": "female", "name": [{"family": "Doe", "text": "DOE"}]}
    [rule_set] = {row["rule_set"] for row in rows_of(opened, report.job_id, Dataset.RECORDS)}
    assert len(rule_set) == 64


def test_a_second_full_sync_finds_everything_unchanged(opened: Home, vendor: Vendor, sync: Sync) -> None:
    use(opened)
    vendor.holds("Patient", [patient(n, gender="F") for n in range(120)])
    sync()

    total = sync().total

    assert (total.extracted, total.unchanged, total.updated, total.unaccounted) == (120, 120, 0, 0)


def test_a_rejected_record_is_held_as_it_was_sent_and_goes_on_when_the_rules_are_mended(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    use(opened)
    vendor.holds("Patient", [patient(1, gender="SECRET"), patient(2, gender="F")])

    report = sync()

    assert (report.total.created, report.total.quarantined, report.total.unaccounted) == (1, 1, 0)
    told = " ".join(f"{error.code} {error.message} {error.remedy}" for error in report.errors)
    assert "gender: " in told and "SECRET" not in told
    with opened.database.read() as transaction:
        held = transaction.execute(sa.select(quarantine)).one()
        assert json.loads(get_document(transaction, bytes(held.document_hash)))["gender"] == "SECRET"
        assert (held.remote_id, held.state, held.rule) == ("p1", "held", "transform.rejected")

    use(opened, "1.1.0", map_=MAP.replace("}", ", SECRET: unknown}"))
    assert sync().total.created == 1
    assert stored(opened, "p1")["gender"] == "unknown"
    with opened.database.read() as transaction:
        assert transaction.execute(sa.select(quarantine.c.state)).scalar_one() == "superseded"


def test_not_strict_keeps_the_record_and_lists_the_finding_without_its_value(
    opened: Home, vendor: Vendor, sync: Sync
) -> None:
    use(opened, strict=False)
    vendor.holds("Patient", [patient(1, gender="SECRET"), patient(2, gender="F"), patient(3, gender="OTHER")])

    report = sync()

    assert report.total.quarantined + report.total.created == 3
    found = rows_of(opened, report.job_id, Dataset.FINDINGS)
    assert {(row["remote_id"], row["place"]) for row in found} == {("p1", "gender"), ("p3", "gender")}
    assert "SECRET" not in str(report.errors) + str(found)


def test_a_batch_beyond_its_threshold_goes_nowhere_and_is_read_again(opened: Home, vendor: Vendor, sync: Sync) -> None:
    use(opened, more=", errorThreshold: 0.25")
    bad = [patient(n, gender="?") for n in range(2)]
    vendor.holds("Patient", [*bad, *(patient(n, gender="F") for n in range(2, 5))])

    report = sync()

    assert report.status is JobStatus.FAILED and report.total.created == 0
    assert "transform.threshold" in {error.code for error in report.errors}
    with opened.database.read() as transaction:
        assert transaction.execute(sa.select(sa.func.count()).select_from(watermark)).scalar_one() == 0

    vendor.holds("Patient", [*bad[:1], *(patient(n, gender="F") for n in range(1, 5))])
    assert (sync().total.created, sync().total.quarantined) == (4, 1)


def test_changed_rules_are_replayed_without_the_vendor(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(n, gender="male") for n in range(60)])
    sync()
    use(opened)

    report = replay(opened)

    total = report.total
    assert (report.status, total.extracted, total.updated, total.unaccounted) == (JobStatus.COMPLETED, 60, 60, 0)
    assert stored(opened, "p7")["name"] == [{"family": "Doe", "text": "DOE"}]
    assert replay(opened).total.unchanged == 60
    use(opened, "2.0.0", expr="lower(family)")
    assert replay(opened).total.updated == 60
    assert stored(opened, "p7")["name"][0]["text"] == "doe"
    deactivate(opened.database, "clinic/patient", "ann")
    assert replay(opened).total.updated == 60
    assert stored(opened, "p7") == patient(7, gender="male")
    assert sync().total.unchanged == 60


def test_a_replay_goes_by_the_newest_reading_of_every_job(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, "Old"), patient(2)])
    sync()
    vendor.holds("Patient", [patient(1, "New"), patient(2)])
    sync()
    use(opened)

    assert replay(opened).total.updated == 2
    assert stored(opened, "p1")["name"] == [{"family": "New", "text": "NEW"}]


def test_a_replay_takes_nothing_back_that_was_edited_here(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, gender="male")])
    sync()
    before = record_of(opened, "clinic", "Patient", "p1")
    edited = {**json.loads(before.body), "birthDate": "1950-01-01"}
    edit_record(
        opened.database, before.record_id, json.dumps(edited).encode(), seen_version=before.version, actor="ann"
    )
    use(opened)

    replay(opened)
    sync()

    assert stored(opened, "p1")["birthDate"] == "1950-01-01"
    assert stored(opened, "p1")["name"][0]["text"] == "DOE"


def test_a_replay_leaves_out_what_was_read_one_by_one_since(opened: Home, vendor: Vendor, sync: Sync) -> None:
    vendor.holds("Patient", [patient(1, "Landed"), patient(2)])
    sync()
    vendor.readable = [patient(1, "Later")]
    vendor.deletions = {"Patient": ["p1"]}  # a suspicion, for which p1 is read by itself
    sync(JobType.INCREMENTAL_SYNC)
    assert stored(opened, "p1")["name"][0]["family"] == "Later"
    use(opened)

    report = replay(opened)

    assert stored(opened, "p1")["name"][0]["family"] == "Later"
    assert "replay.outdated" in {error.code for error in report.errors}
    assert report.total.unaccounted == 0


class OneByOne(ToyVendor):
    """The half of an adapter that reads and writes single resources."""

    provider = Provider.FHIR


def test_a_server_of_an_older_version_becomes_r4_and_what_is_not_convertible_is_held(
    settings: Settings, home: Path, vendor: Vendor
) -> None:
    save_connections(home / "connections.yaml", [CONNECTION.model_copy(update={"format": "FHIR_STU3"})])
    condition = {
        "resourceType": "Condition", "id": "c1", "clinicalStatus": "active", "code": {"text": "Asthma"},
        "subject": {"reference": "Patient/p1"}, "assertedDate": "2017-03-04",
    }  # fmt: skip
    vendor.holds("Condition", [condition])
    vendor.holds("Basic", [{"resourceType": "Basic", "id": "b1", "code": {"text": "x"}}])

    with open_home(settings) as opened:
        report = run_sync(opened, SyncRequest("clinic", JobType.FULL_SYNC), adapter_for=vendor.source)
        stored = json.loads(record_of(opened, "clinic", "Condition", "c1").body)

    assert (report.total.created, report.total.quarantined, report.total.unaccounted) == (1, 1, 0)
    assert stored["recordedDate"] == "2017-03-04"
    assert stored["clinicalStatus"]["coding"][0]["code"] == "active"
    assert "version.unsupported_type" in {error.code for error in report.errors}


@pytest.fixture
def toy() -> OneByOne:
    toy = OneByOne()
    toy.put("Patient", "p1", patient(1, gender="F"))
    return toy


OUTBOUND = """
ruleSet: clinic/patient-out
version: 1.0.0
provider: fhir
resourceType: Patient
direction: OUTBOUND
sourceFormat: FHIR_R4
targetFormat: FHIR_R4
options: {baseOnSource: true, includeMetadata: false, validateOutput: false}
source: {sex: gender}
rules:
  - {id: gender, type: VALUE_MAPPING, source: sex, map: {female: F, male: M}, target: gender}
"""


def test_one_by_one_a_resource_is_shown_as_the_rules_make_it_and_sent_as_they_lead_out(
    opened: Home, toy: OneByOne
) -> None:
    use(opened)
    save_rule_set(opened.database, OUTBOUND, "out.yml", "ann", "")
    activate(opened.database, "clinic/patient-out", "1.0.0", "ann")
    adapter = converting(cast(Adapter, toy), Conversions(opened.database, CONNECTION))

    current = asyncio.run(adapter.read_current("Patient", "p1"))

    assert isinstance(current, Present) and json.loads(current.body)["gender"] == "female"
    capability = adapter.write_capability("Patient")
    assert (capability.of("gender"), capability.of("name")) == (UnitWrite.WRITABLE, UnitWrite.READ_ONLY)
    changed = {**json.loads(current.body), "gender": "male"}
    written = asyncio.run(adapter.update("Patient", "p1", json.dumps(changed).encode(), version=current.version))
    assert toy.document("Patient", "p1")["gender"] == "M"
    assert written.stored is not None and json.loads(written.stored)["gender"] == "male"
    named = {**patient(2, gender="F"), "identifier": [{"system": "urn:a", "value": "7"}]}
    toy.put("Patient", "p2", named)
    [found] = asyncio.run(adapter.find("Patient", [("urn:a", "7")]))
    assert json.loads(found.body)["gender"] == "female"


def test_what_would_be_no_sound_fhir_is_not_sent(opened: Home, toy: OneByOne) -> None:
    use(opened)
    broken = OUTBOUND.replace("map: {female: F, male: M}, target: gender", "map: {female: F}, target: birthDate")
    broken = broken.replace(", validateOutput: false", "")
    save_rule_set(opened.database, broken, "out.yml", "ann", "")
    activate(opened.database, "clinic/patient-out", "1.0.0", "ann")
    adapter = converting(cast(Adapter, toy), Conversions(opened.database, CONNECTION))
    current = asyncio.run(adapter.read_current("Patient", "p1"))
    assert isinstance(current, Present)

    with pytest.raises(NotPermittedError, match="birthDate"):
        asyncio.run(adapter.update("Patient", "p1", current.body, version=current.version))
    assert toy.writes == 0


def test_a_type_that_rules_change_on_the_way_in_is_read_only_without_rules_for_the_way_out(
    opened: Home, toy: OneByOne
) -> None:
    use(opened)
    adapter = converting(cast(Adapter, toy), Conversions(opened.database, CONNECTION))

    assert not adapter.write_capability("Patient").writes
    assert adapter.write_capability("Observation").writes
    with pytest.raises(NotPermittedError, match="no rules lead"):
        asyncio.run(adapter.update("Patient", "p1", b"{}", version="1"))
    assert toy.writes == 0
