"""Runs the main job of `clinic` in its own process, which kills itself around its first write to the vendor.

    python -m tests.end_to_end.killed_writer HOME POINT

POINT is `decided` (the write is in the outbox), `unsent` (it is marked in flight), or `unheard` (the vendor has carried
it out, and its answer was not recorded). The death is SIGKILL, outside any transaction.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.engine.vendors import vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import Stage
from holovitals_pipelines.model.writing import Written
from holovitals_pipelines.providers.adapter import Adapter, Identifier
from holovitals_pipelines.settings import Settings


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesWhenDecided:
    """A progress listener: the first thing it hears of the write-back is the last."""

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        if stage is Stage.WRITE_BACK:
            die()

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        self.advanced(connection, stage, resource_type, 0)


class DiesAtAWrite:
    """The real adapter; its process dies before or after the first write of its life."""

    def __init__(self, adapter: Adapter, *, heard: bool) -> None:
        self._adapter, self._heard = adapter, heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        return await self._dying(self._adapter.create(resource_type, body, identifiers))

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        return await self._dying(self._adapter.update(resource_type, remote_id, body, version=version))

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        await self._dying(self._adapter.delete(resource_type, remote_id, version=version))

    async def _dying(self, write: Any) -> Any:
        if not self._heard:
            die()
        await write
        die()

    async def __aenter__(self) -> DiesAtAWrite:
        await self._adapter.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._adapter.__aexit__(*exc)


def main(home: str, point: str) -> None:
    def adapter_for(connection: ConnectionConfig) -> Any:
        adapter = vendor_adapter(connection)
        return adapter if point == "decided" else DiesAtAWrite(adapter, heard=point == "unheard")

    settings = Settings(home=Path(home), database_url=os.environ["HOLOVITALS_DATABASE_URL"])
    with open_home(settings) as opened:
        listener = DiesWhenDecided() if point == "decided" else None
        run_sync(opened, SyncRequest("clinic"), progress=listener, adapter_for=adapter_for)


if __name__ == "__main__":
    main(*sys.argv[1:])
