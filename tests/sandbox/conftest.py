from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.loopback import Loopback, serving


@pytest.fixture
def sandbox() -> Iterator[Loopback]:
    """Both vendors, open, over a small population; a new one for every test."""
    with serving() as running:
        yield running
