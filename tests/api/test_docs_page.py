"""/docs in a browser, without a network: it shows every call, and a call is made from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Service
from tests.pictures import keep

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
REQUIRED = os.environ.get("HOLOVITALS_REQUIRE_BROWSER") == "1"


@pytest.fixture(scope="module")
def page(api: Service) -> Iterator[Any]:
    """The page, with what it asked for, and what it complained of."""
    if not CHROMIUM.exists():
        assert not REQUIRED, f"there is no {CHROMIUM}, and HOLOVITALS_REQUIRE_BROWSER=1 requires one"
        pytest.skip(f"NOT TESTED: no {CHROMIUM}; install chromium, HOLOVITALS_REQUIRE_BROWSER=1 makes this a failure")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        shown = opened.new_page()
        shown.asked, shown.complaints = [], []
        shown.on("request", lambda request: shown.asked.append(request.url))
        shown.on("console", lambda said: shown.complaints.append(said.text) if said.type == "error" else None)
        shown.on("pageerror", lambda error: shown.complaints.append(str(error)))
        shown.goto(f"{api.url}/docs")
        shown.wait_for_selector("details")
        yield shown
        opened.close()


def test_it_shows_every_call_and_loads_nothing_from_elsewhere(page: Any, api: Service) -> None:
    paths = api.get("/openapi.json", None)["paths"]
    assert page.locator("details").count() == sum(len(methods) for methods in paths.values())
    assert page.asked and all(url.startswith(api.url) for url in page.asked)
    assert page.complaints == []


def test_a_call_is_made_from_it(page: Any, api: Service) -> None:
    page.fill("#token", api.tokens["viewer"])
    box = page.locator("details", has=page.locator("code", has_text="/api/connections").first).first
    box.locator("summary").click()
    box.get_by_role("button", name="Call it").click()
    box.locator("div pre", has_text='"clinic"').wait_for(timeout=10_000)
    keep(page, "api-docs")
