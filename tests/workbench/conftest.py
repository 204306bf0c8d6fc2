from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.settings import Settings
from holovitals_pipelines.workbench.session import Workbench

from .seeded import NOW, seed

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
REQUIRED = os.environ.get("HOLOVITALS_REQUIRE_BROWSER") == "1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven from here."""
    if not CHROMIUM.exists():
        assert not REQUIRED, f"there is no {CHROMIUM}, and HOLOVITALS_REQUIRE_BROWSER=1 requires one"
        pytest.skip(f"NOT TESTED: no {CHROMIUM}; install chromium, HOLOVITALS_REQUIRE_BROWSER=1 makes this a failure")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def seeded_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with the history of seeded.py; only read it."""
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture
def bench(seeded_home: Settings) -> Iterator[Workbench]:
    with Workbench(seeded_home, now=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def empty_bench(tmp_path: Path) -> Iterator[Workbench]:
    with Workbench(Settings(home=tmp_path / "nothing"), now=lambda: NOW) as opened:
        yield opened
