"""One API a module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.service import Service, served


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, root / "operational.sqlite")
    with served(root) as service:
        yield service
