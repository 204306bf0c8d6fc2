"""The simulated athenahealth practice, as a client without our adapter sees it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from sandbox.loopback import Loopback, serving

CLIENT = ("holovitals-sandbox", "holovitals-sandbox-secret")
FORM = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*"}
FEED = "chart/healthhistory/problems/changed"


class Practice:
    """A client with a token."""

    def __init__(self, sandbox: Loopback) -> None:
        self.sandbox = sandbox
        self.base = sandbox.url("athenahealth")
        self.token = self.new_token().json()["access_token"]

    def new_token(self, client: tuple[str, str] = CLIENT, **form: str) -> httpx.Response:
        url = f"{self.sandbox.origin}/athenahealth/oauth2/v1/token"
        return self.sandbox.http.post(url, auth=client, data={**FORM, **form})

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.sandbox.http.request(method, f"{self.base}/{path}", headers=headers, **more)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def patients(self) -> list[str]:
        return self.sandbox.ids("athenahealth")

    def chart(self, name: str) -> tuple[str, list[Any]]:
        """(patient, items) of the first chart that has any."""
        for patient in self.patients():
            answer = self.get(f"chart/{patient}/{name}", departmentid="1")
            items = next(value for value in answer.values() if isinstance(value, list))
            if items:
                return patient, items
        raise AssertionError(f"nobody has {name}")

    def edit_problem(self, number: int, **members: Any) -> None:
        path = f"{self.sandbox.origin}/_sandbox/athenahealth/Condition/{number}"
        resource = {**self.sandbox.http.get(path).json(), **members}
        assert self.sandbox.http.put(path, json=resource).is_success


@pytest.fixture(scope="module")
def running() -> Iterator[Practice]:
    with serving(dialects=["athenahealth"], patients=16) as sandbox:
        yield Practice(sandbox)


@pytest.fixture
def practice(running: Practice) -> Iterator[Practice]:
    """The same practice, its clock moving on between tests."""
    running.sandbox.clock.shift(1)
    yield running
    defaults = {"requests_per_second": 0, "mashery": False, "change_delay_seconds": 0, "processed_hours": 72}
    running.sandbox.admin("POST", "athenahealth/settings", json={**defaults, "refuse_writes": False})


def test_a_token_is_given_for_basic_credentials_and_lives_its_time(practice: Practice) -> None:
    told = [practice.new_token().json()["expires_in"] for _ in range(2)]
    assert {type(one) for one in told} == {int, str} and {int(one) for one in told} == {3600}
    refused = practice.new_token(client=("holovitals-sandbox", "wrong"))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert practice.new_token(scope="openid").json() == {"error": "invalid_scope"}
    token, practice.token = practice.token, "none of theirs"
    assert practice.ask("GET", "departments").status_code == 401
    practice.token = token
    practice.sandbox.clock.shift(3601)
    assert practice.ask("GET", "departments").status_code == 401
    practice.token = practice.new_token().json()["access_token"]
    assert practice.ask("GET", "departments").status_code == 200


def test_a_patient_is_an_array_of_one_with_american_dates_and_a_masked_number(practice: Practice) -> None:
    (record,) = practice.get(f"patients/{practice.patients()[0]}")
    assert isinstance(record["patientid"], str) and isinstance(record["departmentid"], str)
    assert record["ssn"].startswith("*****") and len(record["ssn"]) == 9
    datetime.strptime(record["dob"], "%m/%d/%Y").replace(tzinfo=UTC)


def test_lists_are_paged_by_offset_with_links_relative_to_the_host(practice: Practice) -> None:
    first = practice.get("patients", departmentid="1", limit=2)
    assert first["totalcount"] > 2 and "previous" not in first
    assert first["next"] == "/v1/195900/patients?departmentid=1&limit=2&offset=2"
    second = practice.get("patients", departmentid="1", limit=2, offset=2)
    assert second["previous"].endswith("offset=0")
    assert not {one["patientid"] for one in first["patients"]} & {one["patientid"] for one in second["patients"]}
    assert practice.ask("GET", "patients").status_code == 400


def test_ids_are_numbers_in_charts_and_every_list_has_its_own_shape(practice: Practice) -> None:
    patient, problems = practice.chart("problems")
    assert isinstance(problems[0]["problemid"], int) and "patientid" not in problems[0]
    _, medications = practice.chart("medications")
    assert isinstance(medications[0], list) and medications[0][0]["medicationentryid"].startswith("H")
    _, results = practice.chart("labresults")
    datetime.strptime(results[0]["labresultdatetime"], "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC)
    booked = practice.get(f"patients/{patient}/appointments")["appointments"]
    assert booked[0]["patientid"] == patient and isinstance(booked[0]["appointmentid"], str)
    missing = practice.ask("GET", f"chart/{patient}/problems")
    assert (missing.status_code, missing.json()["missingfields"]) == (400, ["departmentid"])


def test_what_is_not_there_is_said_by_the_api_or_by_its_gateway(practice: Practice) -> None:
    nobody = practice.ask("GET", "patients/999999999")
    assert (nobody.status_code, set(nobody.json())) == (404, {"error", "detailedmessage"})
    elsewhere = practice.ask("GET", "patient-list")
    assert (elsewhere.status_code, elsewhere.text) == (404, "Service not registered with API gateway.")


def test_a_feed_needs_a_subscription_and_reading_it_takes_its_messages(practice: Practice) -> None:
    refused = practice.ask("GET", FEED)
    assert refused.status_code == 403
    assert refused.json()["error"] == "Changed messages require setup (subscription) that has not been done."
    assert practice.get(f"{FEED}/subscription")["status"] == "INACTIVE"
    events = [one["eventname"] for one in practice.get(f"{FEED}/subscription/events")["subscriptions"]]
    practice.ask("POST", f"{FEED}/subscription", data={"eventname": events[0]})
    assert practice.get(f"{FEED}/subscription")["status"] == "PARTIAL"
    practice.ask("POST", f"{FEED}/subscription")
    assert practice.get(f"{FEED}/subscription")["status"] == "ACTIVE"
    practice.sandbox.clock.shift(1)
    patient, problems = practice.chart("problems")
    number = problems[0]["problemid"]
    practice.edit_problem(number, language="en")
    for _ in range(2):
        left = practice.get(FEED, leaveunprocessed="true")["problems"]
        assert [(one["problemid"], one["patientid"]) for one in left] == [(number, int(patient))]
    assert "bestmatchicd10code" not in left[0]
    assert len(practice.get(FEED)["problems"]) == 1
    assert practice.get(FEED) == {"totalcount": 0, "problems": []}
    window = {"showprocessedstartdatetime": "01/01/2000 00:00:00", "leaveunprocessed": "true"}
    assert len(practice.get(FEED, **window)["problems"]) == 1
    practice.sandbox.clock.shift(73 * 3600)
    practice.token = practice.new_token().json()["access_token"]
    assert practice.get(FEED, **window)["problems"] == []
    assert practice.ask("DELETE", f"{FEED}/subscription").is_success
    assert practice.ask("GET", FEED).status_code == 403


def test_a_change_takes_its_time_to_reach_the_feed_and_a_page_takes_only_itself(practice: Practice) -> None:
    practice.ask("POST", f"{FEED}/subscription")
    practice.sandbox.clock.shift(1)
    practice.sandbox.admin("POST", "athenahealth/settings", json={"change_delay_seconds": 300})
    _, problems = practice.chart("problems")
    for language in ("en", "de", "fr"):
        practice.edit_problem(problems[0]["problemid"], language=language)
        practice.sandbox.clock.shift(1)
    assert practice.get(FEED)["problems"] == []
    practice.sandbox.clock.shift(300)
    assert len(practice.get(FEED, limit=2)["problems"]) == 2
    assert len(practice.get(FEED, limit=2)["problems"]) == 1
    practice.ask("DELETE", f"{FEED}/subscription")


def test_a_patient_is_written_by_form_and_read_again(practice: Practice) -> None:
    form = {"departmentid": "1", "lastname": "Example", "firstname": "Ann", "dob": "02/29/1980", "sex": "F"}
    assert practice.ask("POST", "patients", json=form).status_code == 400
    (made,) = practice.ask("POST", "patients", data=form).json()
    assert made["errormessage"] == ""
    changed = practice.ask("PUT", f"patients/{made['patientid']}", data={"homephone": "6175550100", "city": "BOSTON"})
    assert changed.json() == [{"patientid": made["patientid"]}]
    (record,) = practice.get(f"patients/{made['patientid']}")
    assert {**form, "homephone": "6175550100", "city": "BOSTON"}.items() - record.items() <= {("departmentid", "1")}
    assert practice.ask("PUT", "patients/999999999", data={"city": "X"}).status_code == 404
    assert practice.ask("PUT", f"patients/{made['patientid']}", data={"lastname": "x" * 31}).status_code == 400
    assert practice.ask("PUT", f"patients/{made['patientid']}", data={"dob": "1980-02-29"}).status_code == 400


def test_an_update_keeps_what_it_does_not_speak_of(practice: Practice) -> None:
    patient = practice.patients()[0]
    path = f"{practice.sandbox.origin}/_sandbox/athenahealth/Patient/{patient}"
    before = practice.sandbox.http.get(path).json()
    practice.ask("PUT", f"patients/{patient}", data={"email": "ann@example.org"})
    after = practice.sandbox.http.get(path).json()
    assert after["telecom"] == [*before["telecom"], {"system": "email", "value": "ann@example.org"}]
    assert {**after, "telecom": 0} == {**before, "telecom": 0}


def test_a_problem_is_added_and_refusals_come_with_status_200(practice: Practice) -> None:
    patient = practice.patients()[0]
    path = f"chart/{patient}/problems"
    refused = practice.ask("POST", path, data={"departmentid": "1"})
    assert (refused.status_code, refused.json()["success"]) == (200, False)
    made = practice.ask("POST", path, data={"departmentid": "1", "snomedcode": "84229001", "startdate": "07/01/2020"})
    assert made.json()["success"] is True
    shown = {one["problemid"]: one for one in practice.get(path, departmentid="1")["problems"]}
    assert shown[made.json()["problemid"]]["events"][0]["onsetdate"] == "07/01/2020"
    practice.sandbox.admin("POST", "athenahealth/settings", json={"refuse_writes": True})
    locked = practice.ask("PUT", f"patients/{patient}", data={"city": "X"})
    assert (locked.status_code, locked.json()["success"]) == (200, False)


def test_too_many_requests_are_refused_in_the_gateways_way(practice: Practice) -> None:
    practice.sandbox.clock.set_to(practice.sandbox.clock.now(), frozen=True)
    practice.sandbox.admin("POST", "athenahealth/settings", json={"requests_per_second": 1})
    practice.ask("GET", "departments")
    assert practice.ask("GET", "departments").status_code == 429
    practice.sandbox.admin("POST", "athenahealth/settings", json={"mashery": True})
    over = practice.ask("GET", "departments")
    assert (over.status_code, over.headers["x-mashery-error-code"]) == (403, "ERR_403_DEVELOPER_OVER_QPS")
    practice.sandbox.clock.shift(1)
    assert practice.ask("GET", "departments").status_code == 200
    practice.sandbox.clock.set_to(practice.sandbox.clock.now())


def test_resources_with_other_ids_are_shown_by_numbers(tmp_path: Any) -> None:
    lines = (
        b'{"resourceType":"Patient","id":"p-1","name":[{"family":"Example"}],"birthDate":"1970-01-02"}\n'
        b'{"resourceType":"Condition","id":"c-1","code":{"text":"x"},"subject":{"reference":"Patient/p-1"}}\n'
    )
    (tmp_path / "all.ndjson").write_bytes(lines)
    with serving(dialects=["athenahealth"], data=tmp_path) as sandbox:
        practice = Practice(sandbox)
        found = [one for number in "12" for one in practice.get("patients", departmentid=number)["patients"]]
        (patient,) = (one["patientid"] for one in found)
        assert patient.isdecimal()
        (problem,) = practice.get(f"chart/{patient}/problems", departmentid="1")["problems"]
        assert problem["name"] == "x" and practice.get(f"patients/{patient}")[0]["dob"] == "01/02/1970"


def test_a_merged_patient_is_not_there_any_more(practice: Practice) -> None:
    retired, survivor = practice.patients()[-2:]
    practice.sandbox.admin("POST", "athenahealth/merge", json={"retired": retired, "survivor": survivor})
    assert practice.ask("GET", f"patients/{retired}").status_code == 404
    assert orjson.loads(practice.ask("GET", f"patients/{survivor}").content)[0]["patientid"] == survivor
