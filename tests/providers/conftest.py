from __future__ import annotations

import pytest

from .loopback import FastClock


@pytest.fixture
def clock() -> FastClock:
    return FastClock()
