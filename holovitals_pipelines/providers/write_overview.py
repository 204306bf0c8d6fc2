"""What can be written through a connection, type by type, in words a person can check: `holovitals connections test`.

Law: it only says what `write_capability` says; nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holovitals_pipelines.model.writing import Concurrency, UnitWrite, WriteCapability
from holovitals_pipelines.providers.adapter import ResourceDesk

GUARDS = {
    Concurrency.ETAG: "the server refuses a write over a version we did not see",
    Concurrency.VERSION: "not guarded by the server; versions show afterwards whether somebody else wrote in between",
    Concurrency.NONE: "not guarded: read before, compared after, and recorded as unguarded",
}


@dataclass(frozen=True, slots=True)
class TypeWrites:
    """One resource type: `operations` of create, update, delete (empty: read-only), and how updates are guarded."""

    resource_type: str
    operations: tuple[str, ...]
    concurrency: Concurrency
    restricted: tuple[tuple[str, UnitWrite], ...]
    """Top-level elements of which more is to be said than that they are written, by name."""
    finds_own_identifier: bool

    @property
    def sentence(self) -> str:
        if not self.operations:
            return "read only"
        restricted = ", ".join(f"{element} {what.value.replace('_', ' ')}" for element, what in self.restricted)
        return f"{', '.join(self.operations)}: {GUARDS[self.concurrency]}" + (f" ({restricted})" if restricted else "")


def write_overview(desk: ResourceDesk, resource_types: Iterable[str]) -> list[TypeWrites]:
    """What an open adapter may write of each type, in the order given."""
    found = []
    for resource_type in resource_types:
        capability = desk.write_capability(resource_type)
        offered = {"create": capability.create, "update": capability.update, "delete": capability.delete}
        found.append(
            TypeWrites(
                resource_type,
                tuple(name for name, can in offered.items() if can),
                capability.concurrency,
                (*sorted(capability.elements.items()), *_the_rest(capability)),
                capability.keeps_identifiers,
            )
        )
    return found


def _the_rest(capability: WriteCapability) -> list[tuple[str, UnitWrite]]:
    return [] if capability.otherwise is UnitWrite.WRITABLE else [("all else", capability.otherwise)]
