"""The HTTP API as one application: a home that stays open, routes by subject, problems instead of errors.

Law: `create_app` opens nothing; what it serves is opened when the server starts and closed when it ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI

from holovitals_pipelines import __version__
from holovitals_pipelines.api import (
    audit,
    conflicts,
    connections,
    docs_page,
    health,
    identity,
    jobs,
    overview,
    patients,
    quality_docs,
    quarantine,
    records,
    sign_in,
    webhooks,
)
from holovitals_pipelines.api.dashboard import pages
from holovitals_pipelines.api.documented import DocumentedApi
from holovitals_pipelines.api.envelope import Envelope
from holovitals_pipelines.api.limits import Buckets
from holovitals_pipelines.api.metrics import Meters
from holovitals_pipelines.api.problems import install_problems
from holovitals_pipelines.api.receiver import receiver_routes
from holovitals_pipelines.api.state import ApiState
from holovitals_pipelines.engine.connection_files import following_file
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.settings import Settings

CALLS_AT_ONCE = 12
"""Fewer than the database's pool has connections, so that a call waits for its turn and never for a connection."""
_ABOUT = """Keep a local clinical store in agreement with EHR vendors.

Every call under `/api` needs a token: `holovitals tokens create NAME --role viewer`, then send
`Authorization: Bearer hv_…`. What goes wrong is answered as `application/problem+json`, with what to do about it.
Lists are paged: send `next` of a page as `cursor` for the page after it.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; an ASGI server's lifespan opens and closes the home."""
    settings = settings or Settings()
    meters = Meters()
    state = ApiState(settings, Buckets(settings.api_requests_per_second, settings.api_burst), meters)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = CALLS_AT_ONCE
        with open_home(settings) as opened:
            state.home = following_file(opened)
            state.receiver = Receiver(state.home)
            meters.watch(opened.database)
            try:
                yield
            finally:
                state.home = state.receiver = None

    app = DocumentedApi(
        title="HoloVitals Pipelines",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[*receiver_routes(lambda: _receiver(state))],  # before the others: their ids are not `receive`
    )
    app.state.holovitals = state
    app.add_middleware(
        Envelope,
        state=state,
        max_body_bytes=settings.api_max_body_bytes,
        body_seconds=settings.api_body_seconds,
    )
    install_problems(app)
    for part in (
        jobs,
        webhooks,
        conflicts,
        records,
        identity,  # before the patients: their keys are not `proposals`
        patients,
        connections,
        quality_docs,
        quarantine,
        audit,
        overview,
        sign_in,
        health,
        docs_page,
        pages,
    ):
        app.include_router(part.routes)
    return app


def _receiver(state: ApiState) -> Receiver:
    assert state.receiver is not None, "the application has not started"
    return state.receiver
