"""The FHIR interfaces of vendors that have another one too: read whole and once, changes, refusals, writes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sandbox.loopback import Loopback, serving

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.fhir.resource_types import PATIENT_COMPARTMENT
from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import AuthenticationError, ConfigurationError, NotPermittedError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism, JobStatus, JobType, Provider
from holovitals_pipelines.model.writing import Concurrency, Present
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.catalogue import usual_types
from holovitals_pipelines.settings import Settings, save_connections
from tests.local_http import LOCAL

from .loopback import FastClock, Outcome, at_desk, connection, read_all

pytestmark = pytest.mark.timeout(60)

TYPES = ("Practitioner", "Patient", "Encounter", "Condition", "MedicationRequest", "Observation")
SECRET = {
    "kind": "client_secret",
    "client_id": "holovitals-sandbox",
    "client_secret": {"env": "SECRET"},
}
FACES = ("allscripts_fhir", "athenahealth_fhir", "meditech_fhir", "nextgen_fhir", "nextgen_office_fhir")
KNOBS = {
    "allscripts": {"fhir_filters_by_time": True, "fhir_most_rows": 0, "fhir_redacted": 0},
    "meditech": {"entitled": True, "requires_token": True},
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Loopback]:
    with serving(dialects=("allscripts", "athenahealth", "meditech", "nextgen"), patients=7) as running:
        yield running


@pytest.fixture
def sandbox(shared: Loopback) -> Iterator[Loopback]:
    for vendor, knobs in KNOBS.items():
        shared.sites[vendor].turn(knobs)
    yield shared
    shared.admin("DELETE", "faults")


def vendor_of(face: str) -> str:
    return face.partition("_")[0]


def declared(sandbox: Loopback, face: str, **read: Any) -> ConnectionConfig:
    """A connection as `connections.yaml` would have it; patients come from a list unless a group is given."""
    url = sandbox.admin("GET", "health")["base_urls"][face]
    vendor = vendor_of(face)
    settings = read if "group" in read else {"patient_ids": {"file": "patients"}, **read}
    return connection(
        url,
        provider=vendor,
        format="FHIR_R4",
        auth=SECRET if vendor in ("athenahealth", "meditech") else {"kind": "none"},
        vendor={"practice_id": "195900"},
        write={"enabled": True, "creates": True, "deletes": True},
        read={"page_size": 20, **settings},
    )


def hooks(sandbox: Loopback, face: str, patients: list[str] | None = None) -> dict[str, Any]:
    listed = sandbox.ids(vendor_of(face)) if patients is None else patients

    def resolve(reference: SecretRef) -> str:
        return "holovitals-sandbox-secret" if reference.env == "SECRET" else "\n".join(listed)

    return {"clock": FastClock().as_clock(), "resolve_secret": resolve}


def whole(sandbox: Loopback, face: str, *types: str, **read: Any) -> Outcome:
    return read_all(declared(sandbox, face, **read), ReadRequest(types or TYPES), **hooks(sandbox, face))


def shown(outcome: Outcome) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for body in outcome.bodies:
        resource = orjson.loads(body)
        found.setdefault(resource["resourceType"], []).append(resource["id"])
    return found


def held(sandbox: Loopback, face: str) -> dict[str, list[str]]:
    vendor = vendor_of(face)
    letter = {"Patient": "E"}
    named = "a-195900.{}-{}" if vendor == "athenahealth" else "{1}"
    return {
        kind: sorted(named.format(letter.get(kind, kind), identity) for identity in sandbox.ids(vendor, kind))
        for kind in TYPES
    }


def edit(sandbox: Loopback, vendor: str, kind: str, identity: str, **elements: Any) -> None:
    body = {**sandbox.admin("GET", f"{vendor}/{kind}/{identity}"), **elements}
    sandbox.admin("PUT", f"{vendor}/{kind}/{identity}", json=body)


@pytest.mark.parametrize("face", FACES)
def test_everything_is_read_once(sandbox: Loopback, face: str) -> None:
    outcome = whole(sandbox, face)
    assert outcome.problems == []
    assert {name: sorted(ids) for name, ids in shown(outcome).items()} == held(sandbox, face)
    assert all(done.error is None and done.snapshot for done in outcome.done.values())


@pytest.mark.parametrize("face", ["allscripts_fhir", "athenahealth_fhir", "meditech_fhir", "nextgen_office_fhir"])
def test_a_group_is_exported(sandbox: Loopback, face: str) -> None:
    outcome = whole(sandbox, face, group="sandbox-population", mode="bulk")
    assert {name: sorted(ids) for name, ids in shown(outcome).items()} == held(sandbox, face)
    assert all(done.error is None and done.snapshot for done in outcome.done.values())


@pytest.mark.parametrize("face", ["allscripts_fhir", "athenahealth_fhir", "nextgen_fhir"])
def test_changes_are_found_by_their_time_where_it_filters(sandbox: Loopback, face: str) -> None:
    vendor = vendor_of(face)
    first = sandbox.ids(vendor, "Condition")[0]
    config, since = declared(sandbox, face), datetime.now(UTC) + timedelta(hours=1)

    async def mechanism(adapter: Adapter) -> ChangeMechanism:
        return adapter.mechanisms()["Condition"]

    assert at_desk(config, mechanism, **hooks(sandbox, face)) is ChangeMechanism.LAST_UPDATED
    sandbox.clock.shift(7200)
    try:
        edit(sandbox, vendor, "Condition", first, recordedDate="2026-06-01")
    finally:
        sandbox.clock.shift(-7200)
    request = ReadRequest(("Condition",), since={"Condition": since})
    outcome = read_all(config, request, **hooks(sandbox, face))
    assert [identity.rpartition("n-")[2] for identity in outcome.ids] == [first]
    assert outcome.done["Condition"].snapshot is False


def test_an_export_from_a_moment_on_is_how_meditech_tells_changes(sandbox: Loopback) -> None:
    first = sandbox.ids("meditech", "Condition")[0]
    config = declared(sandbox, "meditech_fhir", group="sandbox-population")
    before = whole(sandbox, "meditech_fhir", "Condition", group="sandbox-population")
    sandbox.clock.shift(60)
    edit(sandbox, "meditech", "Condition", first, recordedDate="2026-06-01")
    request = ReadRequest(("Condition",), since={"Condition": before.done["Condition"].watermark})
    outcome = read_all(config, request, **hooks(sandbox, "meditech_fhir"))
    assert outcome.ids == [first]
    assert outcome.done["Condition"].snapshot is False


def test_a_documented_filter_that_does_nothing_is_not_relied_upon(sandbox: Loopback) -> None:
    sandbox.sites["allscripts"].turn({"fhir_filters_by_time": False})

    async def mechanism(adapter: Adapter) -> ChangeMechanism:
        return adapter.mechanisms()["Condition"]

    config = declared(sandbox, "allscripts_fhir")
    assert at_desk(config, mechanism, **hooks(sandbox, "allscripts_fhir")) is ChangeMechanism.FULL_RESCAN


def test_a_result_that_is_too_large_is_asked_for_in_smaller_pages(sandbox: Loopback) -> None:
    sandbox.sites["allscripts"].turn({"fhir_most_rows": 6})
    outcome = whole(sandbox, "allscripts_fhir")
    assert outcome.problems == []
    assert {name: sorted(ids) for name, ids in shown(outcome).items()} == held(sandbox, "allscripts_fhir")


def test_redacted_entries_are_kept_aside_and_nothing_is_taken_as_gone(sandbox: Loopback) -> None:
    sandbox.sites["allscripts"].turn({"fhir_redacted": 2})
    outcome = whole(sandbox, "allscripts_fhir")
    hidden = sandbox.ids("allscripts", "Observation")[:2]
    assert [orjson.loads(problem.body or b"{}")["id"] for problem in outcome.problems] == hidden
    assert {problem.code for problem in outcome.problems} == {"veradigm.redacted"}
    assert not set(hidden) & set(outcome.ids)
    assert outcome.done["Observation"].snapshot is False and outcome.done["Condition"].snapshot is True
    assert outcome.deletions == []

    async def current(adapter: Adapter) -> Any:
        return await adapter.read_current("Observation", hidden[0])

    with pytest.raises(NotPermittedError) as refused:
        at_desk(declared(sandbox, "allscripts_fhir"), current, **hooks(sandbox, "allscripts_fhir"))
    assert refused.value.code == "veradigm.redacted"


def test_what_was_redacted_before_an_interruption_is_not_forgotten(sandbox: Loopback) -> None:
    sandbox.sites["allscripts"].turn({"fhir_redacted": 1})
    first = whole(sandbox, "allscripts_fhir", "Observation")
    last_page = first.pages[-1].cursor
    request = ReadRequest(("Observation",), cursor=last_page)
    again = read_all(declared(sandbox, "allscripts_fhir"), request, **hooks(sandbox, "allscripts_fhir"))
    assert again.done["Observation"].snapshot is False


def test_a_write_that_is_not_guarded_is_declared_so_and_goes_through(sandbox: Loopback) -> None:
    first = sandbox.ids("allscripts", "Condition")[0]
    sandbox.fault(kind="edit_before_write", dialect="allscripts", method="PUT")

    async def work(adapter: Adapter) -> Concurrency:
        there = await adapter.read_current("Condition", first)
        assert isinstance(there, Present) and there.version is None
        await adapter.update("Condition", first, there.body, version=there.version)
        return adapter.write_capability("Condition").concurrency

    guard = at_desk(declared(sandbox, "allscripts_fhir"), work, **hooks(sandbox, "allscripts_fhir"))
    assert guard is Concurrency.NONE
    assert not any(entry["had_if_match"] for entry in sandbox.admin("GET", "requests?dialect=allscripts"))


def test_no_id_of_a_patient_is_in_the_sandboxes_log(sandbox: Loopback) -> None:
    sandbox.admin("DELETE", "requests")
    for face in FACES:
        whole(sandbox, face, "Patient", "Condition")
        paths = {entry["path"] for entry in sandbox.admin("GET", f"requests?dialect={vendor_of(face)}")}
        named = {path.rpartition("r4/")[2] for path in paths} | {path.rpartition("CP00101/")[2] for path in paths}
        assert "Condition" in named and (vendor_of(face) == "athenahealth" or "Patient/{id}" in named)
        assert not any(identity in path for identity in sandbox.ids(vendor_of(face)) for path in paths)


def test_a_documents_content_is_found_where_the_document_says(sandbox: Loopback) -> None:
    outcome = whole(sandbox, "athenahealth_fhir", "DocumentReference")
    attachments = [orjson.loads(body)["content"][0]["attachment"] for body in outcome.bodies]
    address = next(one["url"] for one in attachments if "url" in one)

    async def fetched(adapter: Any) -> bytes:
        content = await adapter.fetch_attachment(address, "text/plain", limit=10_000)
        return bytes(content.body)

    text = at_desk(declared(sandbox, "athenahealth_fhir"), fetched, **hooks(sandbox, "athenahealth_fhir"))
    assert b"Reason: " in text


def test_veradigm_is_told_which_fhir_is_wanted(sandbox: Loopback) -> None:
    url = sandbox.admin("GET", "health")["base_urls"]["allscripts_fhir"]
    assert LOCAL.get(f"{url}/Practitioner").status_code == 406
    assert whole(sandbox, "allscripts_fhir", "Practitioner").done["Practitioner"].error is None


@pytest.mark.parametrize("face", ["allscripts_fhir", "meditech_fhir", "nextgen_fhir"])
def test_without_a_patient_nothing_is_asked_where_every_search_wants_one(sandbox: Loopback, face: str) -> None:
    outcome = read_all(declared(sandbox, face), ReadRequest(("Condition",)), **hooks(sandbox, face, []))
    error = outcome.done["Condition"].error
    assert isinstance(error, ConfigurationError) and error.code == "fhir_face.no_population"


def test_athenahealth_wants_a_practice(sandbox: Loopback) -> None:
    config = declared(sandbox, "athenahealth_fhir").model_copy(update={"vendor": connection("http://x").vendor})
    with pytest.raises(ConfigurationError) as refused:
        read_all(config, ReadRequest(("Patient",)), **hooks(sandbox, "athenahealth_fhir"))
    assert refused.value.code == "athenahealth.no_practice"


def test_a_client_that_is_not_entitled_is_told_so_and_a_wrong_secret_too(sandbox: Loopback) -> None:
    config, given = declared(sandbox, "meditech_fhir"), hooks(sandbox, "meditech_fhir")
    sandbox.sites["meditech"].turn({"entitled": False})
    with pytest.raises(AuthenticationError) as unentitled:
        read_all(config, ReadRequest(("Patient",)), **given)
    with pytest.raises(AuthenticationError) as unknown:
        read_all(config, ReadRequest(("Patient",)), **{**given, "resolve_secret": lambda reference: "guessed"})
    assert (unentitled.value.code, unknown.value.code) == ("auth.unauthorized_client", "auth.invalid_client")
    assert "entitle" in unentitled.value.remedy and "entitle" not in unknown.value.remedy


@pytest.mark.parametrize(
    ("face", "kind", "expected"),
    [
        ("allscripts_fhir", "Condition", (True, True)),
        ("allscripts_fhir", "Patient", (False, False)),
        ("athenahealth_fhir", "QuestionnaireResponse", (True, False)),
        ("athenahealth_fhir", "Condition", (False, False)),
        ("meditech_fhir", "Communication", (True, False)),
        ("meditech_fhir", "QuestionnaireResponse", (True, True)),
        ("nextgen_fhir", "Condition", (False, False)),
        ("nextgen_office_fhir", "QuestionnaireResponse", (False, False)),
    ],
)
def test_only_what_a_vendor_documents_may_be_written(
    sandbox: Loopback, face: str, kind: str, expected: tuple[bool, bool]
) -> None:
    async def offered(adapter: Adapter) -> tuple[bool, bool, bool]:
        capability = adapter.write_capability(kind)
        return capability.create, capability.update, capability.delete

    assert at_desk(declared(sandbox, face), offered, **hooks(sandbox, face)) == (*expected, False)


@pytest.mark.parametrize(
    ("face", "kind", "update"),
    [("allscripts_fhir", "Condition", True), ("meditech_fhir", "QuestionnaireResponse", True),
     ("athenahealth_fhir", "QuestionnaireResponse", False)],
)  # fmt: skip
def test_what_may_be_written_is_written(sandbox: Loopback, face: str, kind: str, update: bool) -> None:
    patient = held(sandbox, face)["Patient"][0]
    body: dict[str, Any] = {"resourceType": kind, "subject": {"reference": f"Patient/{patient}"}}
    body |= {"status": "completed"} if kind == "QuestionnaireResponse" else {"code": {"text": "Asthma"}}

    async def work(adapter: Adapter) -> Present:
        made = await adapter.create(kind, orjson.dumps(body))
        if update:
            after = orjson.dumps({**body, "id": made.remote_id, "language": "en"})
            await adapter.update(kind, made.remote_id, after, version=made.version)
        current = await adapter.read_current(kind, made.remote_id)
        assert isinstance(current, Present)
        return current

    stored = orjson.loads(at_desk(declared(sandbox, face), work, **hooks(sandbox, face)).body)
    assert stored["subject"] == body["subject"]
    assert stored.get("language") == ("en" if update else None)


def test_the_usual_types_are_those_of_the_interface(sandbox: Loopback) -> None:
    for face in FACES:
        provider = Provider(vendor_of(face))
        usual = usual_types(provider, "FHIR_R4")
        assert "Observation" in usual and "Patient" in usual
        assert usual != usual_types(provider)
        assert "Group" not in usual and set(usual) - set(PATIENT_COMPARTMENT) >= {"Practitioner"}


def test_a_connection_with_format_fhir_is_synced_and_written_back_as_fhir(sandbox: Loopback, tmp_path: Path) -> None:
    patients = tmp_path / "patients"
    patients.write_text("\n".join(sandbox.ids("allscripts")))
    config = declared(sandbox, "allscripts_fhir", patient_ids={"file": str(patients)})
    config = config.model_copy(update={"resource_types": ["Patient", "Condition"]})
    save_connections(tmp_path / "connections.yaml", [config])
    with open_home(Settings(home=tmp_path)) as home:
        report = run_sync(home, SyncRequest("clinic", JobType.FULL_SYNC))
        assert report.status is JobStatus.COMPLETED, report
        created = {kind: one.created for kind, one in report.outcomes.items() if one.created}
        assert created == {kind: len(sandbox.ids("allscripts", kind)) for kind in ("Patient", "Condition")}
        condition = sandbox.ids("allscripts", "Condition")[0]
        seen = record_of(home, "clinic", "Condition", condition)
        body = orjson.dumps({**orjson.loads(seen.body), "note": [{"text": "seen by us"}]})
        edit_record(home.database, seen.record_id, body, seen_version=seen.version, actor="dr")
        assert run_sync(home, SyncRequest("clinic")).status is JobStatus.COMPLETED
    assert sandbox.admin("GET", f"allscripts/Condition/{condition}")["note"] == [{"text": "seen by us"}]
