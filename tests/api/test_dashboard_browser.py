"""The dashboard as people use it, in Debian's Chromium: sign in, watch it refresh, decide, find a patient."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.engine.identity.proposing import Draft, propose
from holovitals_pipelines.engine.tokens import create_token
from holovitals_pipelines.model.vocabulary import ConflictStatus, Role
from tests.api.service import Service
from tests.pictures import keep

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
REQUIRED = os.environ.get("HOLOVITALS_REQUIRE_BROWSER") == "1"
HARMFUL = '<img src="x" onerror="window.harmed=1"><script>window.harmed=1</script>'
T = TypeVar("T")
WIDTHS = (320, 390, 768, 1440, 2560)


def proposed(api: Service, *remote_ids: str) -> list[str]:
    """Two persons who may be one; their keys."""
    records = [apart(api.patient, one, name=[{"family": "Yilmaz"}], birthDate="1970-05-06") for one in remote_ids]
    apart(match_patients, api.home, probable=False)
    with api.home.database.write() as transaction:
        propose(transaction, [Draft(records[0], records[1], "splink", 0.98, {"name": "same"})], datetime.now(UTC))
    return [str(api.get(f"/api/patients?remoteId={one}")["items"][0]["patientKey"]) for one in remote_ids]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.exists():
        assert not REQUIRED, f"there is no {CHROMIUM}, and HOLOVITALS_REQUIRE_BROWSER=1 requires one"
        pytest.skip(f"NOT TESTED: no {CHROMIUM}; install chromium, HOLOVITALS_REQUIRE_BROWSER=1 makes this a failure")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


def apart(work: Callable[..., T], *given: Any, **more: Any) -> T:
    """Done in a thread of its own: the one that drives the browser has its event loop running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *given, **more).result()


class Visit:
    """A browser window of its own, and all that it asked for and complained of."""

    def __init__(self, chromium: Any, api: Service, **more: Any) -> None:
        self.api, self.context = api, chromium.new_context(**more)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, token: str, path: str = "/dashboard") -> None:
        self.page.goto(f"{self.api.url}{path}")
        self.page.get_by_label("Your token").fill(token)
        self.page.keyboard.press("Enter")
        self.page.locator("main[data-ready]").wait_for()

    def open(self, path: str) -> None:
        self.page.goto(f"{self.api.url}{path}")
        self.page.locator("main[data-ready]").wait_for()

    def picture(self, name: str) -> None:
        keep(self.page, name)

    def end(self) -> None:
        assert self.complaints == []
        assert all(url.startswith(self.api.url) for url in self.asked)
        self.context.close()


@pytest.fixture
def visit(chromium: Any, api: Service, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(chromium, api, **getattr(request, "param", {}))
    yield visit
    visit.end()


def test_the_dashboard_is_behind_a_token_and_refreshes_by_itself(api: Service, visit: Visit) -> None:
    page = visit.page
    page.goto(f"{api.url}/")
    page.get_by_role("link", name="Open the dashboard").click()
    page.get_by_label("Your token").wait_for()
    assert page.locator("table").count() == 0
    page.get_by_label("Your token").fill(api.tokens["operator"])
    page.keyboard.press("Enter")
    page.locator("main[data-ready]").wait_for()
    names = {text.split()[0] for text in page.locator("#connections tbody th").all_inner_texts()}
    assert names == {"clinic", "conn_123"}
    visit.picture("dashboard-light")

    made = api.call("POST", "/api/sync/jobs", "operator", json={"type": "FULL_SYNC", "ehrConnectionId": "clinic"})
    waiting = page.locator("#queue tbody tr", has_text=made.json()["id"][:8])
    waiting.wait_for()  # nobody has reloaded the page
    page.get_by_role("button", name="Live").click()
    assert page.get_by_role("button", name="Paused").get_attribute("aria-pressed") == "false"


def test_a_conflict_is_decided_approved_by_another_and_what_is_decided_can_be_taken_back(
    api: Service, chromium: Any, visit: Visit
) -> None:
    conflict = apart(api.in_conflict, "p-browser")
    visit.sign_in(api.tokens["resolver"])
    page = visit.page
    page.locator(f'#open-conflicts a[href="/dashboard/conflicts/{conflict}"]').click()
    page.get_by_role("heading", name="Patient: birth date").wait_for()
    assert {"≠ 1 Jan 1951", "≠ 2 Feb 1952"} <= {
        ("≠ " if "differs" in (cell.get_attribute("class") or "") else "") + cell.inner_text()
        for cell in page.locator("#units tbody td").all()
    }
    page.get_by_label("Reason, for whoever asks later").fill("the passport says so")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("Not every unit has a choice").wait_for()
    page.get_by_role("radio", name="theirs").check()
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("A second person has to approve it").wait_for()
    page.get_by_role("button", name="Take the decision back").click()
    page.get_by_text("the conflict is open again").wait_for()
    page.get_by_role("button", name="Theirs for all").click()
    page.get_by_label("Reason, for whoever asks later").fill("the passport says so")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("waits for a second person").wait_for()
    visit.picture("dashboard-conflict")

    second = create_token(api.home.database, "bea", [Role.APPROVER], by="test").secret
    other = Visit(chromium, api)
    other.sign_in(second, f"/dashboard/conflicts/{conflict}")
    other.page.get_by_role("button", name="Approve what a-resolver decided").click()
    other.page.get_by_text("Approved.").wait_for()
    other.end()
    apart(api.bench.work)
    [decided] = [one for one in api.bench.conflicts(statuses=None) if one.conflict_id == conflict]
    assert (decided.status, decided.decided_by, decided.approved_by) == (ConflictStatus.RESOLVED, "a-resolver", "bea")
    assert api.get(f"/api/records/Patient/{decided.record_id}")["birthDate"] == "1952-02-02"


def test_a_patient_is_found_named_and_shown_and_what_a_vendor_sends_stays_text(api: Service, visit: Visit) -> None:
    apart(api.patient, "p-xss", name=[{"family": HARMFUL, "given": ["Eve"]}])
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p-xss"}, "code": {"text": HARMFUL},
                 "onsetDateTime": "2020-01-02"}  # fmt: skip
    apart(api.bench.taken_in, "Condition", "c-xss", condition)
    apart(match_patients, api.home)
    visit.sign_in(api.tokens["viewer"], "/dashboard/patients")
    page = visit.page
    page.get_by_label("Vendor's id").fill("p-xss")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("heading", name="Found").wait_for()
    page.get_by_label("with names").check()
    page.locator("#found a", has_text="onerror").click()
    page.locator(".event", has_text="onerror").wait_for()
    assert page.locator("h1").inner_text().startswith("Eve <img")
    assert page.evaluate("window.harmed") is None and page.locator("main img").count() == 0
    visit.picture("dashboard-patient")


def test_two_charts_that_may_be_one_person_are_compared_and_joined_on_the_page(api: Service, visit: Visit) -> None:
    keys = proposed(api, "p-one", "p-two")
    visit.sign_in(api.tokens["resolver"], f"/dashboard/patients/{keys[0]}")
    page = visit.page
    page.get_by_role("button", name="Compare").click()
    page.locator("#same td", has_text="Yilmaz").first.wait_for()
    page.get_by_role("button", name="One person").click()
    assert page.locator("#same").count() == 1, "without a reason nothing is decided"
    page.get_by_label("Reason, for whoever asks later").fill("asked the patient")
    page.get_by_role("button", name="One person").click()
    page.get_by_text(re.compile("2 Patient records")).wait_for()
    assert len(api.get("/api/patients?remoteId=p-one")["items"][0]["records"]) == 2


@pytest.mark.parametrize("visit", [{"viewport": {"width": 390, "height": 844}}], indirect=True, ids=["phone"])
def test_every_page_fits_from_a_phone_to_a_wide_screen(api: Service, visit: Visit) -> None:
    conflict = apart(api.in_conflict, "p-wide")
    apart(match_patients, api.home)
    [person] = api.get("/api/patients?remoteId=p-wide")["items"]
    visit.sign_in(api.tokens["everything"])
    for path in ("/", "/dashboard", "/dashboard/patients", f"/dashboard/patients/{person['patientKey']}",
                 "/dashboard/conflicts", f"/dashboard/conflicts/{conflict}"):  # fmt: skip
        visit.open(path)
        for width in WIDTHS:
            visit.page.set_viewport_size({"width": width, "height": 900})
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            if path == "/dashboard" and width == WIDTHS[0]:
                visit.picture("dashboard-phone")


@pytest.mark.parametrize("visit", [{"color_scheme": "dark"}], indirect=True, ids=["dark"])
def test_the_theme_follows_the_system_until_somebody_chooses_and_keys_are_enough(api: Service, visit: Visit) -> None:
    visit.sign_in(api.tokens["viewer"])
    page = visit.page
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(13, 20, 26)"
    visit.picture("dashboard-dark")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null"), "the links of the head are skipped"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.key") == "theme":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "who uses keys sees where they are"
    page.keyboard.press("Enter")
    assert page.evaluate(ground) == "rgb(243, 246, 248)"
    visit.open("/dashboard/conflicts")
    assert page.evaluate(ground) == "rgb(243, 246, 248)", "the choice stays"


def test_a_session_that_ended_asks_for_a_token_again_and_goes_on(api: Service, visit: Visit) -> None:
    visit.sign_in(api.tokens["viewer"])
    page = visit.page
    visit.context.clear_cookies()
    page.get_by_label("Your token").wait_for()  # the next refresh found out
    page.get_by_label("Your token").fill("hv_wrong")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("unknown, revoked or has expired")).wait_for()
    page.get_by_label("Your token").fill(api.tokens["viewer"])
    page.keyboard.press("Enter")
    page.locator("dialog").wait_for(state="detached")
    said = [text for text in visit.complaints if "401" not in text]
    assert said == []  # the browser itself notes each refusal
    visit.complaints.clear()
