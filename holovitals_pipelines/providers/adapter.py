"""What the engine asks of every vendor adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from holovitals_pipelines.model.extract import ReadEvent, ReadRequest
from holovitals_pipelines.model.statistics import RequestStatistics
from holovitals_pipelines.model.vocabulary import ChangeMechanism, Provider


class Adapter(Protocol):
    """One open connection to a vendor. Use as an async context manager; close releases its one HTTP client."""

    provider: Provider

    def mechanisms(self) -> Mapping[str, ChangeMechanism]:
        """How changes of each offered resource type are found, in processing order (Patient first)."""
        ...

    def read(self, request: ReadRequest) -> AsyncIterator[ReadEvent]:
        """Yield pages and, per requested type, one `TypeDone`. A failing type is reported, the others go on.

        Raises AuthenticationError or TransientError when nothing can be read at all.
        """
        ...

    def statistics(self) -> Sequence[RequestStatistics]: ...

    async def __aenter__(self) -> Adapter: ...

    async def __aexit__(self, *exc: object) -> None: ...


__all__ = ["Adapter", "RequestStatistics"]
