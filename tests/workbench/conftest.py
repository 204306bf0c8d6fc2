from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holovitals_pipelines.settings import Settings
from holovitals_pipelines.workbench.session import Workbench

from .seeded import NOW, seed


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
