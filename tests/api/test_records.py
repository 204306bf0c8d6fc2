"""The local side over HTTP: exact bodies, edits against what was read, and nothing overwritten unseen."""

from __future__ import annotations

import json
from typing import Any

from holovitals_pipelines.engine.local_records import read_record
from holovitals_pipelines.store import audit
from tests.api.service import FHIR, Service, is_problem


def put(api: Service, path: str, body: Any, seen: str | None, role: str = "operator") -> Any:
    headers = {"Content-Type": FHIR} | ({"If-Match": seen} if seen is not None else {})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return api.call("PUT", path, role, content=content, headers=headers)


def test_a_record_is_answered_to_the_byte_with_its_version_as_etag(api: Service) -> None:
    record_id = api.patient("r1")
    answer = api.call("GET", f"/api/records/Patient/{record_id}")
    assert answer.status_code == 200 and answer.headers["etag"] == '"1"'
    assert answer.headers["content-type"].startswith(FHIR) and answer.headers["cache-control"] == "no-store"
    assert answer.content == read_record(api.home.database, record_id).body
    known = api.call("GET", f"/api/records/Patient/{record_id}", headers={"If-None-Match": '"1"'})
    assert known.status_code == 304 and known.content == b""


def test_a_record_is_found_by_the_id_a_vendor_gave_it(api: Service) -> None:
    record_id = api.patient("r2")
    answer = api.call("GET", "/api/records/Patient/r2")
    assert answer.headers["x-record-id"] == record_id
    assert api.call("GET", "/api/records/Patient/r2?connection=clinic").status_code == 200
    is_problem(api.call("GET", "/api/records/Patient/r2?connection=conn_123"), 404, "record.unknown")
    is_problem(api.call("GET", f"/api/records/Observation/{record_id}"), 404, "record.unknown")
    is_problem(api.call("GET", f"/api/records/Patient/{record_id[:8]}"), 404, "record.unknown")


def test_an_edit_is_a_new_version_under_the_tokens_name_and_keeps_every_digit(api: Service) -> None:
    record_id = api.patient("r3")
    path = f"/api/records/Patient/{record_id}"
    seen = api.call("GET", path)
    body = seen.content.replace(b"1950-01-01", b"1950-01-02")
    changed = put(api, path, body, seen.headers["etag"])
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"' and changed.content == body
    versions = api.get(f"{path}/history")["versions"]
    assert [(one["version"], one["changedBy"]) for one in versions] == [(2, "a-operator"), (1, "clinic")]
    assert api.call("GET", f"{path}/history/1").content == seen.content
    with api.home.database.read() as transaction:
        [entry] = [e for e in audit.entries(transaction, record_id=record_id) if e.action == "edit"]
    assert (entry.actor, entry.before_version, entry.after_version) == ("a-operator", 1, 2)


def test_a_change_without_the_version_that_was_seen_changes_nothing(api: Service) -> None:
    record_id = api.patient("r4")
    path = f"/api/records/Patient/{record_id}"
    body = api.call("GET", path).content
    other = body.replace(b"1950-01-01", b"1950-01-02")
    is_problem(put(api, path, other, None), 428, "api.precondition_needed")
    is_problem(put(api, path, other, "*"), 428, "api.precondition_needed")
    is_problem(put(api, path, other, "one"), 400, "api.if_match_unreadable")
    is_problem(put(api, path, other, '"7"'), 412, "record.changed")
    is_problem(api.call("DELETE", path, "operator"), 428, "api.precondition_needed")
    is_problem(api.call("DELETE", path, "operator", headers={"If-Match": '"9"'}), 412, "record.changed")
    assert api.call("GET", path).content == body and api.call("GET", path).headers["etag"] == '"1"'
    assert put(api, path, other, 'W/"1"').status_code == 200, "FHIR's clients send weak tags"


def test_two_editors_of_one_version_do_not_overwrite_each_other(api: Service) -> None:
    path = f"/api/records/Patient/{api.patient('r5')}"
    seen = api.call("GET", path)
    first, second = (seen.content.replace(b"1950-01-01", day) for day in (b"1950-05-05", b"1950-06-06"))
    assert put(api, path, first, seen.headers["etag"]).status_code == 200
    is_problem(put(api, path, second, seen.headers["etag"]), 412, "record.changed")
    assert api.call("GET", path).content == first


def test_an_edit_has_to_be_a_valid_resource_of_that_type_and_id(api: Service) -> None:
    path = f"/api/records/Patient/{api.patient('r6')}"
    held = json.loads(api.call("GET", path).content)
    invalid = is_problem(put(api, path, {**held, "birthDate": "SECRET"}, '"1"'), 422, "record.invalid")
    assert "birthDate" in invalid["place"] and "SECRET" not in json.dumps(invalid)
    is_problem(put(api, path, {**held, "resourceType": "Observation"}, '"1"'), 422, "record.invalid")
    is_problem(put(api, path, {**held, "id": "another"}, '"1"'), 422, "record.invalid")
    is_problem(put(api, path, b"{", '"1"'), 422, "record.invalid")
    html = api.call("PUT", path, "operator", content=b"<x/>", headers={"Content-Type": "text/xml", "If-Match": '"1"'})
    is_problem(html, 415, "api.media_type")


def test_a_deleted_record_is_gone_and_its_versions_stay(api: Service) -> None:
    path = f"/api/records/Patient/{api.patient('r7')}"
    body = api.call("GET", path).content
    deleted = api.call("DELETE", path, "operator", headers={"If-Match": '"1"'})
    assert deleted.status_code == 200 and deleted.headers["etag"] == '"2"' and deleted.json()["state"] == "deleted"
    assert '"2"' in is_problem(api.call("GET", path), 410, "record.gone")["remedy"]
    is_problem(api.call("GET", f"{path}/history/2"), 410, "record.gone")
    assert api.call("GET", f"{path}/history/1").content == body
    assert [one["state"] for one in api.get(f"{path}/history")["versions"]] == ["deleted", "active"]
    assert put(api, path, body, '"2"').status_code == 200 and api.call("GET", path).status_code == 200


def test_a_record_made_here_waits_to_be_created_at_the_vendor(api: Service) -> None:
    body = b'{"resourceType":"Patient","name":[{"family":"New"}],"multipleBirthInteger":2}'
    made = api.call(
        "POST", "/api/records/Patient?connection=clinic", "operator", content=body, headers={"Content-Type": FHIR}
    )
    assert made.status_code == 201 and made.content == body and made.headers["etag"] == '"1"'
    path = made.headers["location"]
    assert api.call("GET", path).content == body
    [link] = api.get(f"{path}/links")["links"]
    assert (link["connection"], link["remoteId"], link["state"], link["marked"]) == ("clinic", None, "pending", "local")
    unknown = api.call(
        "POST", "/api/records/Patient?connection=nowhere", "operator", content=body, headers={"Content-Type": FHIR}
    )
    is_problem(unknown, 404, "settings.connection_unknown")
    wrong = api.call("POST", "/api/records/Nonsense", "operator", content=body, headers={"Content-Type": FHIR})
    is_problem(wrong, 422, "record.invalid")


def test_a_list_names_records_and_nothing_of_them(api: Service) -> None:
    record_id = api.patient("r8")
    answer = api.call("GET", "/api/records?type=Patient&connection=clinic&state=active&limit=1000")
    [entry] = [one for one in answer.json()["items"] if one["recordId"] == record_id]
    assert entry == {
        "recordId": record_id, "resourceType": "Patient", "version": 1, "state": "active", "changedBy": "clinic",
        "updatedAt": entry["updatedAt"],
    }  # fmt: skip
    assert "1950" not in answer.text and "Doe" not in answer.text
    assert api.get("/api/records?type=Patient&changedSince=2100-01-01T00:00:00Z")["items"] == []
    assert api.get("/api/records?type=Medication")["items"] == []


def test_pages_show_every_record_once_though_others_come_and_change_meanwhile(api: Service) -> None:
    before = {api.patient(f"page{number}") for number in range(7)}
    seen: list[str] = []
    cursor, number = None, 0
    while True:
        query = {"type": "Patient", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api.get("/api/records", params=query)
        assert len(page["items"]) <= 2
        seen += [one["recordId"] for one in page["items"]]
        cursor, number = page["next"], number + 1
        if cursor is None:
            break
        api.edit(api.patient(f"between{number}"), gender="male")
        api.edit(seen[0], birthDate=f"1960-01-{number:02d}")
    assert len(seen) == len(set(seen)) and before <= set(seen) and number > 3
    is_problem(api.call("GET", "/api/records?cursor=x"), 400, "page.cursor_invalid")
    jobs_cursor = "WyJqb2JzIiwgIjEiXQ"
    is_problem(api.call("GET", f"/api/records?cursor={jobs_cursor}"), 400, "page.cursor_invalid")
