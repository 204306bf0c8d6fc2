"""A home with three connections, and one webhook at the first of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.settings import Settings, save_connections
from tests.engine.conftest import Vendor
from tests.engine.queue_bench import Time
from tests.engine.webhooks.senders import CONNECTIONS, Sender, sender


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    save_connections(home / "connections.yaml", CONNECTIONS)
    return Settings(home=home, database_url=database_url, batch_rows=100, commit_rows=100)


@pytest.fixture
def opened(settings: Settings) -> Iterator[Home]:
    with open_home(settings) as found:
        yield found


@pytest.fixture
def clinic(opened: Home) -> Sender:
    return sender(opened)


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path / "vendor")


@pytest.fixture
def time() -> Time:
    return Time()
