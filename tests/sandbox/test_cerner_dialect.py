from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from holovitals_pipelines.sandbox.dialects.cerner import SECRET, SYSTEM_ACCOUNT
from sandbox.loopback import Loopback, entries, lines, serving

SCOPES = " ".join(
    f"system/{kind}.{verb}"
    for kind in (
        "Patient", "Condition", "Observation", "MedicationRequest", "AllergyIntolerance", "Encounter", "Appointment",
        "Coverage", "DocumentReference", "Organization",
    )
    for verb in ("read", "write")
)  # fmt: skip
PATCH = "application/json-patch+json"


@pytest.fixture(scope="module")
def running() -> Iterator[Loopback]:
    with serving(dialects=("cerner",), patients=8) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Loopback) -> Iterator[Loopback]:
    running.http.headers["Authorization"] = f"Bearer {token(running).json()['access_token']}"
    yield running
    running.sites["cerner"].turn({"poison": (), "repeat_rows": 0, "unsupported": (), "open_reads": False})
    running.admin("POST", "cerner/bulk/reset")


def token(sandbox: Loopback, scope: str = SCOPES, secret: str = SECRET, **form: str) -> httpx.Response:
    address = sandbox.get("cerner", ".well-known/smart-configuration").json()["token_endpoint"]
    asked = {"grant_type": "client_credentials", "scope": scope, **form}
    with httpx.Client(trust_env=False) as client:
        return client.post(address, auth=(SYSTEM_ACCOUNT, secret), data=asked)


def code(answer: httpx.Response) -> tuple[int, str, str]:
    [issue] = answer.json()["issue"]
    return answer.status_code, issue["severity"], issue["code"]


def charted(sandbox: Loopback, kind: str) -> tuple[str, list[str]]:
    """The patient with the most resources of a type, and their ids."""
    records = sandbox.sites["cerner"].records
    patient = max(sandbox.ids("cerner"), key=lambda one: len(records.in_chart(kind, one)))
    return patient, [records.identity(number) for number in records.in_chart(kind, patient)]


def write(
    sandbox: Loopback, method: str, path: str, content: Any, version: str | None = "0", **headers: str
) -> httpx.Response:
    condition = {} if version is None else {"If-Match": f'W/"{version}"'}
    named = {"Content-Type": PATCH if isinstance(content, list) else "application/fhir+json"}
    url = f"{sandbox.url('cerner')}/{path}"
    return sandbox.http.request(method, url, json=content, headers={**named, **condition, **headers})


# who may come in


def test_the_system_account_gets_a_token_of_570_seconds_for_the_scopes_it_asks(sandbox: Loopback) -> None:
    answer = token(sandbox, "system/Patient.rs system/Condition.write").json()
    assert (answer["expires_in"], answer["scope"]) == (570, "system/Patient.rs system/Condition.write")
    refused = token(sandbox, secret="other")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    for scope in ("", "user/Patient.read", "system/Patient.sr", "system/Nothing.read"):
        assert token(sandbox, scope).json()["error"] == "invalid_scope", scope


def test_scopes_are_checked_in_both_spellings(sandbox: Loopback) -> None:
    patient = sandbox.ids("cerner")[0]
    for scope, reads, searches in (("system/Patient.r", 200, 403), ("system/Patient.read", 200, 200)):
        headers = {"Authorization": f"Bearer {token(sandbox, scope).json()['access_token']}"}
        assert sandbox.get("cerner", f"Patient/{patient}", headers=headers).status_code == reads
        assert sandbox.get("cerner", f"Patient?_id={patient}", headers=headers).status_code == searches
        assert write(sandbox, "PATCH", f"Patient/{patient}", [], **headers).status_code == 403


def test_a_token_ends_and_no_token_is_401(sandbox: Loopback) -> None:
    patient = sandbox.ids("cerner")[0]
    assert sandbox.get("cerner", f"Patient/{patient}").status_code == 200
    sandbox.admin("POST", "clock", json={"shift_seconds": 571})
    assert sandbox.get("cerner", f"Patient/{patient}").status_code == 401
    sandbox.sites["cerner"].turn({"open_reads": True})
    assert sandbox.get("cerner", f"Patient/{patient}").status_code == 200
    assert write(sandbox, "PATCH", f"Patient/{patient}", []).status_code == 401


def test_another_tenant_is_forbidden_in_plain_text(sandbox: Loopback) -> None:
    answer = sandbox.http.get(f"{sandbox.url('cerner')[:-1]}0/Patient/1")
    assert (answer.status_code, answer.text) == (403, "Tenant not valid or accessible")


def test_the_statement_names_patches_and_no_versioning(sandbox: Loopback) -> None:
    statement = sandbox.get("cerner", "metadata", headers={"Authorization": ""}).json()
    types = {entry["type"]: entry for entry in statement["rest"][0]["resource"]}
    assert statement["patchFormat"] == [PATCH]
    assert [one["code"] for one in types["Patient"]["interaction"]] == ["read", "search-type", "create", "patch"]
    assert "_lastUpdated" not in [one["name"] for one in types["Patient"]["searchParam"]]
    assert not any("versioning" in entry for entry in types.values())


# searches


@pytest.mark.parametrize("query", ["", "?status=final", "?_count=10", "?category=laboratory&_count=1"])
def test_a_clinical_search_without_a_patient_is_400_in_plain_text(sandbox: Loopback, query: str) -> None:
    answer = sandbox.get("cerner", f"Observation{query}")
    assert (answer.status_code, answer.text) == (400, "no supported search parameters provided")
    assert answer.headers["x-request-id"]


def test_pages_lead_on_by_page_context_and_rows_come_again(sandbox: Loopback) -> None:
    sandbox.sites["cerner"].turn({"repeat_rows": 2})
    patient, ids = charted(sandbox, "Observation")
    pages = list(sandbox.pages("cerner", f"Observation?patient={patient}&_count=10"))
    rows = [row["id"] for page in pages for row in entries(page)]
    assert sorted(set(rows)) == sorted(ids)
    assert len(rows) == len(ids) + 2 * (len(pages) - 1) > len(ids)
    [link] = [one["url"] for one in pages[0]["link"] if one["relation"] == "next"]
    assert "direction=NEXT" in link and "pageContext=" in link
    assert "total" not in pages[0]


def test_counts_have_their_defaults_and_maxima_and_mean_nothing_with_ids(sandbox: Loopback) -> None:
    patient, ids = charted(sandbox, "Observation")
    assert len(ids) > 50
    sizes = [len(entries(next(sandbox.pages("cerner", f"Observation?patient={patient}{more}")))) for more in
             ("", "&_count=7", "&_count=5000")]  # fmt: skip
    assert sizes == [50, 7, min(len(ids), 200)]
    listed = sandbox.get("cerner", f"Observation?_id={','.join(ids[:60])}&_count=5").json()
    assert len(entries(listed)) == 60


def test_last_updated_narrows_the_listed_types_only(sandbox: Loopback) -> None:
    patient, ids = charted(sandbox, "Condition")
    now = sandbox.admin("POST", "clock", json={"shift_seconds": 30})["now"]
    sandbox.http.headers["Authorization"] = f"Bearer {token(sandbox).json()['access_token']}"
    held = sandbox.admin("GET", f"cerner/Condition/{ids[0]}")
    sandbox.admin("PUT", f"cerner/Condition/{ids[0]}", json={**held, "recordedDate": "2021-01-01"})
    found = sandbox.get("cerner", f"Condition?patient={patient}&_lastUpdated=ge{now}").json()
    assert [row["id"] for row in entries(found)] == [ids[0]]
    closed = f"Condition?patient={patient}&_lastUpdated=ge2000-01-01&_lastUpdated=lt{now}"
    assert len(entries(sandbox.get("cerner", closed).json())) == len(ids) - 1
    for refused in (
        f"Patient?_id={patient}&_lastUpdated=ge{now}",
        f"Condition?patient={patient}&_lastUpdated=ge{now}&_lastUpdated=lt{now}&_lastUpdated=gt{now}",
        f"Observation?patient={patient}&_lastUpdated=ge{now}&date=ge2020-01-01",
        f"MedicationRequest?patient={patient}&_lastUpdated=ge2020-01-01",
        f"MedicationRequest?patient={patient}&_lastUpdated=gt{now}",
    ):
        assert sandbox.get("cerner", refused).status_code == 400, refused
    timed = sandbox.get("cerner", f"MedicationRequest?patient={patient}&_lastUpdated=ge{now}")
    assert timed.status_code == 200


def test_observations_by_update_come_with_the_newest_first(sandbox: Loopback) -> None:
    patient, ids = charted(sandbox, "Observation")
    held = sandbox.admin("GET", f"cerner/Observation/{ids[3]}")
    sandbox.admin("PUT", f"cerner/Observation/{ids[3]}", json={**held, "status": "amended"})
    found = entries(sandbox.get("cerner", f"Observation?patient={patient}&_lastUpdated=ge2000-01-01").json())
    updates = [row["meta"]["lastUpdated"] for row in found]
    assert found[0]["id"] == ids[3] and updates == sorted(updates, reverse=True)


def test_patients_are_found_by_what_the_vendor_lists(sandbox: Loopback) -> None:
    one = sandbox.get("cerner", f"Patient/{sandbox.ids('cerner')[0]}").json()
    for query in (
        f"family={one['name'][0]['family']}&birthdate={one['birthDate']}",
        f"birthdate=ge{one['birthDate']}&birthdate=le{one['birthDate']}",
        f"identifier={one['identifier'][0]['value']}",
        f"phone={one['telecom'][0]['value']}",
    ):
        assert one["id"] in [row["id"] for row in entries(sandbox.get("cerner", f"Patient?{query}").json())], query
    for query in ("gender=male", "birthdate=2000-01-01T00:00:00Z", "birthdate=ge2000&birthdate=ge2001", ""):
        assert sandbox.get("cerner", f"Patient?{query}").status_code == 400, query


def test_more_than_a_thousand_patients_are_422() -> None:
    with serving(dialects=("cerner",), patients=1, settings={"cerner": {"open_reads": "yes"}}) as sandbox:
        for number in range(1001):
            body = b'{"resourceType":"Patient","id":"n%d","name":[{"family":"Many"}]}' % number
            sandbox.sites["cerner"].records.put("Patient", f"n{number}", body)
        assert code(sandbox.get("cerner", "Patient?family=Many"))[0] == 422


def test_a_merged_patient_is_inactive_with_a_link_and_found_by_id_only() -> None:
    with serving(dialects=("cerner",), settings={"cerner": {"open_reads": "yes"}}) as sandbox:
        retired, survivor = sandbox.ids("cerner")[:2]
        name = sandbox.get("cerner", f"Patient/{retired}").json()["name"][0]["family"]
        sandbox.admin("POST", "cerner/merge", json={"retired": retired, "survivor": survivor})
        read = sandbox.get("cerner", f"Patient/{retired}").json()
        assert (read["active"], read["link"][0]["other"]) == (False, {"reference": f"Patient/{survivor}"})
        assert retired not in [row["id"] for row in entries(sandbox.get("cerner", f"Patient?family={name}").json())]
        moved = entries(sandbox.get("cerner", f"Encounter?patient={survivor}").json())
        assert moved and {row["subject"]["reference"] for row in moved} == {f"Patient/{survivor}"}


def test_a_poisoned_record_is_500_wherever_it_is_shown_and_only_there(sandbox: Loopback) -> None:
    patient, ids = charted(sandbox, "Condition")
    sandbox.sites["cerner"].turn({"poison": (f"Condition/{ids[1]}",)})
    for path in (f"Condition/{ids[1]}", f"Condition?patient={patient}", f"Condition?_id={ids[0]},{ids[1]}"):
        for _ in range(2):
            assert code(sandbox.get("cerner", path)) == (500, "fatal", "required"), path
    assert sandbox.get("cerner", f"Condition/{ids[0]}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Nothing/1", 404),
        ("GET", "Patient/none", 404),
        ("PUT", "Patient/1", 405),
        ("DELETE", "Condition/1", 405),
    ],
)
def test_what_there_is_not_and_what_is_not_offered(sandbox: Loopback, method: str, path: str, status: int) -> None:
    assert sandbox.http.request(method, f"{sandbox.url('cerner')}/{path}").status_code == status


def test_xml_is_not_acceptable(sandbox: Loopback) -> None:
    patient = sandbox.ids("cerner")[0]
    answer = sandbox.get("cerner", f"Patient/{patient}", headers={"Accept": "application/fhir+xml"})
    assert (answer.status_code, answer.content) == (406, b"")


def test_contents_are_binaries_by_the_accept_header(sandbox: Loopback) -> None:
    headers = {"Authorization": f"Bearer {token(sandbox, 'system/Binary.read').json()['access_token']}"}
    one = sandbox.ids("cerner", "Binary")[0]
    shown = sandbox.get("cerner", f"Binary/{one}", headers={**headers, "Accept": "application/fhir+json"})
    raw = sandbox.get("cerner", f"Binary/{one}", headers={**headers, "Accept": "text/plain"})
    other = sandbox.get("cerner", f"Binary/{one}", headers={**headers, "Accept": "application/json"})
    assert (shown.json()["resourceType"], raw.headers["content-type"].partition(";")[0]) == ("Binary", "text/plain")
    assert raw.content and (other.status_code, other.content) == (406, b"")


# writes


def problem(sandbox: Loopback, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{sandbox.ids('cerner')[0]}"},
        "category": [{"coding": [{"code": "problem-list-item"}]}],
        "code": {"text": "x"},
        **more,
    }


def test_a_create_answers_nothing_but_where_it_is_and_its_version(sandbox: Loopback) -> None:
    made = write(sandbox, "POST", "Condition", problem(sandbox), None)
    assert (made.status_code, made.content) == (201, b"")
    assert made.headers["etag"] == 'W/"0"' and made.headers["last-modified"]
    read = sandbox.http.get(made.headers["location"])
    assert (read.headers["etag"], read.json()["code"]) == ('W/"0"', {"text": "x"})
    held = read.json()
    changed = write(sandbox, "PUT", f"Condition/{held['id']}", {**held, "code": {"text": "y"}}, "0")
    assert (changed.status_code, changed.content, changed.headers["etag"]) == (200, b"", 'W/"1"')


def test_writes_need_the_current_version(sandbox: Loopback) -> None:
    held = sandbox.http.get(write(sandbox, "POST", "Condition", problem(sandbox), None).headers["location"]).json()
    path = f"Condition/{held['id']}"
    assert write(sandbox, "PUT", path, held, None).status_code == 412
    assert write(sandbox, "PUT", path, held, "7").status_code == 409
    assert write(sandbox, "PUT", "Condition/none", {**held, "id": "none"}, "0").status_code == 404


def test_an_update_takes_away_what_it_omits(sandbox: Loopback) -> None:
    made = write(sandbox, "POST", "Condition", problem(sandbox, recordedDate="2020-01-01"), None)
    held = sandbox.http.get(made.headers["location"]).json()
    del held["recordedDate"]
    write(sandbox, "PUT", f"Condition/{held['id']}", held, "0")
    assert "recordedDate" not in sandbox.http.get(made.headers["location"]).json()


@pytest.mark.parametrize(
    ("more", "issue"),
    [
        ({"implicitRules": "urn:x"}, "not-supported"),
        ({"modifierExtension": [{"url": "urn:x"}]}, "extension"),
        ({"stage": [{"modifierExtension": [{"url": "urn:x"}]}]}, "extension"),
        ({"category": [{"coding": [{"code": "health-concern"}]}]}, "business-rule"),
        ({"bodySite": [{"text": "x"}]}, "business-rule"),
    ],
)
def test_content_that_breaks_a_rule_is_422(sandbox: Loopback, more: Mapping[str, Any], issue: str) -> None:
    sandbox.sites["cerner"].turn({"unsupported": ("Condition.bodySite",)})
    assert code(write(sandbox, "POST", "Condition", problem(sandbox, **more), None)) == (422, "error", issue)


def test_an_allergy_is_to_the_same_thing_for_good_and_a_duplicate_updates_it(sandbox: Loopback) -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "patient": {"reference": f"Patient/{sandbox.ids('cerner')[1]}"},
        "code": {"coding": [{"code": "7980"}]},
        "reaction": [{"manifestation": [{"text": "rash"}], "severity": "mild"}],
    }
    made = write(sandbox, "POST", "AllergyIntolerance", allergy, None)
    held = sandbox.http.get(made.headers["location"]).json()
    for change in (
        {"code": {"coding": [{"code": "1191"}]}},
        {"reaction": [{"manifestation": [{"text": "cough"}]}]},
    ):
        refused = write(sandbox, "PUT", f"AllergyIntolerance/{held['id']}", {**held, **change})
        assert code(refused) == (422, "error", "business-rule")
    again = write(sandbox, "POST", "AllergyIntolerance", {**allergy, "criticality": "high"}, None)
    assert (again.headers["location"], again.headers["etag"]) == (made.headers["location"], 'W/"1"')
    none_known = {**allergy, "code": {"coding": [{"code": "716186003"}]}}
    assert code(write(sandbox, "POST", "AllergyIntolerance", none_known, None))[2] == "business-rule"


def test_observations_are_updated_in_two_categories_and_stay_there(sandbox: Loopback) -> None:
    _, ids = charted(sandbox, "Observation")
    rows = {
        row["category"][0]["coding"][0]["code"]: row
        for one in ids
        if (row := sandbox.get("cerner", f"Observation/{one}").json())
    }
    vital, social = rows["vital-signs"], rows["social-history"]
    version = vital["meta"]["versionId"]
    assert write(sandbox, "PUT", f"Observation/{vital['id']}", {**vital, "status": "corrected"}, version).is_success
    held = sandbox.get("cerner", f"Observation/{vital['id']}").json()
    for refused in ({**held, "subject": {"reference": "Patient/1"}}, {**held, "category": social["category"]}):
        answer = write(sandbox, "PUT", f"Observation/{vital['id']}", refused, held["meta"]["versionId"])
        assert code(answer)[2] == "business-rule"
    answer = write(sandbox, "PUT", f"Observation/{social['id']}", social, social["meta"]["versionId"])
    assert code(answer)[2] == "business-rule"
    only_write = {"Authorization": f"Bearer {token(sandbox, 'system/Observation.write').json()['access_token']}"}
    assert write(sandbox, "PUT", f"Observation/{vital['id']}", held, "1", **only_write).status_code == 403


def test_a_document_is_xhtml_and_an_appointment_is_new(sandbox: Loopback) -> None:
    for kind, content in (
        ("DocumentReference", {"content": [{"attachment": {"contentType": "text/plain"}}]}),
        ("Appointment", {"status": "arrived"}),
    ):
        assert code(write(sandbox, "POST", kind, {"resourceType": kind, **content}, None))[2] == "business-rule"
    xhtml = {"content": [{"attachment": {"contentType": "application/xhtml+xml"}}]}
    assert (
        write(sandbox, "POST", "DocumentReference", {"resourceType": "DocumentReference", **xhtml}, None).status_code
        == 201
    )


def test_a_patient_is_patched_after_a_test_of_the_elements_id(sandbox: Loopback) -> None:
    patient = sandbox.ids("cerner")[2]
    held = sandbox.get("cerner", f"Patient/{patient}").json()
    version, name = held["meta"]["versionId"], held["name"][0]["id"]
    assert name.startswith("CI-")
    replace = {"op": "replace", "path": "/name/0/family", "value": "New"}
    tested = {"op": "test", "path": "/name/0/id", "value": name}
    for refused in (
        [replace],
        [{**tested, "value": "CI-other"}, replace],
        [tested, {**replace, "path": "/name/0/text"}],
        [{"op": "replace", "path": "/name", "value": []}],
        [{"op": "remove", "path": "/gender"}],
    ):
        assert write(sandbox, "PATCH", f"Patient/{patient}", refused, version).status_code == 422, refused
    assert sandbox.get("cerner", f"Patient/{patient}").json() == held
    new_phone = {"op": "add", "path": "/telecom/-", "value": {"system": "phone", "value": "1"}}
    done = write(sandbox, "PATCH", f"Patient/{patient}", [tested, replace, new_phone], version)
    assert (done.status_code, done.content) == (200, b"")
    after = sandbox.get("cerner", f"Patient/{patient}")
    assert after.headers["etag"] == done.headers["etag"] != f'W/"{version}"'
    assert after.json()["name"][0] == {**held["name"][0], "family": "New"}
    ids = [item["id"] for item in after.json()["telecom"]]
    assert len(set(ids)) == len(held["telecom"]) + 1


def test_a_patch_has_its_own_media_type_and_may_come_as_post(sandbox: Loopback) -> None:
    _, ids = charted(sandbox, "MedicationRequest")
    body = [{"op": "replace", "path": "/status", "value": "stopped"}]
    path = f"MedicationRequest/{ids[0]}"
    wrong = write(sandbox, "PATCH", path, body, "0", **{"Content-Type": "application/json"})
    assert wrong.status_code == 415
    assert write(sandbox, "POST", path, body).status_code == 405
    by_header = write(sandbox, "POST", path, body, **{"X-HTTP-Method-Override": "PATCH"})
    by_query = write(sandbox, "POST", f"{path}?_method=patch", body, "1")
    assert (by_header.status_code, by_query.status_code) == (200, 200)


def test_a_coverage_can_be_deleted(sandbox: Loopback) -> None:
    patient = {"reference": f"Patient/{sandbox.ids('cerner')[0]}"}
    made = write(sandbox, "POST", "Coverage", {"resourceType": "Coverage", "beneficiary": patient}, None)
    path = made.headers["location"].removeprefix(sandbox.url("cerner") + "/")
    assert write(sandbox, "DELETE", path, None, None).status_code == 412
    assert write(sandbox, "DELETE", path, None).status_code == 204
    assert sandbox.http.get(made.headers["location"]).status_code == 404


# exports


def export(sandbox: Loopback, query: str = "?_type=Patient,Condition", **more: Any) -> httpx.Response:
    return sandbox.kick_off("cerner", f"Group/{sandbox.sites['cerner'].dialect.group}/$export{query}", **more)


def test_an_export_leads_to_files_elsewhere_that_want_no_token(sandbox: Loopback) -> None:
    kicked = export(sandbox)
    busy = export(sandbox)
    assert code(busy) == (429, "error", "throttled")
    waiting = sandbox.http.get(kicked.headers["content-location"])
    assert (waiting.status_code, waiting.headers["x-progress"], waiting.headers["retry-after"]) == (
        202,
        "in-progress",
        "600",
    )
    manifest = sandbox.http.get(kicked.headers["content-location"]).json()
    assert manifest["requiresAccessToken"] is True
    found: dict[str, set[str]] = {}
    for file in manifest["output"]:
        assert sandbox.http.get(file["url"], headers={"Authorization": ""}).status_code == 401
        redirect = sandbox.http.get(file["url"])
        assert redirect.status_code == 307
        assert httpx.URL(redirect.headers["location"]).host != httpx.URL(file["url"]).host
        assert sandbox.http.get(redirect.headers["location"]).status_code == 400, "with the token"
        with httpx.Client(trust_env=False) as anybody:
            found.setdefault(file["type"], set()).update(
                row["id"] for row in lines(anybody.get(redirect.headers["location"]))
            )
    assert found == {kind: set(sandbox.ids("cerner", kind)) for kind in ("Patient", "Condition")}
    assert export(sandbox).status_code == 202, "the first is no longer in progress"
    assert sandbox.http.delete(kicked.headers["content-location"]).status_code == 202


def test_the_address_of_a_file_is_short_lived(sandbox: Loopback) -> None:
    manifest = sandbox.export("cerner", f"Group/{sandbox.sites['cerner'].dialect.group}/$export?_type=Patient")[1]
    location = sandbox.http.get(manifest["output"][0]["url"]).headers["location"]
    sandbox.admin("POST", "clock", json={"shift_seconds": 61})
    with httpx.Client(trust_env=False) as anybody:
        assert anybody.get(location).status_code == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?_type=Organization", 400),
        ("?_type=Patient,Organization", 202),
        ("?_type=Binary", 400),
        ("?_type=Patient&_type=Condition", 400),
        ("?_typeFilter=Condition%3Fclinical-status%3Dactive", 400),
        ("?_type=Condition&_typeFilter=Condition%3F_lastUpdated%3Dge2020", 422),
        ("?_type=Patient&_elements=id", 400),
        ("?_type=Immunization", 403),
    ],
)
def test_the_parameters_of_an_export_are_checked(sandbox: Loopback, query: str, status: int) -> None:
    assert export(sandbox, query).status_code == status


def test_unknown_parameters_pass_where_leniency_is_asked_for(sandbox: Loopback) -> None:
    url = f"{sandbox.url('cerner')}/Group/{sandbox.sites['cerner'].dialect.group}/$export?_type=Patient&_elements=id"
    assert sandbox.http.get(url, headers={"Prefer": "respond-async, handling=lenient"}).status_code == 202


def test_an_export_since_a_moment_holds_what_is_new(sandbox: Loopback) -> None:
    now = sandbox.admin("POST", "clock", json={"shift_seconds": 30})["now"]
    sandbox.http.headers["Authorization"] = f"Bearer {token(sandbox).json()['access_token']}"
    one = sandbox.ids("cerner", "Condition")[0]
    held = sandbox.admin("GET", f"cerner/Condition/{one}")
    sandbox.admin("PUT", f"cerner/Condition/{one}", json={**held, "recordedDate": "2022-02-02"})
    group = sandbox.sites["cerner"].dialect.group
    manifest = sandbox.export("cerner", f"Group/{group}/$export?_type=Patient,Condition&_since={now}")[1]
    assert [(file["type"], file["count"]) for file in manifest["output"]] == [("Condition", 1)]
