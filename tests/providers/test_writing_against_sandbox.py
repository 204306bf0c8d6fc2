"""Writes at our simulated vendors, with everything that can go wrong with a write; requests counted at the vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    ConfigurationError,
    DuplicateError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
    VersionConflictError,
)
from holovitals_pipelines.model.writing import Absent, Concurrency, Present, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.refusals import Write
from holovitals_pipelines.providers.write_overview import write_overview
from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from tests.local_http import LOCAL

from .loopback import FastClock, at_desk

pytestmark = pytest.mark.timeout(120)

ALL = {"enabled": True, "creates": True, "deletes": True}
OURS = ("urn:holovitals:sync", "link-1")
CERNER_LIKE = {"require_if_match": True, "missing_status": 412, "stale_status": 409, "return_body": False}
AS_IT_WAS = {
    "versioning": "versioned", "etags": True, "require_if_match": False, "missing_status": 400, "stale_status": 412,
    "read_only": False, "immutable": [], "lossy": {}, "return_body": True, "delete_status": 204,
}  # fmt: skip


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def running(credentials: DemoCredentials) -> Iterator[RunningSandbox]:
    with start_sandbox(patients=8, credentials=credentials, smart=["epic"]) as process:
        yield process


class Vendor:
    """One simulated vendor, from behind: its knobs, its faults, its clinicians, and what it was asked."""

    def __init__(self, running: RunningSandbox, dialect: str, auth: dict[str, Any]) -> None:
        self.running = running
        self.dialect = dialect
        self.auth = auth

    def admin(self, method: str, path: str, **more: Any) -> Any:
        answer = LOCAL.request(method, f"{self.running.admin_url}/{path}", **more)
        assert answer.is_success, answer.text
        return answer.json()

    def turn(self, **knobs: Any) -> None:
        self.admin("POST", f"{self.dialect}/settings", json=knobs)

    def fault(self, kind: str, **declared: Any) -> None:
        self.admin("POST", "faults", json={"kind": kind, "dialect": self.dialect, **declared})

    def put(self, kind: str, identity: str, **content: Any) -> None:
        self.admin("PUT", f"{self.dialect}/{kind}/{identity}", json={"resourceType": kind, "id": identity, **content})

    def held(self, kind: str, identity: str) -> dict[str, Any]:
        return self.admin("GET", f"{self.dialect}/{kind}/{identity}")  # type: ignore[no-any-return]

    def count(self, kind: str) -> int:
        return int(self.admin("GET", "counts")[self.dialect].get(kind, 0))

    def patient(self) -> str:
        return self.running.patient_ids(self.dialect)[0]

    def writes(self) -> list[tuple[str, str, int | None]]:
        log = self.admin("GET", f"requests?dialect={self.dialect}")
        seen = [(row["method"], row["path"], row["status"]) for row in log if row["path"] != "oauth2/token"]
        return [row for row in seen if row[0] != "GET"]

    def config(self, **settings: Any) -> ConnectionConfig:
        return ConnectionConfig.model_validate(
            {
                "name": "clinic",
                "provider": self.dialect,
                "base_url": self.running.base_urls[self.dialect],
                "auth": self.auth,
                "read": {"max_retries": 3, "retry_delay_ms": 1},
                "write": ALL,
                **settings,
            }
        )

    def desk(self, work: Callable[[Adapter], Any], **settings: Any) -> Any:
        return at_desk(self.config(**settings), work, clock=FastClock().as_clock(), resolve_secret=_secret)


def _secret(reference: SecretRef) -> str:
    assert reference.file is not None
    return Path(reference.file).read_text()


@pytest.fixture
def fhir(running: RunningSandbox) -> Iterator[Vendor]:
    vendor = Vendor(running, "fhir", {"kind": "none"})
    vendor.admin("DELETE", "requests")
    yield vendor
    vendor.admin("DELETE", "faults")
    vendor.turn(**AS_IT_WAS)


@pytest.fixture
def epic(running: RunningSandbox, credentials: DemoCredentials) -> Iterator[Vendor]:
    keys = [{"file": str(credentials.rsa_key)}]
    vendor = Vendor(running, "epic", {"kind": "smart_backend", "client_id": credentials.client_id, "keys": keys})
    vendor.admin("DELETE", "requests")
    yield vendor
    vendor.admin("DELETE", "faults")
    vendor.turn(unmapped_codes=[], break_the_glass=0)


def basic(identity: str, text: str, **more: Any) -> bytes:
    return orjson.dumps({"resourceType": "Basic", "id": identity, "code": {"text": text}, **more})


async def there(desk: Adapter, kind: str, identity: str) -> Present:
    current = await desk.read_current(kind, identity)
    assert isinstance(current, Present)
    return current


# versions


def test_a_stale_update_is_a_conflict_and_writes_nothing(fhir: Vendor) -> None:
    fhir.put("Basic", "stale", code={"text": "theirs"})

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "stale")
        fhir.put("Basic", "stale", code={"text": "theirs, edited"})
        with pytest.raises(VersionConflictError) as conflict:
            await desk.update("Basic", "stale", basic("stale", "ours"), version=seen.version)
        assert (conflict.value.code, conflict.value.status) == ("write.stale", 412)

    fhir.desk(work)
    assert fhir.held("Basic", "stale")["code"] == {"text": "theirs, edited"}
    assert fhir.writes() == [("PUT", "Basic/{id}", 412)]


def test_of_two_writers_over_one_version_exactly_one_is_told_that_it_lost(fhir: Vendor) -> None:
    fhir.put("Basic", "shared", code={"text": "before"})

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "shared")
        first = await desk.update("Basic", "shared", basic("shared", "first"), version=seen.version)
        with pytest.raises(VersionConflictError):
            await desk.update("Basic", "shared", basic("shared", "second"), version=seen.version)
        again = await desk.update("Basic", "shared", basic("shared", "second, decided anew"), version=first.version)
        assert again.version != first.version

    fhir.desk(work)
    assert fhir.held("Basic", "shared")["code"]["text"] == "second, decided anew"


def test_f10_an_edit_between_our_read_and_our_write_is_a_conflict(fhir: Vendor) -> None:
    fhir.put("Basic", "edited", code={"text": "before"}, author={"display": "A"})
    fhir.fault("edit_before_write", method="PUT", path="Basic/{id}", element="author", value={"display": "B"})

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "edited")
        with pytest.raises(VersionConflictError):
            await desk.update("Basic", "edited", basic("edited", "ours"), version=seen.version)

    fhir.desk(work)
    held = fhir.held("Basic", "edited")
    assert (held["author"], held["code"]) == ({"display": "B"}, {"text": "before"})


@pytest.mark.parametrize(
    "knobs", [CERNER_LIKE, {"require_if_match": True, "missing_status": 428}, {"require_if_match": True}]
)
def test_a17_servers_that_demand_a_version_are_told_apart_from_conflicts(fhir: Vendor, knobs: dict[str, Any]) -> None:
    fhir.turn(**knobs)
    fhir.put("Basic", "guarded", code={"text": "before"})

    async def work(desk: Adapter) -> None:
        with pytest.raises(ConfigurationError) as missing:
            await desk.update("Basic", "guarded", basic("guarded", "ours"), version=None)
        assert missing.value.code == "write.condition_missing"
        seen = await there(desk, "Basic", "guarded")
        written = await desk.update("Basic", "guarded", basic("guarded", "ours"), version=seen.version)
        with pytest.raises(VersionConflictError):
            await desk.update("Basic", "guarded", basic("guarded", "ours again"), version=seen.version)
        await desk.delete("Basic", "guarded", version=written.version)

    fhir.desk(work)


def test_f13_a_server_without_versions_is_written_unguarded_and_says_so(fhir: Vendor) -> None:
    fhir.turn(etags=False, versioning="versioned-update")
    fhir.put("Basic", "unversioned", code={"text": "before"})

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "unversioned")
        assert seen.version is None and seen.last_updated is not None
        assert desk.write_capability("Basic").concurrency is Concurrency.NONE, "whatever it declares"
        written = await desk.update("Basic", "unversioned", basic("unversioned", "ours"), version=seen.version)
        assert written.version is None and written.stored is not None

    fhir.desk(work)
    assert fhir.held("Basic", "unversioned")["code"]["text"] == "ours"


# what is stored


def test_a46_unknown_fields_and_digits_come_back_byte_for_byte(fhir: Vendor) -> None:
    inside = b'"x_vendor":{"a":1.500,"b":[0.10,1e3]},"code":{"text":"\\u00e9"}'

    async def work(desk: Adapter) -> None:
        made = await desk.create("Basic", b'{"resourceType":"Basic","id":"ignored",%s}' % inside)
        assert made.stored is not None and inside in made.stored and made.remote_id != "ignored"
        seen = await there(desk, "Basic", made.remote_id)
        assert seen.body == made.stored and seen.version == made.version
        again = await desk.update("Basic", made.remote_id, seen.body, version=seen.version)
        assert again.stored is not None and inside in again.stored

    fhir.desk(work)


def test_f12_what_is_stored_is_what_the_server_shows_and_not_what_was_sent(fhir: Vendor) -> None:
    fhir.turn(
        immutable=["Patient.birthDate"], lossy={"drop": ["Patient.maritalStatus"], "lower": ["Patient.name.family"]}
    )
    fhir.put("Patient", "lossy", birthDate="1970-01-01", gender="female")

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Patient", "lossy")
        ours = {
            "resourceType": "Patient", "id": "lossy", "birthDate": "1971-02-02", "gender": "male",
            "maritalStatus": {"text": "M"}, "name": [{"family": "DOE", "given": ["JO"]}],
        }  # fmt: skip
        written = await desk.update("Patient", "lossy", orjson.dumps(ours), version=seen.version)
        assert written.stored is not None
        stored = orjson.loads(written.stored)
        assert (stored["birthDate"], stored["gender"]) == ("1970-01-01", "male")
        assert stored["name"] == [{"family": "doe", "given": ["JO"]}] and "maritalStatus" not in stored
        assert (await there(desk, "Patient", "lossy")).body == written.stored

    fhir.desk(work)


@pytest.mark.parametrize("versioning", ["versioned", "versioned-update"])
def test_an_empty_success_shows_nothing_stored_and_is_guarded_all_the_same(fhir: Vendor, versioning: str) -> None:
    fhir.turn(versioning=versioning, **CERNER_LIKE)

    async def work(desk: Adapter) -> None:
        made = await desk.create("Basic", basic("x", "first"))
        assert made == Written(made.remote_id, "1", None) and made.remote_id
        written = await desk.update("Basic", made.remote_id, basic(made.remote_id, "second"), version="1")
        assert written == Written(made.remote_id, "2", None)

    fhir.desk(work)


# lost replies


def test_f11_a_lost_reply_on_a_create_never_becomes_a_second_resource(fhir: Vendor) -> None:
    before = fhir.count("Basic")
    fhir.fault("drop_after_commit", method="POST", path="Basic")
    body = basic("x", "once", identifier=[{"system": OURS[0], "value": OURS[1]}])

    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Basic").keeps_identifiers
        with pytest.raises(OutcomeUnknownError):
            await desk.create("Basic", body, [OURS])
        [left] = await desk.find("Basic", [OURS])
        again = await desk.create("Basic", body, [OURS])
        assert again.remote_id == left.remote_id and again.stored == left.body

    fhir.put("Basic", "other", identifier=[{"system": OURS[0], "value": "another"}])
    fhir.desk(work)
    assert fhir.count("Basic") == before + 2
    assert [row[2] for row in fhir.writes()] == [None, 200]


def test_a_create_that_never_arrived_leaves_nothing_to_be_found(fhir: Vendor) -> None:
    before = fhir.count("Basic")
    fhir.fault("drop", method="POST", path="Basic")
    mine = ("urn:holovitals:sync", "link-2")

    async def work(desk: Adapter) -> None:
        with pytest.raises(OutcomeUnknownError):
            await desk.create("Basic", basic("x", "x", identifier=[{"system": mine[0], "value": mine[1]}]), [mine])
        assert await desk.find("Basic", [mine]) == []

    fhir.desk(work)
    assert fhir.count("Basic") == before and len(fhir.writes()) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after_commit"},
        {"kind": "status_after_commit", "status": 500},
        {"kind": "status_after_commit", "status": 502},
        {"kind": "status_after_commit", "status": 202},
        {"kind": "cut"},
        {"kind": "truncated"},
        {"kind": "html"},
        {"kind": "status", "status": 503},
        {"kind": "drop"},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('status', '')}".strip(),
)
@pytest.mark.parametrize("write", list(Write))
def test_f11_no_fault_makes_a_write_go_out_twice(fhir: Vendor, write: Write, fault: dict[str, Any]) -> None:
    if write is Write.DELETE and fault["kind"] in ("cut", "truncated", "html"):
        fhir.turn(delete_status=200)
    method = {Write.CREATE: "POST", Write.UPDATE: "PUT", Write.DELETE: "DELETE"}[write]
    fhir.put("Basic", "once", code={"text": "before"})
    fhir.fault(method=method, path="Basic*", **fault)

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "once")
        with pytest.raises(OutcomeUnknownError):
            if write is Write.CREATE:
                await desk.create("Basic", basic("x", "ours"))
            elif write is Write.UPDATE:
                await desk.update("Basic", "once", basic("once", "ours"), version=seen.version)
            else:
                await desk.delete("Basic", "once", version=seen.version)

    fhir.desk(work)
    assert [row[0] for row in fhir.writes()] == [method]


def test_a_lost_reply_on_an_update_shows_in_the_next_read(fhir: Vendor) -> None:
    fhir.put("Basic", "lost", code={"text": "before"})
    fhir.fault("drop_after_commit", method="PUT", path="Basic/{id}")

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "lost")
        with pytest.raises(OutcomeUnknownError):
            await desk.update("Basic", "lost", basic("lost", "ours"), version=seen.version)
        now = await there(desk, "Basic", "lost")
        assert orjson.loads(now.body)["code"] == {"text": "ours"} and now.version != seen.version
        with pytest.raises(VersionConflictError):
            await desk.update("Basic", "lost", basic("lost", "ours"), version=seen.version)

    fhir.desk(work)


@pytest.mark.parametrize("fault", [{"kind": "throttle"}, {"kind": "throttle", "retry_after": "1"}])
def test_f16_a_throttled_write_happens_once(fhir: Vendor, fault: dict[str, Any]) -> None:
    before = fhir.count("Basic")
    fhir.fault(method="POST", path="Basic", times=2, **fault)

    async def work(desk: Adapter) -> None:
        assert (await desk.create("Basic", basic("x", "ours"))).stored is not None

    fhir.desk(work)
    assert fhir.count("Basic") == before + 1
    assert [row[2] for row in fhir.writes()] == [429, 429, 201]


def test_a_vendor_that_is_down_was_certainly_not_written_to() -> None:
    with start_sandbox(patients=1, dialects=["fhir"]) as running:
        vendor = Vendor(running, "fhir", {"kind": "none"})

        async def work(desk: Adapter) -> None:
            running.stop()
            with pytest.raises(TransientError) as down:
                await desk.update("Basic", "b", basic("b", "ours"), version=None)
            assert down.value.code == "http.unreachable" and not isinstance(down.value, OutcomeUnknownError)

        vendor.put("Basic", "b", code={"text": "before"})
        vendor.desk(work)


# deletes, refusals


@pytest.mark.parametrize("status", [204, 200])
def test_a6_what_was_deleted_is_absent(fhir: Vendor, status: int) -> None:
    fhir.turn(delete_status=status)
    fhir.put("Basic", "doomed", code={"text": "x"})

    async def work(desk: Adapter) -> None:
        seen = await there(desk, "Basic", "doomed")
        await desk.delete("Basic", "doomed", version=seen.version)
        assert await desk.read_current("Basic", "doomed") == Absent("410 Gone")
        assert await desk.read_current("Basic", "never-was") == Absent("404 Not Found")

    fhir.desk(work)


def test_a_delete_the_vendor_forbids_is_refused_and_told(fhir: Vendor) -> None:
    fhir.turn(delete_status=409)
    fhir.put("Basic", "kept", code={"text": "x"})

    async def work(desk: Adapter) -> None:
        with pytest.raises(PermanentError) as refused:
            await desk.delete("Basic", "kept", version=None)
        assert "409 with issue type business-rule" in refused.value.message

    fhir.desk(work)
    assert fhir.held("Basic", "kept")


def test_a45_a_read_only_server_offers_nothing_and_refuses_everything(fhir: Vendor) -> None:
    fhir.put("Basic", "closed", code={"text": "before"})

    async def closing(desk: Adapter) -> None:
        assert desk.write_capability("Basic").writes
        fhir.turn(read_only=True)
        for attempt in (
            desk.create("Basic", basic("x", "ours")),
            desk.update("Basic", "closed", basic("closed", "ours"), version=None),
            desk.delete("Basic", "closed", version=None),
        ):
            with pytest.raises(NotPermittedError):
                await attempt

    async def closed(desk: Adapter) -> None:
        assert [line.sentence for line in write_overview(desk, ["Basic", "Patient"])] == ["read only"] * 2

    fhir.desk(closing)
    fhir.desk(closed)
    assert fhir.held("Basic", "closed")["code"] == {"text": "before"}


# Epic


def test_epic_lets_little_be_written_and_guards_none_of_it(epic: Vendor) -> None:
    async def work(desk: Adapter) -> dict[str, tuple[str, ...]]:
        types = ["Patient", "Condition", "Observation", "DiagnosticReport", "Task", "Encounter", "MedicationRequest"]
        lines = write_overview(desk, types)
        assert {line.concurrency for line in lines} == {Concurrency.NONE}
        assert not any(line.finds_own_identifier for line in lines)
        await there(desk, "Patient", epic.patient())
        assert desk.write_capability("Patient").concurrency is Concurrency.NONE
        return {line.resource_type: line.operations for line in lines}

    assert epic.desk(work) == {
        "Patient": ("create",),
        "Condition": ("create",),
        "Observation": ("create", "update"),
        "DiagnosticReport": ("update",),
        "Task": ("update",),
        "Encounter": (),
        "MedicationRequest": (),
    }


def observation(patient: str, code: str = "8867-4") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
    }


def test_epic_creates_without_a_body_and_updates_without_a_condition(epic: Vendor) -> None:
    async def work(desk: Adapter) -> None:
        made = await desk.create("Observation", orjson.dumps(observation(epic.patient())))
        assert made.stored is None and made.version is None and made.remote_id.endswith("-3")
        seen = await there(desk, "Observation", made.remote_id)
        assert seen.version is None
        changed = {**orjson.loads(seen.body), "status": "amended"}
        written = await desk.update("Observation", made.remote_id, orjson.dumps(changed), version="made up")
        assert written.stored is not None and orjson.loads(written.stored)["status"] == "amended"

    epic.desk(work)
    log = epic.admin("GET", "requests?dialect=epic")
    assert not any(row["had_if_match"] or row["had_if_none_exist"] for row in log)


def test_epics_duplicate_is_found_by_its_identifier(epic: Vendor) -> None:
    known = epic.held("Patient", epic.patient())
    identifier = (known["identifier"][0]["system"], known["identifier"][0]["value"])
    before = epic.count("Patient")

    async def work(desk: Adapter) -> None:
        with pytest.raises(DuplicateError) as duplicate:
            await desk.create("Patient", orjson.dumps(known), [identifier])
        assert duplicate.value.vendor_code == "59141"
        assert [one.remote_id for one in await desk.find("Patient", [identifier])] == [known["id"]]
        with pytest.raises(NotPermittedError) as impossible:
            await desk.find("Condition", [identifier])
        assert impossible.value.code == "epic.no_identifier_search"

    epic.desk(work)
    assert epic.count("Patient") == before


def test_epic_refuses_with_its_own_codes(epic: Vendor) -> None:
    epic.turn(unmapped_codes=["8867-4"])

    async def work(desk: Adapter) -> None:
        for body, code in (
            (observation(epic.patient()), "59188"),
            (observation("nobody"), "59144"),
            ({"resourceType": "Patient"}, "59102"),
        ):
            with pytest.raises(PermanentError) as refused:
                await desk.create("Observation", orjson.dumps(body))
            assert refused.value.vendor_code == code

    epic.desk(work)


def test_what_epic_deleted_is_absent_and_what_it_merged_is_not(epic: Vendor) -> None:
    retired, survivor = epic.running.patient_ids("epic")[-2:]

    async def work(desk: Adapter) -> None:
        made = await desk.create("Observation", orjson.dumps(observation(survivor)))
        epic.admin("DELETE", f"epic/Observation/{made.remote_id}")
        gone = await desk.read_current("Observation", made.remote_id)
        assert gone == Absent("404 Not Found, vendor code 4103")
        epic.admin("POST", "epic/merge", json={"retired": retired, "survivor": survivor})
        with pytest.raises(PermanentError) as merged:
            await desk.read_current("Patient", retired)
        assert merged.value.code == "epic.merged"

    epic.desk(work)


def test_a_token_refused_in_the_middle_is_renewed_once_and_the_write_happens_once(epic: Vendor) -> None:
    patient, before = epic.patient(), epic.count("Observation")

    async def work(desk: Adapter) -> None:
        await there(desk, "Patient", patient)
        epic.fault("revoke_tokens", method="POST", path="Observation")
        await desk.create("Observation", orjson.dumps(observation(patient)))
        epic.fault("revoke_tokens", method="POST", path="Observation", times=2)
        with pytest.raises(AuthenticationError):
            await desk.create("Observation", orjson.dumps(observation(patient)))

    epic.desk(work)
    assert epic.count("Observation") == before + 1
    assert [row[2] for row in epic.writes()] == [401, 201, 401, 401]
