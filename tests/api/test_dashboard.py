"""What the dashboard's pages stand on: sessions, one answer with all numbers, persons by a vendor's id, a chart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from holovitals_pipelines.api.sessions import LASTS, Sessions
from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.engine.identity.proposing import Draft, propose
from holovitals_pipelines.engine.tokens import create_token, revoke_token
from holovitals_pipelines.model.vocabulary import Role
from tests.api.service import Service, is_problem

OURS = {"X-HoloVitals": "dashboard"}
PAGES = (
    "/",
    "/dashboard",
    "/dashboard/patients",
    "/dashboard/patients/x",
    "/dashboard/conflicts",
    "/dashboard/conflicts/x",
)


@pytest.fixture
def visitor(api: Service) -> Iterator[httpx.Client]:
    """A browser as far as cookies go, that has signed in as a viewer."""
    with httpx.Client(base_url=api.url, trust_env=False, timeout=30) as client:
        assert client.post("/api/session", json={"token": api.tokens["viewer"]}).status_code == 200
        yield client


def test_a_token_is_exchanged_for_a_cookie_that_no_script_can_read(api: Service) -> None:
    answer = api.call("POST", "/api/session", None, json={"token": api.tokens["resolver"]})
    assert answer.json() == {"name": "a-resolver", "roles": ["resolver"]}
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert api.tokens["resolver"] not in cookie and api.tokens["resolver"] not in answer.text
    api.http.cookies.clear()


def test_a_session_reads_as_its_token_does_and_nothing_more(visitor: httpx.Client) -> None:
    assert visitor.get("/api/session").json() == {"name": "a-viewer", "roles": ["viewer"]}
    assert visitor.get("/api/sync/jobs").status_code == 200
    is_problem(visitor.get("/api/audit"), 403, "api.role_missing")
    assert visitor.get("/quality").status_code == 200


def test_pages_of_others_change_nothing_with_somebodys_session(visitor: httpx.Client) -> None:
    asked = {"type": "FULL_SYNC", "ehrConnectionId": "clinic"}
    is_problem(visitor.post("/api/sync/jobs", json=asked), 403, "api.foreign_page")
    is_problem(visitor.post("/api/sync/jobs", json=asked, headers=OURS), 403, "api.role_missing")


def test_a_session_ends_by_signing_out_and_with_its_token(api: Service, visitor: httpx.Client) -> None:
    kept = visitor.cookies["holovitals_session"]
    assert visitor.delete("/api/session", headers=OURS).status_code == 200
    assert "holovitals_session" not in visitor.cookies
    stolen = api.call("GET", "/api/sync/jobs", None, headers={"Cookie": f"holovitals_session={kept}"})
    is_problem(stolen, 401, "api.token_invalid")

    short = create_token(api.home.database, "leaves-soon", [Role.VIEWER], by="test")
    visitor.post("/api/session", json={"token": short.secret})
    assert visitor.get("/api/sync/jobs").status_code == 200
    revoke_token(api.home.database, "leaves-soon", by="test")
    is_problem(visitor.get("/api/sync/jobs"), 401, "api.token_invalid")
    assert visitor.get("/api/session").json() == {"name": None, "roles": []}


def test_a_token_that_is_none_begins_no_session(api: Service) -> None:
    refused = api.call("POST", "/api/session", None, json={"token": "hv_guessed"})
    is_problem(refused, 401, "api.token_invalid")
    assert "set-cookie" not in refused.headers


def test_a_session_lasts_a_working_day() -> None:
    sessions, now = Sessions(), datetime(2026, 3, 1, tzinfo=UTC)
    secret = sessions.begin("t1", now)
    assert sessions.token_of(secret, now + LASTS - timedelta(seconds=1)) == "t1"
    assert sessions.token_of(secret, now + LASTS) is None
    assert sessions.token_of("guessed", now) is None


def test_the_pages_ask_for_no_token_and_load_nothing_from_elsewhere(api: Service) -> None:
    for path in PAGES:
        page = api.call("GET", path, None)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html"), path
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert named and all(one.startswith(("/", "#")) and not one.startswith("//") for one in named), path
        for part in named:
            if part.startswith("/site/"):
                found = api.call("GET", part, None)
                assert found.status_code == 200, part
                assert set(re.findall(r"https?://[\w./]+", found.text)) <= {"http://www.w3.org/2000/svg"}, part
    assert api.call("GET", "/site/..%2fpages.py", None).status_code == 404
    assert api.call("GET", "/site/dashboard.html", None).status_code == 404
    assert api.call("GET", "/favicon.ico", None, follow_redirects=True).headers["content-type"] == "image/svg+xml"


def test_one_answer_has_the_numbers_of_the_whole_installation(api: Service) -> None:
    conflict = api.in_conflict("p-overview")
    made = api.call("POST", "/api/sync/jobs", "operator", json={"type": "FULL_SYNC", "ehrConnectionId": "conn-123"})
    told = api.get("/api/dashboard?days=30")
    assert {one["connection"]: one["provider"] for one in told["connections"]} == {"clinic": "fhir", "conn_123": "epic"}
    [clinic] = [one for one in told["connections"] if one["connection"] == "clinic"]
    assert clinic["linkedRecords"] >= 1 and clinic["openConflicts"] >= 1
    assert conflict in [one["conflictId"] for one in told["conflicts"]]
    assert told["openConflicts"]["CRITICAL"] >= 1
    assert made.json()["id"] in [job["id"] for job in told["waitingJobs"]]
    assert sum(told["queue"][status] for status in ("PENDING", "QUEUED")) >= 1
    since = datetime.now(UTC).date() - timedelta(days=29)
    assert told["since"] == since.isoformat()
    assert "1951" not in api.call("GET", "/api/dashboard").text, "no value of anybody"


def test_who_asks_again_is_told_that_nothing_has_changed(api: Service) -> None:
    first = api.call("GET", "/api/dashboard?days=7")
    again = api.call("GET", "/api/dashboard?days=7", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_a_person_is_found_by_a_vendors_id_and_named_only_where_that_is_asked_for_and_noted(api: Service) -> None:
    api.patient("p-known", name=[{"family": "Okafor", "given": ["Ada"]}], birthDate="1980-02-03")
    match_patients(api.home)
    [found] = api.get("/api/patients?remoteId=p-known")["items"]
    assert [one["remoteId"] for one in found["ids"]] == ["p-known"]
    assert (found["name"], found["birthDate"]) == (None, None)
    assert api.get("/api/patients?remoteId=p-nobody")["items"] == []
    assert api.get("/api/patients?remoteId=p-known&connection=conn_123")["items"] == []

    def looks() -> int:
        noted = api.get(f"/api/audit/access?subject={found['patientKey']}", "auditor")["items"]
        return len([one for one in noted if one["caller"] == "a-viewer"])

    before = looks()
    [named] = api.get("/api/patients?remoteId=p-known&names=true")["items"]
    assert (named["name"], named["birthDate"]) == ("Ada Okafor", "3 Feb 1980")
    assert looks() == before + 1


def test_a_chart_tells_who_says_what_since_when_and_why_and_is_noted(api: Service) -> None:
    record_id = api.patient("p-chart", name=[{"family": "Moreau"}], birthDate="1951-02-03")
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p-chart"}, "code": {"text": "Asthma"},
                 "onsetDateTime": "2019-05-06"}  # fmt: skip
    api.bench.taken_in("Condition", "c-chart", condition)
    api.edit(record_id, gender="other")
    match_patients(api.home)
    [person] = api.get("/api/patients?remoteId=p-chart")["items"]
    told = api.get(f"/api/patients/{person['patientKey']}/chart")

    assert (told["person"]["name"], told["person"]["birthDate"]) == ("Moreau", "3 Feb 1951")
    assert [(one["what"], one["happened"][:10], one["connection"]) for one in told["events"]] == [
        ("Asthma", "2019-05-06", "clinic")
    ]
    assert told["byType"] == {"Condition": 1}
    [gender] = [one for one in told["origins"] if one["element"] == "gender"]
    assert (gender["value"], gender["by"], gender["actor"], gender["version"]) == ("other", "person", "dr", 2)
    assert told["changes"][0]["actor"] == "dr" and told["changeCount"] == len(told["changes"])
    noted = api.get(f"/api/audit/access?subject={person['patientKey']}", "auditor")["items"]
    assert noted[0]["call"] == "GET /api/patients/{patientKey}/chart"
    is_problem(api.call("GET", "/api/patients/nobody/chart"), 404, "person.unknown")


def test_a_pair_that_may_be_one_person_is_decided_on_what_was_looked_at(api: Service) -> None:
    records = [api.patient(one, name=[{"family": "Haddad"}]) for one in ("p-left", "p-right")]
    match_patients(api.home, probable=False)
    with api.home.database.write() as transaction:
        propose(transaction, [Draft(*records, "splink", 0.97, {"name": "same"})], datetime.now(UTC))
    [pair] = [one for one in api.get("/api/patients/proposals")["items"] if set(one["recordIds"]) == set(records)]
    assert "Haddad" not in str(pair)
    path = f"/api/patients/proposals/{pair['proposalId']}"
    shown = api.get(path)
    assert {record["name"] for person in shown["persons"] for record in person["records"].values()} == {"Haddad"}
    decision = {"revision": "of something else", "reason": "twins"}
    is_problem(api.call("POST", f"{path}/reject", "resolver", json=decision), 409, "proposal.stale")
    decision["revision"] = shown["revision"]
    rejected = api.call("POST", f"{path}/reject", "resolver", json=decision).json()
    assert (rejected["state"], rejected["decidedBy"]) == ("rejected", "a-resolver")
    is_problem(api.call("POST", f"{path}/accept", "resolver", json=decision), 409, "proposal.closed")
    is_problem(api.call("GET", "/api/patients/proposals/none"), 404, "proposal.unknown")


def test_a_conflicts_values_are_told_as_people_read_them_too(api: Service) -> None:
    [row] = [one for one in api.get(f"/api/sync/conflicts/{api.in_conflict('p-shown')}")["rows"] if one["number"]]
    assert (row["shown"]["local"], row["shown"]["remote"], row["shown"]["proposal"]) == (
        "1 Jan 1951", "2 Feb 1952", None,
    )  # fmt: skip


def test_text_stands_out_from_what_it_stands_on() -> None:
    """WCAG 2.2 AA: 4.5 to 1 for every pair of colours that the pages use for text, light and dark."""
    style = (Path(__file__).parents[2] / "holovitals_pipelines/api/dashboard/site/style.css").read_text()
    themes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root[^{]*\{([^}]*)\}", style)
    ]
    assert len(themes) == 3
    assert themes[1] == themes[2], "the dark theme is the same whether chosen or the system's"
    pairs = [("text", ground) for ground in ("ground", "surface", "raised", "brand-soft", "warn-soft", "bad-soft")]
    pairs += [
        ("soft", "ground"),
        ("soft", "surface"),
        ("soft", "warn-soft"),
        ("soft", "bad-soft"),
        ("on-brand", "brand"),
    ]
    pairs += [("brand", ground) for ground in ("ground", "surface", "bad-soft")]
    pairs += [(kind, f"{kind}-soft") for kind in ("good", "warn", "bad", "info")]
    pairs += [(f"c{number}", "surface") for number in range(1, 9)]
    for theme in themes:
        for text, ground in pairs:
            assert _contrast(theme[text], theme[ground]) >= 4.5, (text, ground, theme[text], theme[ground])


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
