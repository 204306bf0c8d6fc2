"""The simulated eClinicalWorks shows what vendors.md §8 and §12 ask of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import JWKRegistry

from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from holovitals_pipelines.sandbox.dialects.eclinicalworks import GROUP, PRACTICE, EcwSettings
from sandbox.loopback import Loopback, entries, lines, serving

ECW = "eclinicalworks"
AS_IT_WAS = {name: getattr(EcwSettings(), name) for name in EcwSettings.__dataclass_fields__}
READING = "system/Patient.read system/Observation.read"


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(credentials: DemoCredentials) -> Iterator[Loopback]:
    with serving(dialects=(ECW,), smart=frozenset({ECW}), clients=credentials.clients, patients=4) as running:
        yield running


@pytest.fixture(scope="module")
def open_site() -> Iterator[Loopback]:
    with serving(dialects=(ECW,), patients=6) as running:
        yield running


@pytest.fixture
def sandbox(open_site: Loopback) -> Iterator[Loopback]:
    open_site.sites[ECW].turn({**AS_IT_WAS, "requests_per_minute": 0})
    yield open_site
    open_site.admin("DELETE", "faults")
    open_site.admin("POST", f"{ECW}/bulk/reset")


def assertion(key_file: Path, audience: str, **changed: Any) -> str:
    key = orjson.loads(key_file.read_bytes())
    now = int(time.time())
    claims = {"iss": "holovitals-demo", "sub": "holovitals-demo", "aud": audience, "jti": str(uuid.uuid4())}
    claims |= {"exp": now + 240, "iat": now, **changed}
    head = {"alg": key["alg"], "kid": changed.pop("kid", key["kid"]), "typ": "JWT"}
    free = {name: value for name, value in key.items() if name not in ("alg", "use")}
    return jwt.encode(head, claims, JWKRegistry.import_key(free), algorithms=[key["alg"]])


def ask(sandbox: Loopback, key: Path, scope: str | None, grant: str = "client_credentials", **claims: Any) -> Any:
    url = sandbox.get(ECW, ".well-known/smart-configuration").json()["token_endpoint"]
    form = {
        "grant_type": grant,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion(key, claims.pop("aud", url), **claims),
        **({} if scope is None else {"scope": scope}),
    }
    return sandbox.http.post(url, data=form)


def bearer(sandbox: Loopback, key: Path, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {ask(sandbox, key, scope).json()['access_token']}"}


def test_a_practice_is_in_the_path_and_another_one_is_not_served(sandbox: Loopback) -> None:
    assert sandbox.url(ECW).endswith(f"/fhir/r4/{PRACTICE}") and len(PRACTICE) == 6
    assert sandbox.http.get(sandbox.url(ECW).replace(PRACTICE, "OTHERS") + "/metadata").status_code == 404


def test_36_types_are_declared_and_only_one_can_be_created(sandbox: Loopback) -> None:
    resources = sandbox.get(ECW, "metadata").json()["rest"][0]["resource"]
    assert len(resources) == 36
    created = [r["type"] for r in resources if {"code": "create"} in r["interaction"]]
    assert created == ["QuestionnaireResponse"]
    parameters = {name for r in resources for name in (p["name"] for p in r["searchParam"])}
    assert "_lastUpdated" not in parameters and "_since" in parameters


# tokens


def test_a_token_lives_five_minutes(guarded: Loopback, credentials: DemoCredentials) -> None:
    answer = ask(guarded, credentials.rsa_key, READING)
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 300)
    patient = guarded.ids(ECW)[0]
    read = {"headers": {"Authorization": f"Bearer {answer.json()['access_token']}"}}
    assert guarded.get(ECW, f"Patient/{patient}", **read).status_code == 200
    guarded.clock.shift(301)
    try:
        assert guarded.get(ECW, f"Patient/{patient}", **read).status_code == 401
    finally:
        guarded.clock.shift(-301)


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"scope": None}, 400, "invalid_request"),
        ({"scope": "patient/Patient.read"}, 400, "invalid_grant"),
        ({"scope": "system/Starship.read"}, 400, "invalid_grant"),
        ({"grant": "password"}, 400, "unsupported_grant_type"),
        ({"kid": "somebody-else"}, 401, "invalid_client"),
        ({"iss": "nobody", "sub": "nobody"}, 401, "invalid_client"),
        ({"exp": 1}, 400, "invalid_grant"),
        ({"exp": 4_102_444_800}, 400, "invalid_grant"),  # in the year 2100
        ({"aud": "https://elsewhere.example/token"}, 500, "access_denied"),
    ],
    ids=str,
)
def test_a_bad_token_request_is_told_its_way(
    guarded: Loopback, credentials: DemoCredentials, wrong: dict[str, Any], status: int, error: str
) -> None:
    answer = ask(guarded, credentials.rsa_key, **{"scope": READING, **wrong})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_es384_is_not_taken(guarded: Loopback, credentials: DemoCredentials) -> None:
    answer = ask(guarded, credentials.ec_key, READING)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_group_read_opens_exports_and_nothing_else(guarded: Loopback, credentials: DemoCredentials) -> None:
    patient = f"Patient/{guarded.ids(ECW)[0]}"
    single = bearer(guarded, credentials.rsa_key, READING)
    bulk = bearer(guarded, credentials.rsa_key, f"{READING} system/Group.read")
    assert guarded.get(ECW, patient, headers=single).status_code == 200
    assert guarded.get(ECW, patient, headers=bulk).status_code == 403
    export, asked = f"Group/{GROUP}/$export", {"Prefer": "respond-async"}
    assert guarded.get(ECW, export, headers={**single, **asked}).status_code == 401
    assert guarded.get(ECW, export, headers={**bulk, **asked}).status_code == 202
    assert guarded.get(ECW, "Group/nobodys/$export", headers={**bulk, **asked}).status_code == 401


@pytest.mark.parametrize(("app", "scope"), [("single", f"{READING} system/Group.read"), ("bulk", READING)])
def test_group_read_against_the_app_is_an_invalid_grant(
    guarded: Loopback, credentials: DemoCredentials, app: str, scope: str
) -> None:
    guarded.sites[ECW].turn({"app": app})
    try:
        answer = ask(guarded, credentials.rsa_key, scope)
    finally:
        guarded.sites[ECW].turn({"app": "both"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


# the minute


def test_after_250_calls_all_is_429_until_the_next_minute_and_nothing_says_how_long(sandbox: Loopback) -> None:
    sandbox.sites[ECW].turn({"requests_per_minute": 250})
    sandbox.clock.set_to(datetime(2026, 3, 1, 10, 0, 40, tzinfo=UTC), frozen=True)
    try:
        statuses = [sandbox.get(ECW, "metadata").status_code for _ in range(249)]
        token = sandbox.origin + "/eclinicalworks/oauth/oauth2/token"
        statuses.append(sandbox.http.post(token).status_code)
        assert 429 not in statuses
        blocked = sandbox.get(ECW, "metadata")
        assert blocked.status_code == 429 and "retry-after" not in blocked.headers
        assert sandbox.http.post(token).status_code == 429
        sandbox.clock.shift(19)
        assert sandbox.get(ECW, "metadata").status_code == 429
        sandbox.clock.shift(1)
        assert sandbox.get(ECW, "metadata").status_code == 200
    finally:
        sandbox.admin("POST", "clock", json={"at": datetime.now(UTC).isoformat()})


# reading


def test_a_search_pages_forwards_and_back(sandbox: Loopback) -> None:
    patient = max(sandbox.ids(ECW), key=lambda one: sandbox.get(ECW, f"Observation?patient={one}").json()["total"])
    pages = list(sandbox.pages(ECW, f"Observation?patient={patient}&_count=10"))
    ids = [resource["id"] for page in pages for resource in entries(page)]
    assert len(pages) > 2 and len(ids) == len(set(ids)) == pages[0]["total"]
    relations = [sorted(link["relation"] for link in page["link"]) for page in pages]
    assert (relations[0], relations[1], relations[-1]) == (
        ["next", "self"],
        ["next", "previous", "self"],
        ["previous", "self"],
    )
    back = next(link["url"] for link in pages[1]["link"] if link["relation"] == "previous")
    assert "page=" in back and entries(sandbox.http.get(back).json()) == entries(pages[0])


def test_nobody_lists_everybody(sandbox: Loopback) -> None:
    assert sandbox.get(ECW, "Observation").status_code == 400
    assert sandbox.get(ECW, "Patient?_count=10").status_code == 400
    assert sandbox.get(ECW, "Provenance").status_code == 400


def test_last_updated_narrows_nothing_and_since_does(sandbox: Loopback) -> None:
    patient = sandbox.ids(ECW)[0]
    everything = sandbox.get(ECW, f"Observation?patient={patient}").json()["total"]
    later = sandbox.get(ECW, f"Observation?patient={patient}&_lastUpdated=ge2999-01-01").json()["total"]
    assert later == everything > 0
    assert sandbox.get(ECW, f"Observation?patient={patient}&_since=2999-01-01").json()["total"] == 0
    assert sandbox.get(ECW, f"Observation?patient={patient}&_since=1900-01-01").json()["total"] == everything
    assert sandbox.get(ECW, f"Condition?patient={patient}&_since=2999-01-01").json()["total"] > 0


def test_no_resource_shows_version_or_update_time(sandbox: Loopback) -> None:
    read = sandbox.get(ECW, f"Patient/{sandbox.ids(ECW)[0]}")
    assert "etag" not in read.headers and not {"versionId", "lastUpdated"} & set(read.json()["meta"])


@pytest.mark.parametrize("kind", ["Patient", "Encounter"])
def test_everything_brings_what_belongs_to_one(sandbox: Loopback, kind: str) -> None:
    identity = sandbox.ids(ECW, kind)[0]
    found = entries(sandbox.get(ECW, f"{kind}/{identity}/$everything").json())
    assert found[0]["id"] == identity and len(found) > 1
    mention = f'"{kind}/{identity}"'.encode()
    assert all(mention in orjson.dumps(resource) for resource in found[1:])
    assert sandbox.get(ECW, f"Condition/{sandbox.ids(ECW, 'Condition')[0]}/$everything").status_code == 404


def test_the_legacy_content_type_can_be_had(sandbox: Loopback) -> None:
    sandbox.sites[ECW].turn({"legacy_content_type": True})
    read = sandbox.get(ECW, f"Patient/{sandbox.ids(ECW)[0]}")
    assert read.headers["content-type"] == "application/json+fhir" and read.json()["resourceType"] == "Patient"


# exports


def test_an_export_is_polled_at_its_location_and_shows_its_progress(sandbox: Loopback) -> None:
    kicked = sandbox.kick_off(ECW, f"Group/{GROUP}/$export?_type=Patient,Location")
    location = kicked.headers["content-location"]
    assert (kicked.status_code, kicked.headers["retry-after"]) == (202, "120")
    assert "/$export-poll-location?job_id=" in location
    again = sandbox.kick_off(ECW, f"Group/{GROUP}/$export?_type=Patient,Location")
    assert again.status_code == 400 and b"already in progress" in again.content
    waiting = sandbox.http.get(location)
    assert waiting.status_code == 202 and waiting.headers["x-progress"].endswith("% Completed")
    manifest = sandbox.http.get(location).json()
    counts = {file["type"]: len(lines(sandbox.http.get(file["url"]))) for file in manifest["output"]}
    assert counts == {kind: len(sandbox.ids(ECW, kind)) for kind in ("Patient", "Location")}
    assert sandbox.http.delete(location).status_code == 202
    assert sandbox.http.get(location).status_code == 404
    assert sandbox.kick_off(ECW, "Group/nobodys/$export").status_code == 401


def test_an_export_since_a_moment_has_what_changed_after_it(sandbox: Loopback) -> None:
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    changed = sandbox.ids(ECW)[1]
    held = sandbox.admin("GET", f"{ECW}/Patient/{changed}")
    sandbox.admin("PUT", f"{ECW}/Patient/{changed}", json={**held, "active": True})
    _, manifest = sandbox.export(ECW, f"Group/{GROUP}/$export?_type=Patient&_since={since}")
    assert [r["id"] for file in manifest["output"] for r in lines(sandbox.http.get(file["url"]))] == [changed]


# write-back


def sent(sandbox: Loopback, method: str, path: str, body: Any) -> httpx.Response:
    return sandbox.http.request(method, f"{sandbox.url(ECW)}/{path}", content=orjson.dumps(body))


def told(answer: httpx.Response) -> tuple[int, int, str]:
    return answer.status_code, answer.json()["status"], answer.json()["key"]


@pytest.fixture
def licensed(sandbox: Loopback) -> Loopback:
    sandbox.sites[ECW].turn({"write_back": True})
    return sandbox


def held(sandbox: Loopback, kind: str, place: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = sandbox.admin("GET", f"{ECW}/{kind}/{sandbox.ids(ECW, kind)[place]}")
    return found


def test_without_the_licence_only_an_answered_questionnaire_is_taken(sandbox: Loopback) -> None:
    patient = held(sandbox, "Patient")
    assert sent(sandbox, "PUT", f"Patient/{patient['id']}", patient).status_code == 405
    answered = {"resourceType": "QuestionnaireResponse", "subject": {"reference": f"Patient/{patient['id']}"}}
    assert told(sent(sandbox, "POST", "QuestionnaireResponse", answered)) == (200, 1, "SUCCESS")


def test_success_is_a_number_in_the_body(licensed: Loopback) -> None:
    patient = held(licensed, "Patient")
    assert told(sent(licensed, "PUT", f"Patient/{patient['id']}", {**patient, "gender": "other"})) == (
        200,
        1,
        "SUCCESS",
    )
    assert held(licensed, "Patient")["gender"] == "other"
    new = {"resourceType": "Patient", "name": [{"family": "New"}], "gender": "female", "birthDate": "2001-02-03"}
    made = sent(licensed, "POST", "Patient", new).json()
    assert made["status"] == 1
    assert licensed.admin("GET", f"{ECW}/Patient/{made['id']}")["birthDate"] == "2001-02-03"
    licensed.admin("DELETE", f"{ECW}/Patient/{made['id']}")


@pytest.mark.parametrize(
    ("kind", "change", "status", "key"),
    [
        ("Patient", {"gender": "robot"}, 117, "INVALID_PATIENT_GENDER"),
        ("Patient", {"name": [{"text": "Only Text"}]}, 118, "INVALID_PATIENT_NAME"),
        ("Patient", {"birthDate": "long ago"}, 119, "INVALID_PATIENT_DOB"),
        ("Condition", {"subject": {"reference": "Patient/nobody"}}, 100, "INVALID_PATIENT"),
        ("Condition", {"encounter": {"reference": "Encounter/never"}}, 123, "INVALID_ENCOUNTER"),
    ],
)
def test_a_refusal_is_http_200_and_changes_nothing(
    licensed: Loopback, kind: str, change: dict[str, Any], status: int, key: str
) -> None:
    before = held(licensed, kind)
    assert told(sent(licensed, "PUT", f"{kind}/{before['id']}", {**before, **change})) == (200, status, key)
    assert held(licensed, kind) == before


def test_what_is_there_already_is_202_and_what_is_not_there_165(licensed: Loopback) -> None:
    patient = held(licensed, "Patient")
    nameless = {name: value for name, value in patient.items() if name != "id"}
    assert told(sent(licensed, "POST", "Patient", nameless)) == (200, 202, "INVALID_PATIENT_ALREADY_EXIST")
    assert told(sent(licensed, "PUT", "Patient/never", {**patient, "id": "never"})) == (200, 165, "INVALID_ID")


def test_nothing_is_written_to_a_locked_encounter(licensed: Loopback) -> None:
    encounter = held(licensed, "Encounter")
    licensed.sites[ECW].turn({"locked_encounters": (encounter["id"],)})
    locked = (200, 139, "ENCOUNTER_IS_LOCKED")
    assert told(sent(licensed, "PUT", f"Encounter/{encounter['id']}", encounter)) == locked
    noted = {
        "resourceType": "Condition",
        "subject": encounter["subject"],
        "encounter": {"reference": f"Encounter/{encounter['id']}"},
    }
    assert told(sent(licensed, "POST", "Condition", noted)) == locked


def test_615_has_two_meanings_and_103_passes(licensed: Loopback) -> None:
    condition = held(licensed, "Condition")
    path = f"Condition/{condition['id']}"
    for words in ("615 UPDATE_NOT_SUPPORTED_REFERRAL", "615 INVALID_ORGNIZATION_ID"):
        licensed.sites[ECW].turn({"refused": {"Condition": words}})
        assert told(sent(licensed, "PUT", path, condition)) == (200, 615, words.partition(" ")[2])
    licensed.sites[ECW].turn({"refused": {"Condition": "103 UNKNOWN_MAPPING_ERROR"}, "refused_times": 1})
    statuses = [sent(licensed, "PUT", path, condition).json()["status"] for _ in range(2)]
    assert statuses == [103, 1]


# faults


def test_the_common_faults_happen_here_too(licensed: Loopback) -> None:
    patient = licensed.ids(ECW)[0]
    listed = f"Observation?patient={patient}&_count=5"
    first, second = (entries(page) for page, _ in zip(licensed.pages(ECW, listed), range(2), strict=False))
    licensed.fault(kind="throttle", path="Observation", dialect=ECW)
    assert licensed.get(ECW, listed).status_code == 429
    licensed.fault(kind="repeat_rows", path="Observation", dialect=ECW, skip=1, rows=2)
    repeated = [entries(page) for page, _ in zip(licensed.pages(ECW, listed), range(2), strict=False)]
    assert repeated[1][:2] == first[-2:] and repeated[1][2:] == second
    licensed.fault(kind="drop_after_commit", method="PUT", path="Patient/{id}", dialect=ECW)
    changed = {**held(licensed, "Patient"), "gender": "unknown"}
    with pytest.raises(httpx.TransportError):
        sent(licensed, "PUT", f"Patient/{patient}", changed)
    assert held(licensed, "Patient")["gender"] == "unknown"
