"""What a vendor's API makes of a write, one knob at a time; clinicians at the vendor know none of the rules."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.dialects.fhir import FhirSettings
from holovitals_pipelines.sandbox.process import start_sandbox
from holovitals_pipelines.sandbox.site import apply_settings
from holovitals_pipelines.sandbox.splice import changed_at, with_members, without_version
from sandbox.loopback import Loopback, entries, serving
from tests.local_http import LOCAL

BODY = {"resourceType": "Basic", "id": "b1", "code": {"text": "Before"}}


def turn(sandbox: Loopback, **knobs: Any) -> None:
    sandbox.admin("POST", "fhir/settings", json=knobs)


def clinician(sandbox: Loopback, **content: Any) -> None:
    sandbox.admin("PUT", "fhir/Basic/b1", json={**BODY, **content})


def put(sandbox: Loopback, body: dict[str, Any] | bytes, **headers: str) -> httpx.Response:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sandbox.http.put(f"{sandbox.url('fhir')}/Basic/b1", headers=named, **sent)


def held(sandbox: Loopback) -> dict[str, Any]:
    return sandbox.admin("GET", "fhir/Basic/b1")  # type: ignore[no-any-return]


def test_without_etags_there_is_no_version_anywhere_and_if_match_is_ignored(sandbox: Loopback) -> None:
    clinician(sandbox)
    turn(sandbox, etags=False)
    read = sandbox.get("fhir", "Basic/b1")
    assert "etag" not in read.headers and set(read.json()["meta"]) == {"lastUpdated"}
    done = put(sandbox, {**BODY, "code": {"text": "After"}}, If_Match='W/"99"')
    assert done.status_code == 200 and "etag" not in done.headers and "_history" not in done.headers["location"]
    assert b"versionId" not in done.content
    page = sandbox.get("fhir", "Observation?_count=20")
    assert entries(page.json()) and b"versionId" not in page.content and b"lastUpdated" in page.content
    url = sandbox.export("fhir", "$export?_type=Observation")[1]["output"][0]["url"]
    whole = sandbox.http.get(url)
    assert b"versionId" not in whole.content and len(whole.content) == int(whole.headers["content-length"])
    turn(sandbox, etags=True)
    assert sandbox.get("fhir", "Basic/b1").headers["etag"] == 'W/"2"'


@pytest.mark.parametrize(("missing", "stale"), [(400, 412), (412, 409), (428, 412)])
def test_a_required_if_match_is_missed_and_judged_with_the_vendors_own_statuses(
    sandbox: Loopback, missing: int, stale: int
) -> None:
    turn(sandbox, require_if_match=True, missing_status=missing, stale_status=stale)
    assert put(sandbox, BODY).status_code == 201, "there is nothing to name yet"
    assert put(sandbox, BODY).status_code == missing
    assert put(sandbox, BODY, If_Match='W/"7"').status_code == stale
    assert put(sandbox, BODY, If_Match='W/"1"').status_code == 200
    url = f"{sandbox.url('fhir')}/Basic/b1"
    assert sandbox.http.delete(url).status_code == missing
    assert sandbox.http.delete(url, headers={"If-Match": 'W/"2"'}).status_code == 204


def test_a_read_only_server_declares_no_write_and_refuses_all(sandbox: Loopback) -> None:
    clinician(sandbox)
    turn(sandbox, read_only=True)
    base = sandbox.url("fhir")
    refused = [
        put(sandbox, BODY),
        sandbox.http.post(f"{base}/Basic", json=BODY),
        sandbox.http.delete(f"{base}/Basic/b1"),
    ]
    assert [answer.status_code for answer in refused] == [405, 405, 405]
    declared = sandbox.get("fhir", "metadata").json()["rest"][0]["resource"][0]
    assert not {"create", "update", "delete"} & {each["code"] for each in declared["interaction"]}
    clinician(sandbox, code={"text": "Edited inside"})
    assert held(sandbox)["code"]["text"] == "Edited inside"


def test_an_immutable_element_keeps_the_vendors_value_silently(sandbox: Loopback) -> None:
    turn(sandbox, immutable=["Basic.created", "Patient.birthDate"])
    first = put(sandbox, {**BODY, "created": "2020-01-01", "_created": {"id": "x"}})
    assert first.json()["created"] == "2020-01-01", "a create is free to set it"
    changed = put(sandbox, {**BODY, "created": "2021-02-02", "code": {"text": "After"}}).json()
    assert (changed["created"], changed["_created"], changed["code"]["text"]) == ("2020-01-01", {"id": "x"}, "After")
    assert put(sandbox, BODY).json()["created"] == "2020-01-01", "leaving it out is no change either"
    clinician(sandbox, created="2022-03-03")
    assert held(sandbox)["created"] == "2022-03-03"


def test_a_lossy_vendor_drops_and_lowers_and_keeps_every_other_byte(sandbox: Loopback) -> None:
    turn(sandbox, lossy={"drop": ["Basic.author", "Basic.extension.id"], "lower": ["Basic.code.coding.code"]})
    sent = (
        b'{"resourceType":"Basic","id":"b1","author":{"display":"A"},"x": 1.500,'
        b'"extension":[{"id":"e1","url":"u","valueDecimal":2.10},{"url":"v"}],'
        b'"code":{"coding":[{"code":"ABC","version":"V1"},{"code":7}],"text":"Kept"}}'
    )
    stored = put(sandbox, sent).content
    assert b"author" not in stored and b'"x":1.500' in stored
    assert b'"extension":[{"url":"u","valueDecimal":2.10},{"url":"v"}]' in stored
    assert b'"code":{"coding":[{"code":"abc","version":"V1"},{"code":7}],"text":"Kept"}' in stored
    clinician(sandbox, author={"display": "B"})
    assert held(sandbox)["author"] == {"display": "B"}


@pytest.mark.parametrize("quiet", ["knob", "prefer"])
def test_a_write_can_be_answered_without_a_body(sandbox: Loopback, quiet: str) -> None:
    turn(sandbox, return_body=quiet != "knob")
    headers = {"Prefer": "return=minimal" if quiet == "prefer" else "return=representation"}
    made = sandbox.http.post(f"{sandbox.url('fhir')}/Basic", json=BODY, headers=headers)
    assert (made.status_code, made.content, made.headers["etag"]) == (201, b"", 'W/"1"')
    url, _, version = made.headers["location"].partition("/_history/")
    assert version == "1" and sandbox.http.get(url).json()["code"] == BODY["code"]
    again = sandbox.http.put(url, json={**BODY, "id": url.rsplit("/", 1)[1]}, headers=headers)
    assert (again.status_code, again.content, again.headers["etag"]) == (200, b"", 'W/"2"')


@pytest.mark.parametrize(("status", "gone"), [(204, True), (200, True), (202, True), (405, False), (409, False)])
def test_a_delete_is_answered_as_the_vendor_is_set(sandbox: Loopback, status: int, gone: bool) -> None:
    clinician(sandbox)
    turn(sandbox, delete_status=status)
    assert sandbox.http.delete(f"{sandbox.url('fhir')}/Basic/b1").status_code == status
    assert (sandbox.get("fhir", "Basic/b1").status_code == 410) is gone


def test_an_identifier_is_found_whatever_stands_in_it(sandbox: Loopback) -> None:
    for number, value in enumerate(["1", "a,b", "a|b", "a\\b"]):
        clinician_body = {
            "resourceType": "Basic",
            "id": f"i{number}",
            "identifier": [{"system": "urn:s", "value": value}],
        }
        sandbox.admin("PUT", f"fhir/Basic/i{number}", json=clinician_body)
    sandbox.admin(
        "PUT", "fhir/Basic/bare", json={"resourceType": "Basic", "id": "bare", "identifier": [{"value": "1"}]}
    )

    def found(token: str) -> list[str]:
        page = sandbox.http.get(f"{sandbox.url('fhir')}/Basic", params={"identifier": token}).json()
        return [resource["id"] for resource in entries(page)]

    assert found("urn:s|1") == ["i0"] and found("|1") == ["bare"] and found("1") == ["i0", "bare"]
    assert found("urn:s|a\\,b") == ["i1"] and found("urn:s|a\\|b") == ["i2"] and found("urn:s|a\\\\b") == ["i3"]
    assert found("urn:s|1,urn:s|a\\,b") == ["i0", "i1"] and found("urn:t|1") == []


def test_f11_the_work_can_be_done_and_another_status_answered(sandbox: Loopback) -> None:
    for status in (202, 500, 502):
        sandbox.fault(kind="status_after_commit", method="PUT", path="Basic/{id}", status=status)
        assert put(sandbox, {**BODY, "code": {"text": f"After {status}"}}).status_code == status
        assert held(sandbox)["code"]["text"] == f"After {status}"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_f11_every_write_can_happen_and_its_answer_be_lost(sandbox: Loopback, method: str) -> None:
    clinician(sandbox)
    before = sandbox.admin("GET", "counts")["fhir"]["Basic"]
    sandbox.fault(kind="drop_after_commit", method=method, path="Basic*")
    url = f"{sandbox.url('fhir')}/Basic" + ("" if method == "POST" else "/b1")
    body = None if method == "DELETE" else {**BODY, "code": {"text": "After"}}
    with pytest.raises(httpx.TransportError):
        sandbox.http.request(method, url, json=body)
    after = sandbox.admin("GET", "counts")["fhir"]["Basic"]
    assert after - before == {"PUT": 0, "POST": 1, "DELETE": -1}[method]
    if method == "PUT":
        assert held(sandbox)["code"]["text"] == "After"


def test_f10_somebody_can_edit_between_read_and_write(sandbox: Loopback) -> None:
    clinician(sandbox, author={"display": "A"})
    edit = {"kind": "edit_before_write", "method": "PUT", "path": "Basic/{id}"}
    sandbox.fault(**edit, element="author", value={"display": "B"})
    assert put(sandbox, BODY, If_Match='W/"1"').status_code == 412
    assert held(sandbox)["author"] == {"display": "B"}
    sandbox.fault(**edit, element="author")
    assert put(sandbox, BODY, If_Match='W/"2"').status_code == 412
    assert "author" not in held(sandbox)
    sandbox.fault(**edit)
    assert put(sandbox, BODY, If_Match='W/"3"').status_code == 412
    assert held(sandbox)["extension"][0]["url"].endswith("edited")
    sandbox.fault(**edit, edit="delete")
    assert put(sandbox, BODY, If_Match='W/"4"').status_code == 412
    assert sandbox.get("fhir", "Basic/b1").status_code == 410


def test_epic_creates_for_known_patients_and_mapped_codes_only() -> None:
    with serving(settings={"epic": {"unmapped_codes": "8867-4"}}) as sandbox:

        def create(patient: str, code: str) -> httpx.Response:
            body = {
                "resourceType": "Observation", "status": "final", "code": {"coding": [{"code": code}]},
                "subject": {"reference": f"Patient/{patient}"},
            }  # fmt: skip
            return sandbox.http.post(f"{sandbox.url('epic')}/Observation", json=body)

        patient = sandbox.ids("epic")[0]
        assert create(patient, "8302-2").status_code == 201
        for answer, code in ((create(patient, "8867-4"), "59188"), (create("nobody", "8302-2"), "59144")):
            assert answer.status_code == 400
            assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == code


def test_epic_updates_nothing_of_a_hidden_patient() -> None:
    with serving(settings={"epic": {"break_the_glass": 1}}) as sandbox:
        records, patient = sandbox.sites["epic"].records, sandbox.ids("epic")[0]
        observation = records.identity(records.in_chart("Observation", patient)[0])
        body = sandbox.admin("GET", f"epic/Observation/{observation}")
        answer = sandbox.http.put(f"{sandbox.url('epic')}/Observation/{observation}", json=body)
        assert answer.status_code == 403 and answer.json()["issue"][0]["details"]["coding"][0]["code"] == "4130"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("etags", "no", False),
        ("etags", "True", True),
        ("immutable", "Patient.birthDate,Patient.gender", ("Patient.birthDate", "Patient.gender")),
        ("immutable", "", ()),
        ("lossy", '{"drop":["Patient.photo"]}', {"drop": ["Patient.photo"]}),
        ("delete_status", "200", 200),
    ],
)
def test_knobs_are_read_from_text_as_what_they_are(name: str, text: str, value: Any) -> None:
    assert getattr(apply_settings(FhirSettings(), {name: text}), name) == value


def test_a_knob_that_is_no_yes_or_no_is_refused(sandbox: Loopback) -> None:
    refused = sandbox.http.post(f"{sandbox.origin}/_sandbox/fhir/settings", json={"etags": "perhaps"})
    assert refused.status_code == 400
    with pytest.raises(ConfigurationError), serving(settings={"fhir": {"etags": "perhaps"}}):
        pass


def test_a_started_sandbox_takes_every_kind_of_knob() -> None:
    knobs = {"etags": False, "immutable": ["Patient.gender"], "lossy": {"drop": ["Patient.photo"]}}
    with start_sandbox(patients=1, dialects=["fhir"], settings={"fhir": knobs}) as running:
        shown = LOCAL.get(f"{running.admin_url}/fhir/settings").json()
        assert {name: shown[name] for name in knobs} == knobs
        patient = running.patient_ids("fhir")[0]
        read = LOCAL.get(f"{running.base_urls['fhir']}/Patient/{patient}")
        assert "etag" not in read.headers and "versionId" not in read.json()["meta"]


PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)


@given(document=st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3), path=PATHS)
def test_a_change_that_changes_nothing_leaves_the_document_as_it_was(document: dict[str, Any], path: list[str]) -> None:
    body = orjson.dumps(document)
    assert orjson.loads(changed_at(body, path, lambda raw: raw)) == document
    assert orjson.loads(with_members(body, {path[0]: None})) == {k: v for k, v in document.items() if k != path[0]}


def test_taking_the_version_away_leaves_the_rest_of_meta() -> None:
    whole = b'{"resourceType":"Basic","id":"b","meta":{"versionId":"3","lastUpdated":"2024-01-01T00:00:00Z","x":1.50}}'
    assert without_version(whole) == whole.replace(b'"versionId":"3",', b"")
    assert without_version(b'{"resourceType":"Basic","meta":{"versionId":"3"}}') == b'{"resourceType":"Basic"}'
    plain = b'{ "resourceType":"Basic" }'
    assert without_version(plain) is plain
