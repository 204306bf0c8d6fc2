"""MEDITECH as a client meets it: messages sent to it over MLLP, and its FHIR interface."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hl7
import httpx
import orjson
import pytest

from holovitals_pipelines.sandbox.process import start_sandbox
from sandbox.loopback import Loopback, lines, serving
from sandbox.mllp_ends import Receiver, Site, adt, oru, told
from tests.local_http import LOCAL


@pytest.fixture(scope="module")
def shared() -> Iterator[Loopback]:
    with serving(dialects=("meditech",), patients=5) as running:
        yield running


@pytest.fixture
def site(shared: Loopback) -> Iterator[Site]:
    yield Site(shared)
    shared.admin("POST", "meditech/feed", json={})
    shared.admin("POST", "meditech/settings", json={"attempts_on_error": 3, "piece_bytes": 0, "late_seconds": 0})


def test_an_update_that_is_sent_changes_what_it_names_and_comes_back_over_the_feed(site: Site) -> None:
    receiver, patient = Receiver(), site.first("Patient")
    site.feed(receiver)
    [answer] = site.say(adt(patient, control="c-1", f13="(617)555-0199^PRN^CELL", f16='""', f5=""), junk=b"\n\x00")
    site.sent_all()
    held = site.held("Patient", patient["id"])
    assert [told(answer, "MSA.F1"), told(answer, "MSA.F2")] == ["AA", "c-1"]
    assert [told(answer, f"MSH.F{n}") for n in (3, 5, 6)] == ["ADM", "HOLOVITALS", "US"]
    assert held["telecom"] == [{"system": "phone", "value": "617-555-0199", "use": "mobile"}]
    assert "maritalStatus" not in held and held["name"] == patient["name"]
    assert [told(m, "PID.F13") for m in receiver.messages()] == ["(617)555-0199^PRS^CELL"]


def test_what_is_sent_back_as_it_was_told_changes_nothing(site: Site) -> None:
    receiver, patient = Receiver(), site.first("Patient")
    site.feed(receiver)
    site.edit("Patient", patient["id"], gender="male")
    site.sent_all()
    before = site.held("Patient", patient["id"])
    pid = receiver.frames[0].decode().split("\r")[2].split("|")
    same = {f"f{number}": pid[number] for number in (5, 7, 8, 11, 13, 15, 19)}
    site.say(adt(patient, control="c-2", **same))
    assert site.held("Patient", patient["id"]) == before and site.progress()["sent"] == 1


def test_a_message_is_done_once_whoever_repeats_it(site: Site) -> None:
    patient = site.first("Patient")
    change = adt(patient, control="c-3", f8="F")
    site.say(change)
    site.edit("Patient", patient["id"], gender="male")
    [answer] = site.say(change)
    assert told(answer, "MSA.F1") == "AA" and site.held("Patient", patient["id"])["gender"] == "male"


def test_results_that_are_sent_are_filed_under_their_order_and_corrected_by_it(site: Site) -> None:
    receiver, patient = Receiver(), site.first("Patient")
    site.feed(receiver)
    first, again = site.say(oru(patient, control="r-1"), oru(patient, control="r-2", value="6.0", status="C"))
    site.sent_all()
    assert told(first, "MSA.F1") == told(again, "MSA.F1") == "AA"
    base = site.sandbox.admin("GET", "health")["base_urls"]["meditech_fhir"]
    found = site.sandbox.http.get(f"{base}/Observation", params={"patient": patient["id"], "code": "6690-2"}).json()
    mine = [e["resource"] for e in found["entry"] if e["resource"].get("identifier")]
    assert len(mine) == 1
    assert mine[0]["valueQuantity"] == {"value": 6.0, "unit": "10^9/L"} and mine[0]["status"] == "corrected"
    assert mine[0]["effectiveDateTime"] == "2026-06-01T11:00:00-04:00"
    assert [told(m, "OBR.F2") for m in receiver.messages()] == ["ORD-7", "ORD-7"]
    assert told(receiver.messages()[1], "OBX.F11") == "C"


@pytest.mark.parametrize(
    ("change", "code", "error"),
    [
        (lambda m: m.replace(b"ADT^A08", b"SIU^S12"), "AR", "200"),
        (lambda m: m.replace(b"ADT^A08", b"ADT^A39"), "AR", "201"),
        (lambda m: m.replace(b"^^^^MR^FAC1", b"7^^^^MR^FAC1"), "AE", "204"),
        (lambda m: m.replace(b"^^^^MR^FAC1", b"^^^^MR^FAC2"), "AE", "204"),
        (lambda m: m.replace(b"\rPID", b"\rZID"), "AE", "100"),
    ],
)
def test_what_it_cannot_take_is_refused_with_the_tables_code(
    site: Site, change: Callable[[bytes], bytes], code: str, error: str
) -> None:
    patient = site.first("Patient")
    before = site.held("Patient", patient["id"])
    [answer] = site.say(change(adt(patient, control="c-4", f8="O")))
    assert told(answer, "MSA.F1") == code
    assert f"{error}&" in str(answer.segment("ERR"))
    assert site.held("Patient", patient["id"]) == before


def test_a_value_of_the_wrong_kind_is_refused_and_nothing_of_the_message_is_done(site: Site) -> None:
    patient = site.first("Patient")
    before = site.held("Patient", patient["id"])
    [answer] = site.say(adt(patient, control="c-5", f8="O", f7="yesterday"))
    assert (told(answer, "MSA.F1"), "PID^1^7^102" in str(answer)) == ("AE", True)
    assert site.held("Patient", patient["id"]) == before


@pytest.mark.parametrize(
    ("asked", "codes"),
    [(b"|||", ["AA"]), (b"|||AL|NE", ["CA"]), (b"|||AL|AL", ["CA", "AA"]), (b"|||NE|AL", ["AA"])],
)
def test_acknowledgements_follow_msh_15_and_16(site: Site, asked: bytes, codes: list[str]) -> None:
    patient = site.first("Patient")
    control = "m-" + asked.decode().replace("|", "x")
    message = adt(patient, control=control).replace(b"|P|2.4", b"|P|2.4" + asked)
    address = urlsplit(site.sandbox.admin("GET", "health")["base_urls"]["meditech"])
    with socket.create_connection((address.hostname, address.port), timeout=5) as line:
        line.sendall(b"\x0b" + message + b"\x1c\r")
        held = b""
        while held.count(b"\x1c\r") < len(codes):
            held += line.recv(65_536)
    assert [told(hl7.parse(f.lstrip(b"\x0b").decode()), "MSA.F1") for f in held.split(b"\x1c\r") if f] == codes


def test_it_refuses_and_keeps_silent_as_it_is_told(site: Site) -> None:
    patient = site.first("Patient")
    site.edit("Patient", patient["id"], gender="male")
    site.turn(refuse="AE", refuse_times=1)
    change = adt(patient, control="c-6", f8="F")
    [refused] = site.say(change)
    assert told(refused, "MSA.F1") == "AE" and "207&" in str(refused)
    assert site.held("Patient", patient["id"])["gender"] == "male"
    site.turn(silent=1)
    with pytest.raises(TimeoutError):
        site_says_nothing(site, change)
    assert site.held("Patient", patient["id"])["gender"] == "female"
    assert told(site.say(change)[0], "MSA.F1") == "AA"


def site_says_nothing(site: Site, message: bytes, patience: float = 0.2) -> None:
    address = urlsplit(site.sandbox.admin("GET", "health")["base_urls"]["meditech"])
    with socket.create_connection((address.hostname, address.port), timeout=patience) as line:
        line.sendall(b"\x0b" + message + b"\x1c\r")
        line.recv(10)


def test_a_late_answer_comes_after_the_work_is_done(site: Site) -> None:
    patient = site.first("Patient")
    site.edit("Patient", patient["id"], gender="male")
    site.turn(late_seconds=0.2)
    change = adt(patient, control="c-7", f8="F")
    with pytest.raises(TimeoutError):
        site_says_nothing(site, change, patience=0.05)
    assert site.held("Patient", patient["id"])["gender"] == "female"
    assert told(site.say(change)[0], "MSA.F1") == "AA"


def test_single_bytes_are_read_where_they_are_no_utf_8(site: Site) -> None:
    patient = site.first("Patient")
    change = adt(patient, control="c-8", f11="1 Rue Andr\xe9^^Paris^^75001^FRA").decode().encode("latin-1")
    assert told(site.say(change)[0], "MSA.F1") == "AA"
    assert site.held("Patient", patient["id"])["address"][0]["line"] == ["1 Rue Andr\xe9"]


def test_fhir_pages_by_an_opaque_token_and_does_not_filter_by_time(site: Site) -> None:
    patient = site.sandbox.ids("meditech")[0]
    query = f"Observation?patient={patient}&_count=30&_lastUpdated=ge2999-01-01"
    pages = list(site.sandbox.pages("meditech", query))
    links = [link["url"] for page in pages for link in page["link"] if link["relation"] == "next"]
    rows = [entry["resource"]["id"] for page in pages for entry in page["entry"]]
    assert len(pages) > 1 and all("?continue=" in link for link in links)
    assert len(rows) == len(set(rows)) == pages[0]["total"]
    assert site.sandbox.get("meditech", "Observation").status_code == 400
    assert site.sandbox.get("meditech", f"Patient/{patient}").headers["mtrestapi-requestid"]


def test_fhir_declares_33_types_of_which_two_are_written(site: Site) -> None:
    statement = site.sandbox.get("meditech", "metadata").json()
    offered = {one["type"]: {i["code"] for i in one["interaction"]} for one in statement["rest"][0]["resource"]}
    written = {kind: verbs - {"read", "search-type"} for kind, verbs in offered.items()}
    assert len(offered) == 33
    assert {kind: verbs for kind, verbs in written.items() if verbs} == {
        "Communication": {"create"},
        "QuestionnaireResponse": {"create", "update"},
    }
    assert not any(p["name"] == "_lastUpdated" for r in statement["rest"][0]["resource"] for p in r["searchParam"])
    patient = site.sandbox.ids("meditech")[0]
    note = {"resourceType": "Communication", "status": "completed", "subject": {"reference": f"Patient/{patient}"}}
    base = site.sandbox.url("meditech")
    created = site.sandbox.http.post(f"{base}/Communication", json=note)
    assert created.status_code == 201 and site.sandbox.http.get(created.headers["location"]).status_code == 200
    assert site.sandbox.http.put(created.headers["location"], json=created.json()).status_code == 405
    assert site.sandbox.http.post(f"{base}/Patient", json={"resourceType": "Patient"}).status_code == 405


def test_fhir_exports_what_changed_since(site: Site) -> None:
    patient = site.sandbox.ids("meditech")[0]
    group = site.sandbox.admin("GET", "health")["groups"]["meditech"]
    _, whole = site.sandbox.export("meditech", f"Group/{group}/$export?_type=Patient")
    site.sandbox.clock.shift(60)
    site.edit("Patient", patient, gender="other")
    since = whole["transactionTime"]
    _, late = site.sandbox.export("meditech", f"Patient/$export?_type=Patient,Condition&_since={since}")
    files = [lines(site.sandbox.http.get(one["url"])) for one in late["output"]]
    assert [row["id"] for rows in files for row in rows] == [patient]


def test_a_known_client_without_entitlement_is_told_apart_from_a_wrong_secret(site: Site) -> None:
    url = f"{site.sandbox.origin}/meditech/oauth/token"
    form = {"grant_type": "client_credentials", "scope": "system/*.rs"}

    def ask(secret: str) -> httpx.Response:
        return site.sandbox.http.post(url, data=form, auth=("holovitals-sandbox", secret))

    known = "holovitals-sandbox-secret"
    assert (ask("guessed").status_code, ask("guessed").json()) == (401, {"error": "invalid_client"})
    assert (ask(known).status_code, ask(known).json()) == (400, {"error": "unauthorized_client"})
    patient = f"Patient/{site.sandbox.ids('meditech')[0]}"
    site.turn(entitled=True, requires_token=True)
    try:
        token = ask(known).json()["access_token"]
        assert site.sandbox.get("meditech", patient).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert site.sandbox.get("meditech", patient, headers=bearer).status_code == 200
    finally:
        site.turn(entitled=False, requires_token=False)


def test_what_was_sent_to_it_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "journal.ndjson"
    with start_sandbox(dialects=["meditech"], patients=2, journal=journal) as running:
        address = urlsplit(running.base_urls["meditech"])
        patient = LOCAL.get(f"{running.admin_url}/meditech/resources/Patient").text.splitlines()[0]
        held = orjson.loads(patient)
        with socket.create_connection((address.hostname, address.port), timeout=5) as line:
            line.sendall(b"\x0b" + adt(held, control="1", f8="O") + b"\x1c\r")
            assert b"MSA|AA|1" in line.recv(65_536)
    with start_sandbox(dialects=["meditech"], patients=2, journal=journal) as running:
        url = f"{running.base_urls['meditech_fhir']}/Patient/{held['id']}"
        assert LOCAL.get(url).json()["gender"] == "other"
