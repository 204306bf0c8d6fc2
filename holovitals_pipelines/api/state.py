"""What an open API holds, and how a call gets at it.

Law: one home for the life of the process, shared by all calls; only here is it taken from the application.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from holovitals_pipelines.api.limits import Buckets
from holovitals_pipelines.api.metrics import Meters
from holovitals_pipelines.api.recent import Recent
from holovitals_pipelines.api.sessions import Sessions
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.settings import Settings


@dataclass(slots=True)
class ApiState:
    """`home` and `receiver` are None until the application has started."""

    settings: Settings
    buckets: Buckets
    meters: Meters
    sessions: Sessions = field(default_factory=Sessions)
    recent: Recent = field(default_factory=Recent)
    home: Home | None = None
    receiver: Receiver | None = None


def state_of(request: Request) -> ApiState:
    return cast(ApiState, request.app.state.holovitals)


def home_of(request: Request) -> Home:
    home = state_of(request).home
    assert home is not None, "the application has not started"
    return home


OpenHome = Annotated[Home, Depends(home_of)]
