"""Reading a page: the exact bytes of each resource, links, outcomes and deletions."""

from __future__ import annotations

import json

import pytest

from holovitals_pipelines.fhir.wire import DeletedEntry, MalformedResource, OutcomeIssue, read_bundle, read_outcome

PATIENT = b'{\n      "resourceType" : "Patient",\n\t"id":"p1",  "x": 1.00, "y": "\\u00e9" }'
OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "warning",
            "code": "processing",
            "details": {"coding": [{"system": "urn:x"}, {"code": "4119"}], "text": "said"},
            "diagnostics": "SECRET",
            "expression": ["Patient.name"],
        }
    ],
}


def test_a_resource_keeps_its_own_bytes() -> None:
    page = (
        b'{"resourceType":"Bundle","type":"searchset","total":3,"link":[{"relation":"self","url":"http://h/a"},'
        b'{"relation":"next","url":"http://h/b?page=2"}],\n "entry" : '
        b'[ { "fullUrl":"http://h/Patient/p1", "resource" :  ' + PATIENT + b'  ,"search":{"mode":"match"} }, '
        b'{"resource":{"id":"o","resourceType":"Organization"},"search":{"mode":"include"}},'
        b'{"resource":{"a":{"resourceType":"Inner"}}}]}'
    )
    read = read_bundle(page)
    assert read.entries == [
        (PATIENT, "match", "Patient"),
        (b'{"id":"o","resourceType":"Organization"}', "include", "Organization"),
        (b'{"a":{"resourceType":"Inner"}}', None, None),
    ]
    assert (read.next_url, read.self_url, read.total, read.type) == ("http://h/b?page=2", "http://h/a", 3, "searchset")
    assert (read.issues, read.deleted, read.outcomes) == ([], [], [])


@pytest.mark.parametrize("page", [b'{"resourceType":"Bundle"}', b'{"resourceType":"Bundle","entry":null,"link":null}'])
def test_an_empty_page_is_a_page(page: bytes) -> None:
    read = read_bundle(page)
    assert (read.entries, read.next_url, read.total) == ([], None, None)


@pytest.mark.parametrize("total", [b'"3"', b"3.0", b"null", b"true", b"{}"])
def test_a_total_that_is_no_count_is_no_total(total: bytes) -> None:
    assert read_bundle(b'{"resourceType":"Bundle","total":%s}' % total).total is None


def test_a_byte_order_mark_before_the_page_is_skipped() -> None:
    page = b'\xef\xbb\xbf{"resourceType":"Bundle","entry":[{"resource":%s}]}' % PATIENT
    assert read_bundle(page).entries[0].body == PATIENT


ISSUE = OutcomeIssue("warning", "processing", "4119", ("Patient.name",), "SECRET")


def test_an_outcome_among_the_entries_is_no_resource() -> None:
    outcome = json.dumps(OUTCOME, indent=1).encode()
    page = b'{"resourceType":"Bundle","entry":[{"resource":%s},{"resource":%s,"search":{"mode":"outcome"}}]}'
    read = read_bundle(page % (PATIENT, outcome))
    assert [entry.body for entry in read.entries] == [PATIENT]
    assert read.issues == [ISSUE]
    assert read.outcomes == [outcome]


def test_a_bare_outcome_is_a_page_of_issues() -> None:
    read = read_bundle(json.dumps(OUTCOME).encode())
    assert (read.entries, read.issues, read.type) == ([], [ISSUE], None)


def test_the_outcome_of_a_batch_answer_is_found() -> None:
    entry = {"response": {"status": "404", "outcome": OUTCOME}}
    read = read_bundle(json.dumps({"resourceType": "Bundle", "type": "batch-response", "entry": [entry]}).encode())
    assert (read.entries, read.issues) == ([], [ISSUE])


def test_diagnostics_are_kept_and_not_shown() -> None:
    read = read_bundle(json.dumps(OUTCOME).encode())
    assert read.issues[0].diagnostics == "SECRET"
    assert "SECRET" not in repr(read) + repr(read.issues)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"resourceType":"Patient","issue":[{}]}', b'{"resourceType":"OperationOutcome"}'],
)
def test_anything_else_has_no_issues(body: bytes) -> None:
    assert read_outcome(body) == ()


def test_a_misshapen_outcome_is_read_as_far_as_it_goes() -> None:
    body = {
        "resourceType": "OperationOutcome",
        "issue": [
            None,
            {"severity": 3, "details": "x", "expression": "y"},
            {"details": {"coding": ["z"], "text": "t"}, "location": ["a", 1]},
        ],
    }
    assert read_outcome(json.dumps(body).encode()) == (
        OutcomeIssue(None, None),
        OutcomeIssue(None, None, None, ("a",), "t"),
    )


def test_history_tells_what_was_deleted_and_when_relative_to_the_rest() -> None:
    entries = [
        {"request": {"method": "DELETE", "url": "Patient/a"}},
        {"resource": {"resourceType": "Patient", "id": "b"}, "request": {"method": "PUT", "url": "Patient/b"}},
        {"request": {"method": "DELETE", "url": "http://h/fhir/Observation/o.1-2/_history/3"}},
        {"fullUrl": "http://h/Patient/c", "request": {"method": "DELETE"}},
        {"request": {"method": "DELETE", "url": "Patient?identifier=7"}},
        {"request": {"method": "DELETE", "url": "Nonsense/1"}},
        {"resource": {"resourceType": "Patient", "id": "d"}, "request": {"method": "DELETE", "url": "Patient/d"}},
    ]
    read = read_bundle(json.dumps({"resourceType": "Bundle", "type": "history", "entry": entries}).encode())
    assert read.deleted == [
        DeletedEntry("Patient", "a", 0),
        DeletedEntry("Observation", "o.1-2", 1),
        DeletedEntry("Patient", "c", 1),
        DeletedEntry("Patient", "d", 1),
    ]
    assert len(read.entries) == 1


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "json.markup"),
        (b'<?xml version="1.0"?><Bundle xmlns="http://hl7.org/fhir"/>', "json.markup"),
        (b"Service temporarily unavailable", "json.malformed"),
        (b"", "json.empty"),
        (b'{"resourceType":"Bundle","entry":[{"resource":{"id":"SECRET"', "json.truncated"),
        (b'["SECRET"]', "json.not_an_object"),
        (b'{"resourceType":"Patient","id":"SECRET"}', "bundle.unexpected_type"),
        (b'{"resourceType":"SECRET"}', "bundle.unexpected_type"),
        (b'{"issue":[]}', "bundle.unexpected_type"),
        (b'{"resourceType":"Bundle","entry":{"resource":"SECRET"}}', "bundle.shape"),
        (b'{"resourceType":"Bundle","entry":["SECRET"]}', "bundle.shape"),
        (b'{"resourceType":"Bundle","link":[{"relation":["SECRET"]}]}', "bundle.shape"),
        (b'{"resourceType":["SECRET"]}', "bundle.shape"),
    ],
)
def test_what_is_no_page_is_a_clear_error_without_its_content(page: bytes, code: str) -> None:
    with pytest.raises(MalformedResource) as refusal:
        read_bundle(page)
    assert refusal.value.code == code
    assert refusal.value.remedy
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.__context__ is None


def test_a_shape_error_names_the_place() -> None:
    with pytest.raises(MalformedResource, match=r"Bundle\.entry"):
        read_bundle(b'{"resourceType":"Bundle","entry":{}}')


def test_html_and_xml_are_told_apart() -> None:
    with pytest.raises(MalformedResource, match="HTML"):
        read_bundle(b"<html>")
    with pytest.raises(MalformedResource, match="XML"):
        read_bundle(b"<Bundle/>")
