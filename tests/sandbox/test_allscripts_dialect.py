"""Unity as its clients meet it: the token in words, the user, the rows and what stands for none, the local clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from sandbox.loopback import Loopback, serving

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "vendor-allscripts-unity"
LOGGED_OUT = "As a Security precaution, you have been logged out due to inactivity."
KNOBS = {"allscripts": {"zone": "Central Standard Time"}}
CENTRAL = ZoneInfo("America/Chicago")


@dataclass
class Site:
    """The simulated site, and a client's token there."""

    sandbox: Loopback
    token: str = ""

    def post(self, path: str, **sent: str) -> str:
        url = f"{self.sandbox.url('allscripts')}/Unity/UnityService.svc/json/{path}"
        answer = self.sandbox.http.post(url, json=sent)
        assert answer.status_code == 200, "Unity says everything with 200"
        return answer.text

    def new_token(self) -> str:
        self.token = orjson.loads(self.post("GetToken", Username="Sandbox-Service", Password="sandbox", Appname="a"))
        return self.token

    def magic(self, action: str, patient: str = "", *parameters: str) -> list[dict[str, Any]]:
        named = {f"Parameter{number}": text for number, text in enumerate(parameters, start=1)}
        sent = {"Action": action, "AppUserID": "jmedici", "PatientID": patient, "Token": self.token, **named}
        answer: list[dict[str, Any]] = orjson.loads(self.post("MagicJson", **sent))
        assert len(answer) == 1, "an array of one object"
        return answer

    def rows(self, action: str, patient: str = "", *parameters: str) -> list[dict[str, Any]]:
        (table,) = self.magic(action, patient, *parameters)
        assert list(table) == [f"{action.lower()}info"], table
        rows: list[dict[str, Any]] = table[f"{action.lower()}info"]
        assert all(isinstance(text, str) for row in rows for text in row.values()), "numbers and flags are texts"
        return rows

    def log_in(self) -> Site:
        self.new_token()
        assert self.rows("GetUserAuthentication", "", "password01")[0]["ValidUser"] == "YES"
        return self

    def edit(self, kind: str, identity: str, **changes: Any) -> None:
        resource = self.sandbox.admin("GET", f"allscripts/{kind}/{identity}")
        self.sandbox.admin("PUT", f"allscripts/{kind}/{identity}", json={**resource, **changes})


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(dialects=("allscripts",), patients=6, settings=KNOBS) as sandbox:
        yield Site(sandbox).log_in()


def test_a_token_is_a_quoted_guid_and_a_refusal_is_a_text_with_status_200(site: Site) -> None:
    token = site.post("GetToken", Username="Sandbox-Service", Password="sandbox", Appname="a")
    assert token.startswith('"') and token.endswith('"') and len(token.strip('"')) == 36
    refusal = site.post("GetToken", Username="Sandbox-Service", Password="wrong", Appname="a")
    assert refusal == "error: Username and Password not valid for any licenses on this server"


def test_nothing_is_answered_before_the_user_is_authenticated(site: Site) -> None:
    site.new_token()
    assert "Error" in site.magic("GetServerInfo")[0]
    assert site.rows("GetUserAuthentication", "", "wrong")[0]["ValidUser"] == "NO"
    assert "Error" in site.magic("GetServerInfo")[0]
    site.rows("GetUserAuthentication", "", "password01")
    assert site.rows("GetServerInfo")[0]["System"] == "Enterprise EHR"


def test_twenty_minutes_without_a_call_end_the_session_and_calls_prolong_it(site: Site) -> None:
    for _ in range(2):
        site.sandbox.clock.shift(19 * 60)
        site.rows("GetServerInfo")
    site.sandbox.clock.shift(21 * 60)
    assert site.magic("GetProviders") == [{"Error": f"Magic Error - Action: GetProviders - {LOGGED_OUT}"}]


def test_a_retired_token_is_acknowledged_in_xml_and_of_no_use_any_more(site: Site) -> None:
    said = site.post("RetireSecurityToken", Token=site.token, Appname="a")
    assert said.startswith("<RetireSecurityTokenResponse ")
    assert LOGGED_OUT in site.magic("GetServerInfo")[0]["Error"]


def test_what_is_not_there_is_a_row_of_blanks_whose_number_is_0(site: Site) -> None:
    (patient,) = site.rows("GetPatient", "4711")
    assert set(patient.values()) == {"", "0"}
    (chart,) = site.rows("GetClinicalSummary", "4711", "Problems")
    assert chart["transid"] == "0" and chart["description"] == ""


def test_texts_are_padded_and_days_are_written_in_several_ways(site: Site) -> None:
    rows = [row for patient in site.sandbox.ids("allscripts") for row in site.rows("GetClinicalSummary", patient, "")]
    assert {row["section"] for row in rows} >= {"Problems", "Immunizations", "Vitals", "Results"}
    assert all(len(row["description"]) >= 40 for row in rows)
    shapes = {"".join("9" if c.isdigit() else "a" if c.isalpha() else c for c in row["displaydate"]) for row in rows}
    assert {"99/99/9999", "9999-99-99", "99-aaa-9999"} <= shapes
    assert any(shape.startswith("aaa ") for shape in shapes)


def test_an_evening_in_universal_time_is_the_day_before_at_the_site(site: Site) -> None:
    patient = site.sandbox.ids("allscripts")[0]
    seen = site.sandbox.ids("allscripts", "Immunization")[0]
    resource = {"status": "completed", "vaccineCode": {"text": "V"}, "patient": {"reference": f"Patient/{patient}"}}
    site.edit("Immunization", seen, **resource, occurrenceDateTime="2026-03-02T03:00:00Z")
    rows = {row["transid"]: row for row in site.rows("GetClinicalSummary", patient, "Immunizations")}
    assert rows[seen]["displaydate"] in ("03/01/2026", "2026-03-01", "01-Mar-2026", "Mar 1 2026")


def test_the_feed_names_those_whose_chart_changed_by_the_sites_clock_and_nothing_else(site: Site) -> None:
    before = site.sandbox.clock.now()
    local = f"{before.astimezone(CENTRAL):%m/%d/%Y %H:%M:%S}"
    assert site.rows("GetChangedPatients", "", f"{before.astimezone(CENTRAL):%Y-%m-%d} 23:59") == [{"patientid": "0"}]
    problem = site.sandbox.ids("allscripts", "Condition")[0]
    patient = site.sandbox.admin("GET", f"allscripts/Condition/{problem}")["subject"]["reference"].split("/")[1]
    site.edit("Condition", problem, code={"text": "Something else"})
    assert site.rows("GetChangedPatients", "", local) == [{"patientid": patient}]
    everybody = [row["patientid"] for row in site.rows("GetChangedPatients", "", "01/01/1900")]
    assert everybody == site.sandbox.ids("allscripts")


def test_a_deletion_is_a_change_and_a_merged_patient_is_not_named_any_more(site: Site) -> None:
    retired, survivor, other = site.sandbox.ids("allscripts")[:3]
    since = f"{site.sandbox.clock.now().astimezone(CENTRAL):%m/%d/%Y %H:%M:%S}"
    (gone, *_) = [row["transid"] for row in site.rows("GetClinicalSummary", other, "Vitals")]
    site.sandbox.admin("DELETE", f"allscripts/Observation/{gone}")
    site.sandbox.admin("POST", "allscripts/merge", json={"retired": retired, "survivor": survivor})
    assert [row["patientid"] for row in site.rows("GetChangedPatients", "", since)] == [survivor, other]
    assert set(site.rows("GetPatient", retired)[0].values()) == {"", "0"}


def test_times_of_the_hour_that_comes_twice_are_compared_as_the_clocks_showed_them(site: Site) -> None:
    patient, problem = (site.sandbox.ids("allscripts", kind)[0] for kind in ("Patient", "Condition"))
    for moment, shown in (
        (datetime(2026, 11, 1, 6, 45, tzinfo=UTC), True),
        (datetime(2026, 11, 1, 7, 15, tzinfo=UTC), False),
    ):
        site.sandbox.clock.set_to(moment, frozen=True)
        site.log_in()
        site.edit("Condition", problem, subject={"reference": f"Patient/{patient}"})
        named = {row["patientid"] for row in site.rows("GetChangedPatients", "", "11/01/2026 01:30:00")}
        assert (patient in named) is shown, "01:45 is after 01:30, the second 01:15 is not"


def test_saves_are_read_back_and_change_nothing_else(site: Site) -> None:
    patient = site.sandbox.ids("allscripts")[0]
    before = site.sandbox.admin("GET", f"allscripts/Patient/{patient}")
    fields = '<savepatient><field name="HomePhone" value="802-555-0199"/><field name="gender" value="F"/></savepatient>'
    assert site.rows("SavePatient", patient, fields) == [{"patientid": patient}]
    assert site.rows("GetPatient", patient)[0]["HomePhone"] == "802-555-0199"
    after = site.sandbox.admin("GET", f"allscripts/Patient/{patient}")
    assert {name for name in before if after[name] != before[name]} <= {"telecom", "gender"}

    line = '<saveproblemsdata {}fieldid="problem" attributeid="title" value1="{}"/>'
    told = f"<saveproblemsdatarequest>{line.format('', 'Fatigue &amp; more')}</saveproblemsdatarequest>"
    known = {row["transid"] for row in site.rows("GetClinicalSummary", patient, "Problems")}
    site.rows("SaveProblemsData", patient, told)
    (made,) = [row for row in site.rows("GetClinicalSummary", patient, "Problems") if row["transid"] not in known]
    assert (made["description"].strip(), made["status"]) == ("Fatigue & more", "Active")
    number = f'setid="{made["transid"]}" '
    lines = line.format(number, "Tired") + f'<saveproblemsdata {number}fieldid="status" value1="Resolved"/>'
    site.rows("SaveProblemsData", patient, f"<saveproblemsdatarequest>{lines}</saveproblemsdatarequest>")
    rows = {row["transid"]: row for row in site.rows("GetClinicalSummary", patient, "Problems")}
    assert (rows[made["transid"]]["description"].strip(), rows[made["transid"]]["status"]) == ("Tired", "Resolved")

    allergy = '<saveallergy><field name="AllergyName" value="Latex"/></saveallergy>'
    site.rows("SaveAllergy", patient, "", allergy, "", "", "", "as a child")
    rows_now = {row["description"].strip(): row for row in site.rows("GetClinicalSummary", patient, "Allergies")}
    assert (rows_now["Latex"]["detail"], rows_now["Latex"]["status"]) == ("as a child", "Active")
    site.rows("DoSendback", patient, "Allergies", "Inactive", rows_now["Latex"]["transid"])
    rows_now = {row["description"].strip(): row for row in site.rows("GetClinicalSummary", patient, "Allergies")}
    assert rows_now["Latex"]["status"] == "Inactive"


@pytest.mark.parametrize(
    ("action", "patient", "parameter"),
    [
        ("SavePatient", "", "<savepatient></savepatient>"),
        ("SavePatient", "4711", '<savepatient><field name="LastName" value="X"/></savepatient>'),
        ("SaveProblemsData", "first", "no XML"),
        ("SaveAllergy", "first", ""),
        ("DoSendback", "first", "Problems"),
        ("DropTables", "", ""),
    ],
)
def test_what_an_action_does_not_take_is_an_error_inside_200(
    site: Site, action: str, patient: str, parameter: str
) -> None:
    before = site.sandbox.admin("GET", "counts")
    patient = site.sandbox.ids("allscripts")[0] if patient == "first" else patient
    said = site.magic(action, patient, parameter)[0]["Error"]
    assert said.startswith(f"Magic Error - Action: {action} - ")
    assert site.sandbox.admin("GET", "counts") == before


@pytest.mark.parametrize("action", ["GetProviders", "GetServerInfo"])
def test_rows_have_the_members_of_recorded_ones(site: Site, action: str) -> None:
    file = RECORDED / {"GetProviders": "get_providers.json", "GetServerInfo": "get_server_info.json"}[action]
    if not file.is_file():
        pytest.skip(f"the recorded answers are not there: {RECORDED}")
    recorded = orjson.loads(file.read_bytes())[0][f"{action.lower()}info"][0]
    assert {frozenset(row) for row in site.rows(action)} == {frozenset(recorded)}


def test_the_refusal_of_an_idle_session_is_worded_as_it_is_on_record(site: Site) -> None:
    file = RECORDED / "error.json"
    if not file.is_file():
        pytest.skip(f"the recorded answers are not there: {RECORDED}")
    site.sandbox.clock.shift(3600)
    assert site.magic("GetProviders") == orjson.loads(file.read_bytes())
