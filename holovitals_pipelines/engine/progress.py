"""How use cases tell whoever is watching how far they are; counts and names only."""

from __future__ import annotations

from typing import Protocol

from holovitals_pipelines.model.vocabulary import Stage


class Progress(Protocol):
    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None: ...

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None: ...


class Silent:
    """Nobody is watching."""

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        return

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        return
