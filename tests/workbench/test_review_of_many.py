"""Ten thousand open conflicts in the review widget: seen soon, and everything a hand does answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.two_way import Site, declared, our_side, setting, simulated_vendor
from tests.workbench.lab import FIRST_SEEN, LOW_CONTRAST, SMOOTH, Opened, Person, lab, queue_up, sync

MANY = 10_000
SLOWEST = 50.0
"""Milliseconds that what a hand does may take: three frames."""


@pytest.mark.long
def test_ten_thousand_open_conflicts_are_seen_soon_and_stay_smooth(browser: Any, tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    (vendor := tmp_path / "vendor").mkdir()
    (notebook := tmp_path / "notebook").mkdir()
    with simulated_vendor(vendor) as running:
        site = Site(running)
        site.put({"resourceType": "Patient", "id": "p1", "name": [{"family": "Doe"}], "birthDate": "1950-01-01"})
        connection = declared(site.base_url, "Patient")
        with our_side(home, f"sqlite:///{home / 'operational.sqlite'}", connection) as ours:
            sync(ours)
            ours.edit("Patient", "p1", setting(birthDate="1951-02-03"))
            site.edit("Patient", "p1", setting(birthDate="1952-02-04"))
            sync(ours)
            queue_up(ours, MANY)
            with lab(ours, notebook, dark=True) as address:
                opened = Opened(browser, address)
                person = Person(opened.page)
                person.widget.get_by_text(f"{MANY + 1:,} conflicts", exact=True).wait_for(timeout=60_000)
                seen = opened.page.evaluate(FIRST_SEEN)
                assert seen["painted"] < 2_000 and seen["listed"] < 10_000, seen
                took = opened.page.evaluate(SMOOTH, "00009942")
                print(f"{MANY:,} conflicts, milliseconds: {seen | took}")
                assert max(took["median"].values()) < SLOWEST, took
                assert opened.page.locator("body").get_attribute("data-jp-theme-light") == "false"
                assert opened.page.evaluate(LOW_CONTRAST) == {}, "also in JupyterLab's dark theme"
                assert person.widget.locator(".hv-line").count() < 60, "only what is seen is drawn"
                assert opened.errors == [] and opened.foreign == []
