"""Listens, or syncs, for the connection `clinic` in its own process, which kills itself at a chosen point.

    python -m tests.end_to_end.killed_at_meditech HOME POINT

POINT is `unanswered` (a listener, when the third message is stored and before it is answered) or `reading` (a sync,
after the first page of results is landed). The death is SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from holovitals_pipelines.engine.hl7v2 import listening
from holovitals_pipelines.engine.hl7v2.intake import Intake
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.engine.vendors import vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.extract import ReadEvent, ReadRequest
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.providers.hl7v2.listener import Answer, Arrival
from holovitals_pipelines.settings import Settings


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesUnanswered(Intake):
    taken = 0

    async def __call__(self, arrival: Arrival) -> Answer:
        answer = await super().__call__(arrival)
        self.taken += 1
        if self.taken == 3:
            die()
        return answer


class DiesReading:
    """The real adapter; its process dies when the page after the first of observations is asked for."""

    def __init__(self, home: Home, connection: ConnectionConfig) -> None:
        self._adapter = vendor_adapter(connection, home.database)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        async for event in self._adapter.read(request):
            yield event
            if event.resource_type == "Observation":
                die()

    async def __aenter__(self) -> DiesReading:
        await self._adapter.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._adapter.__aexit__(*exc)


def main(root: str, point: str) -> None:
    settings = Settings(home=Path(root), database_url=os.environ["HOLOVITALS_DATABASE_URL"])
    with open_home(settings) as home:
        if point == "reading":
            run_sync(home, SyncRequest("clinic"), adapter_for=lambda connection: DiesReading(home, connection))
            return
        listening.Intake = DiesUnanswered  # type: ignore[misc]

        def ready(ports: listening.Ports) -> None:
            print(json.dumps({"listening": ports}), flush=True)

        asyncio.run(listening.listen(home, [home.connection("clinic")], until=asyncio.Event().wait, ready=ready))


if __name__ == "__main__":
    main(*sys.argv[1:])
