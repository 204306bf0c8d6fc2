"""How far a read has come, as the cursor the engine stores beside the rows it covers.

The law: a cursor is made only after the rows before it were handed out, so a kill repeats at most one page.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from holovitals_pipelines.model.errors import HoloVitalsError, TransientError
from holovitals_pipelines.model.extract import Cursor, Page, ReadEvent, TypeDone

_VERSION = 2


@dataclass(slots=True)
class Progress:
    """The types finished, the export under way if there is one, and the place inside the type being read."""

    done: list[str] = field(default_factory=list)
    export: dict[str, Any] | None = None
    resource_type: str | None = None
    place: dict[str, Any] | None = None
    anything_read: bool = False
    base_url: str = ""

    @classmethod
    def resumed(cls, cursor: Cursor | None, base_url: str = "") -> Progress:
        """From the cursor of an interrupted read; one of another version means a read from the beginning.

        Addresses of exports and pages end with the base URL they came from: where it has changed since (a server that
        moved, a sandbox started anew), finished types stay finished and the rest is asked for again.
        """
        if cursor is None or cursor.get("v") != _VERSION:
            return cls(base_url=base_url)
        if cursor["base"] != base_url:
            return cls(done=list(cursor["done"]), anything_read=True, base_url=base_url)
        return cls(
            done=list(cursor["done"]),
            export=dict(cursor["export"]) if cursor["export"] else None,
            resource_type=cursor["type"],
            place=dict(cursor["place"]) if cursor["place"] else None,
            anything_read=True,
            base_url=base_url,
        )

    def cursor(self) -> Cursor:
        return {
            "v": _VERSION,
            "base": self.base_url,
            "done": list(self.done),
            "export": dict(self.export) if self.export else None,
            "type": self.resource_type,
            "place": dict(self.place) if self.place else None,
        }

    def place_in(self, resource_type: str) -> Mapping[str, Any]:
        """Where the read of this type stopped; empty when it has to start at its beginning."""
        return self.place if self.place is not None and self.resource_type == resource_type else {}

    def reach(self, resource_type: str, place: Mapping[str, Any]) -> Cursor:
        self.resource_type, self.place, self.anything_read = resource_type, dict(place), True
        return self.cursor()

    def finish(self, resource_type: str, *, completely: bool) -> Cursor:
        """A type that failed is not done: a read resumed from here reads it again from its beginning."""
        if completely:
            self.done.append(resource_type)
        self.resource_type, self.place = None, None
        return self.cursor()

    def remaining(self, resource_types: Sequence[str]) -> list[str]:
        return [name for name in resource_types if name not in self.done]


@dataclass(slots=True)
class TypeRead:
    """What becomes known about one type while it is read."""

    resource_type: str
    watermark: datetime | None = None
    """The server's clock at the first answer; never ours."""
    complete: bool = True
    """False once something the connection may not see, or could not get, is known to be missing."""

    def served(self, at: datetime | None) -> None:
        if self.watermark is None:
            self.watermark = at

    def watermark_text(self) -> str | None:
        return self.watermark.isoformat() if self.watermark is not None else None

    def resume_watermark(self, text: str | None) -> None:
        if text is not None:
            self.watermark = datetime.fromisoformat(text)


async def to_the_end(
    read: TypeRead, pages: AsyncGenerator[Page, None], progress: Progress, *, snapshot: bool
) -> AsyncGenerator[ReadEvent, None]:
    """The pages of one type and its TypeDone; an error ends the type, not the read.

    Raises TransientError when the server is out of reach and nothing at all has been read.
    """
    try:
        async with aclosing(pages):
            async for page in pages:
                progress.anything_read = True
                yield page
    except HoloVitalsError as error:
        if isinstance(error, TransientError) and error.code == "http.unreachable" and not progress.anything_read:
            raise
        yield TypeDone(read.resource_type, progress.finish(read.resource_type, completely=False), error=error)
        return
    progress.anything_read = True
    yield TypeDone(
        read.resource_type,
        progress.finish(read.resource_type, completely=True),
        watermark=read.watermark,
        snapshot=snapshot and read.complete,
    )
