"""An adapter that reads NDJSON files from disk: the engine's tests need a vendor, not a network.

It keeps the adapter contract of `providers/adapter.py`: pages in order, each with a cursor that resumes right after it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holovitals_pipelines.model.errors import NotPermittedError
from holovitals_pipelines.model.extract import Deletion, Page, ReadEvent, ReadRequest, TypeDone
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider
from holovitals_pipelines.model.writing import READ_ONLY, Absent, Current, Present, WriteCapability, Written
from holovitals_pipelines.providers.adapter import Identifier


@dataclass
class NdjsonSource:
    """`folder/<Type>.ndjson`, read in pages of `page` lines."""

    folder: Path
    page: int = 50
    watermark: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    deletions: dict[str, list[str]] = field(default_factory=dict)
    readable: list[dict[str, Any]] = field(default_factory=list)
    provider: Provider = Provider.FHIR
    requests: list[ReadRequest] = field(default_factory=list)

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        return {path.stem: ChangeMechanism.FULL_RESCAN for path in sorted(self.folder.glob("*.ndjson"))}

    async def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        self.requests.append(request)
        at = dict(request.cursor or {})
        for name in request.resource_types:
            if at.get("type", "") > name:
                continue
            start = at.get("line", 0) if at.get("type") == name else 0
            lines = (self.folder / f"{name}.ndjson").read_bytes().splitlines()
            for first in range(start, len(lines), self.page):
                bodies = lines[first : first + self.page]
                yield Page(
                    resource_type=name,
                    source=f"{name}.ndjson",
                    bodies=bodies,
                    lines=range(first + 1, first + 1 + len(bodies)),
                    cursor={"type": name, "line": first + len(bodies)},
                    deletions=[Deletion(name, gone, "410 on read") for gone in self.deletions.get(name, ())],
                    received_bytes=sum(map(len, bodies)),
                )
            yield TypeDone(name, {"type": name, "line": len(lines)}, watermark=self.watermark, snapshot=True)

    # one resource at a time: read from the same files; nothing can be written

    def write_capability(self, resource_type: str) -> WriteCapability:
        return READ_ONLY

    def clock_skew_seconds(self) -> float:
        return 0.0

    async def read_current(self, resource_type: str, remote_id: str) -> Current:
        for resource in self.readable:
            if (resource["resourceType"], resource["id"]) == (resource_type, remote_id):
                return Present(remote_id, json.dumps(resource).encode(), None)
        path = self.folder / f"{resource_type}.ndjson"
        for line in path.read_bytes().splitlines() if path.exists() else ():
            resource = json.loads(line)
            if resource.get("id") == remote_id:
                return Present(remote_id, line, resource.get("meta", {}).get("versionId"))
        return Absent("404 Not Found")

    async def create(self, resource_type: str, body: bytes, identifiers: Sequence[Identifier] = ()) -> Written:
        raise NotPermittedError("the files are read only", code="test.read_only")

    async def update(self, resource_type: str, remote_id: str, body: bytes, *, version: str | None) -> Written:
        raise NotPermittedError("the files are read only", code="test.read_only")

    async def delete(self, resource_type: str, remote_id: str, *, version: str | None) -> None:
        raise NotPermittedError("the files are read only", code="test.read_only")

    async def find(self, resource_type: str, identifiers: Sequence[Identifier]) -> Sequence[Present]:
        return ()

    def statistics(self) -> Sequence[RequestStatistics]:
        return [RequestStatistics("read file", 1, 0, 0, 0.0, 10, 1.0, 1.0, 1.0)]

    async def __aenter__(self) -> NdjsonSource:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None
