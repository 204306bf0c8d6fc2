"""The review notebook as a person uses it: in JupyterLab, conflicts decided in the widget, the vendor's copies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.two_way import Ours, Site, declared, our_side, setting, simulated_vendor
from tests.workbench.lab import LOW_CONTRAST, SMOOTH, Opened, Person, lab, queue_up, sync, until

MANY = 1_000
SLOWEST = 50.0
"""Milliseconds that anything a hand does may take: three frames."""


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with simulated_vendor(tmp_path_factory.mktemp("vendor")) as running:
        yield Site(running)


@pytest.fixture(scope="module")
def ours(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    """Three conditions and a patient in conflict with the vendor, and a long queue of others."""
    about = {"subject": {"reference": "Patient/p1"}}
    for identity in ("c1", "c2", "c3"):
        site.put({"resourceType": "Condition", "id": identity, **about, "code": {"text": "Asthma"}})
    site.put({"resourceType": "Patient", "id": "p1", "name": [{"family": "Doe"}], "birthDate": "1950-01-01"})
    home = tmp_path_factory.mktemp("home")
    connection = declared(site.base_url, "Patient", "Condition")
    with our_side(home, f"sqlite:///{home / 'operational.sqlite'}", connection) as opened:
        sync(opened)
        for identity in ("c1", "c2", "c3"):
            opened.edit("Condition", identity, setting(code={"text": "Asthma, mild"}))
            site.edit("Condition", identity, setting(code={"text": "Bronchitis, mild"}))
        opened.edit("Patient", "p1", setting(birthDate="1951-02-03"))
        site.edit("Patient", "p1", setting(birthDate="1952-02-04"))
        sync(opened)
        queue_up(opened, MANY)
        yield opened


def test_a_person_decides_conflicts_in_the_notebook_and_the_vendor_gets_them(
    browser: Any, site: Site, ours: Ours, tmp_path: Path
) -> None:
    [birth] = ours.conflicts(resource_type="Patient", severity="CRITICAL")
    asthma, other, late = (
        ours.conflicts(record_id=ours.record("Condition", identity).record_id)[0] for identity in ("c1", "c2", "c3")
    )
    with lab(ours, tmp_path) as address:
        opened = Opened(browser, address)
        page, person = opened.page, Person(opened.page)
        person.widget.get_by_text(f"{MANY + 4:,} conflicts").wait_for(timeout=60_000)
        assert person.widget.locator(".hv-line").count() < 60, "only what is seen is drawn"
        page.get_by_text("Nobody has decided anything yet.", exact=True).wait_for()

        # A decision is taken back before it is applied; once it has been, that is refused where it was asked.
        person.opened(late.conflict_id)
        person.press("u")
        person.told("Nothing is decided yet")
        person.press("2", "d")
        page.keyboard.type("the clinic is right")
        person.press("Control+Enter")
        person.answer("Your name", "ann")
        person.told("Decided. It is applied at the next sync")
        person.widget.get_by_role("button", name="Take back").click()
        person.told("Taken back")
        assert ours.conflicts(conflict_id=late.conflict_id)[0].decision is None
        assert person.widget.get_by_label("Reason", exact=True).input_value() == "the clinic is right"
        person.widget.get_by_role("button", name="Decide", exact=True).click()
        person.told("Decided. It is applied at the next sync")
        sync(ours)
        person.press("u")
        person.widget.get_by_text("Too late to take it back").wait_for()
        person.widget.get_by_role("button", name="Undo…").wait_for()
        person.picture("too-late")
        assert page.evaluate(LOW_CONTRAST) == {}

        # The worst first. Two people say who a patient is, with a value of their own.
        person.opened(birth.conflict_id)
        unit = person.widget.locator(".hv-unit").first
        assert [unit.locator(f".hv-{side} mark").all_inner_texts() for side in ("local", "remote")] == [
            ["3", "1951"], ["4", "1952"],
        ]  # fmt: skip
        assert "rule that fired" in person.widget.locator(".hv-provenance").inner_text()
        person.picture("critical")
        person.press("e")
        person.widget.get_by_label("Value", exact=True).fill("1953-03-05")
        person.press("Control+Enter", "d")
        page.keyboard.type("saw the passport")
        person.press("Control+Enter")
        person.told("once a second person has approved")
        person.press("a")
        person.answer("Second person's name", "Ann")
        person.told("whoever decided cannot approve it too")
        person.press("a")
        person.answer("Second person's name", "bob")
        person.told("Approved.")

        # A decision on values that have changed meanwhile is refused where it was made, and kept.
        person.opened(asthma.conflict_id)
        person.press("2", "d")
        page.keyboard.type("asked the clinic")
        site.edit("Condition", "c1", setting(code={"text": "Bronchitis, severe"}))
        sync(ours)
        person.press("Control+Enter")
        person.widget.get_by_text("The values have changed since you looked").wait_for()
        assert "severe" in person.widget.locator(".hv-remote").first.inner_text()
        assert person.widget.get_by_label("Reason", exact=True).input_value() == "asked the clinic"
        person.picture("stale")
        person.press("Control+Enter")
        person.told("Decided. It is applied at the next sync")

        # Like ones are decided at once; then all of it is sent.
        person.opened(other.conflict_id)
        person.press("1", "v")
        person.widget.locator(".hv-bodies").get_by_text('"text": "Bronchitis, mild"').wait_for()
        person.press("d")
        page.keyboard.type("told by phone")
        person.press("Control+Enter")
        person.told("Decided. It is applied at the next sync")
        person.press("w")
        person.told("Sent: ")
        assert site.held("Patient", "p1")["birthDate"] == "1953-03-05"
        assert site.held("Condition", "c1")["code"] == {"text": "Bronchitis, severe"}
        assert site.held("Condition", "c2")["code"] == {"text": "Asthma, mild"}
        assert ours.held("Condition", "c1")["code"] == {"text": "Bronchitis, severe"}
        [written] = ours.conflicts(conflict_id=birth.conflict_id)
        assert (written.status, written.decided_by, written.approved_by) == ("RESOLVED", "ann", "bob")
        assert written.reason == "saw the passport"

        # A long queue moves at once, and a word narrows it.
        person.widget.get_by_text(f"{MANY:,} conflicts").wait_for()
        person.widget.locator(".hv-list").focus()
        person.press("G")
        person.line(f"{MANY - 1:08d}-queue").wait_for()
        took = page.evaluate(SMOOTH, "00000042")
        assert max(took["median"].values()) < SLOWEST, took
        person.press("/")
        page.keyboard.type("00000042")
        person.press("Enter")
        person.widget.get_by_text(f"1 of {MANY:,} conflicts").wait_for()

        # Like ones are offered together, and a policy is written when it is confirmed.
        person.widget.locator(".hv-detail[data-id='00000042-queue']").wait_for()
        person.press("1", "b")
        person.widget.get_by_role("heading", name=f"{MANY - 1} conflicts like this one").wait_for()
        person.picture("alike")
        person.press("Escape", "y")
        person.widget.locator("dialog pre").get_by_text("LOCAL_WINS").wait_for()
        policy = ours.home.settings.root / "policy.yml"
        assert not policy.exists()
        person.picture("policy")
        person.widget.get_by_role("button", name="Add to the policy").click()
        person.told("Added to the policy: ")
        assert "LOCAL_WINS" in policy.read_text()

        # Undoing.
        person.widget.get_by_role("button", name="Decided", exact=True).click()
        person.widget.get_by_role("searchbox").fill("")
        person.opened(other.conflict_id)
        person.press("u")
        person.answer("Reason for undoing", "misheard")
        person.told("Undone.")
        assert ours.held("Condition", "c2")["code"] == {"text": "Bronchitis, mild"}

        page.locator(".jp-Toolbar [data-jp-item-name=save]").first.click()
        until(lambda: '"outputs": []' not in (tmp_path / "04_review.ipynb").read_text().replace("\n", ""))
        assert opened.errors == [], "the console is clean"
        assert opened.foreign == [], "and nothing leaves this machine"
    saved = json.dumps(json.loads((tmp_path / "04_review.ipynb").read_text()))
    assert "Bronchitis" not in saved and "1953" not in saved, "a saved notebook holds no health data"
