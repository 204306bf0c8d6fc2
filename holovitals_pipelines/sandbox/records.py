"""What one simulated vendor holds: exact bytes in an unlinked spool file, a small index in memory, writes on top.

The law: a loaded resource is served as the bytes that came in (plus or minus the server's own meta), and every write
keeps the version before it.
"""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.clock import Clock, parse_instant
from holovitals_pipelines.sandbox.splice import Glance, glance, one_line, server_meta, with_id

LOADED_AT_MS = 1_704_067_200_000
"""2024-01-01T00:00:00Z: loaded resources count as last updated from here on, 100 ms apart, the same at every start."""
LOADED_STEP_MS = 100

Present = Callable[[bytes, Glance, int, int], bytes]
"""(body, look, version, updated in ms) → the bytes the vendor shows."""


Note = Callable[[int, str, str, bytes | None], None]
"""(ms since the epoch, type, id, bytes or None for a deletion) of a write."""

Watch = Callable[[str, str], None]
"""(type, id) of a resource that was written or deleted."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource; `body` is None where it was deleted. `updated_ms` counts from the epoch."""

    number: int
    updated_ms: int
    body: bytes | None


class Records:
    """The store of one vendor. Resources are numbered in the order they came; numbers are never reused."""

    def __init__(self, present: Present, clock: Clock, folder: Path | None = None) -> None:
        self._present = present
        self._clock = clock
        self._spool = tempfile.TemporaryFile(prefix="holovitals-sandbox-", dir=folder)  # noqa: SIM115 closed in close
        self._bytes: mmap.mmap | bytes = b""
        self._offsets = array("Q")
        self._lengths = array("I")
        self._updated = array("q")
        self._ids: list[str] = []
        self._kinds: list[str] = []
        self._kind_of = array("H")
        self._numbers: dict[str, dict[str, int]] = {}
        self._order: dict[str, array[int]] = {}
        self._charts: dict[str, dict[str, array[int]]] = {}
        self._changed: dict[int, list[Version]] = {}
        self._deleted: dict[str, set[int]] = {}
        self.reshape: Callable[[bytes], bytes] | None = None
        """What a vendor's settings make of every resource it shows; None: nothing."""
        self.note: Note | None = None
        """Told of every write before it is done."""
        self.watch: Watch | None = None
        """Told of every write once it is done, by a vendor that passes changes on."""
        self.replaced = 0
        """Loaded resources that a later line of the source replaced."""

    def close(self) -> None:
        if isinstance(self._bytes, mmap.mmap):
            self._bytes.close()
        self._spool.close()

    # loading

    def load(self, resources: Iterable[tuple[str, bytes]]) -> int:
        """Take (place, bytes) pairs in; once, before the first read. Raises ConfigurationError naming the place."""
        end, pending, pending_size = self._spool.seek(0, 2), [], 0
        for place, raw in resources:
            body = one_line(raw)
            try:
                look = glance(body)
            except ValueError as error:
                raise ConfigurationError(
                    "the line is not a FHIR resource", code="sandbox.bad_line", place=place, remedy="mend the file"
                ) from error
            if look.id is None:
                raise ConfigurationError(
                    "the resource has no id", code="sandbox.no_id", place=place, remedy="give every resource an id"
                )
            version, updated = 1, LOADED_AT_MS + len(self._ids) * LOADED_STEP_MS
            if look.meta is not None and b"lastUpdated" in look.meta:
                updated = _source_time(look.meta, updated)
            shown = self._present(body, look, version, updated)
            number = self._numbers.get(look.type, {}).get(look.id)
            if number is None:
                self._enter(look, look.id, updated)
                self._offsets.append(end + pending_size)
                self._lengths.append(len(shown))
            else:
                self.replaced += 1
                self._offsets[number], self._lengths[number] = end + pending_size, len(shown)
                self._updated[number] = updated
            pending.append(shown)
            pending_size += len(shown)
            if pending_size > 1 << 22:
                self._spool.write(b"".join(pending))
                end, pending, pending_size = end + pending_size, [], 0
        self._spool.write(b"".join(pending))
        self._spool.flush()
        size = self._spool.seek(0, 2)
        self._bytes = mmap.mmap(self._spool.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        return len(self._ids)

    def _enter(self, look: Glance, identity: str, updated: int) -> int:
        """Give the resource the next number and index it."""
        number = len(self._ids)
        by_id = self._numbers.get(look.type)
        if by_id is None:
            by_id = self._numbers[look.type] = {}
            self._order[look.type] = array("I")
            self._charts[look.type] = {}
            self._deleted[look.type] = set()
            self._kinds.append(look.type)
        by_id[identity] = number
        self._ids.append(identity)
        self._kind_of.append(self._kinds.index(look.type))
        self._updated.append(updated)
        self._order[look.type].append(number)
        self._file_under(look, number)
        return number

    def _file_under(self, look: Glance, number: int) -> None:
        if look.patient is not None:
            charts = self._charts[look.type]
            chart = charts.get(look.patient)
            if chart is None:
                chart = charts[look.patient] = array("I")
            chart.append(number)

    # reading

    def types(self) -> list[str]:
        return sorted(self._order)

    def counts(self) -> dict[str, int]:
        """Live resources by type."""
        return {kind: len(self._order[kind]) - len(self._deleted[kind]) for kind in self.types()}

    @property
    def changes(self) -> int:
        """A figure that grows with each version that is made, by whomever: clients and clinicians."""
        return sum(len(versions) for versions in self._changed.values())

    def number(self, kind: str, identity: str) -> int | None:
        return self._numbers.get(kind, {}).get(identity)

    def identity(self, number: int) -> str:
        return self._ids[number]

    def kind(self, number: int) -> str:
        return self._kinds[self._kind_of[number]]

    def body(self, number: int) -> bytes | None:
        """The current bytes, None when deleted."""
        changed = self._changed.get(number)
        return self._shown(changed[-1].body) if changed is not None else self.loaded_body(number)

    def loaded_body(self, number: int) -> bytes:
        """The resource as it was loaded, whatever was written since."""
        start = self._offsets[number]
        body = self._bytes[start : start + self._lengths[number]]
        return body if self.reshape is None else self.reshape(body)

    def changed_body(self, number: int) -> bytes | None:
        """The current bytes of a resource written to since loading, None for any other and for deleted ones."""
        changed = self._changed.get(number)
        return self._shown(changed[-1].body) if changed is not None else None

    def length(self, number: int) -> int:
        """Of the resource as it was loaded."""
        return self._lengths[number] if self.reshape is None else len(self.loaded_body(number))

    def version(self, number: int) -> Version:
        changed = self._changed.get(number)
        if changed is None:
            return Version(1, self._updated[number], self.loaded_body(number))
        return replace(changed[-1], body=self._shown(changed[-1].body))

    def history(self, number: int) -> list[Version]:
        """All versions, oldest first."""
        changed = self._changed.get(number)
        if changed is None:
            return [self.version(number)]
        return [replace(version, body=self._shown(version.body)) for version in changed]

    def _shown(self, body: bytes | None) -> bytes | None:
        return body if body is None or self.reshape is None else self.reshape(body)

    def in_order(self, kind: str) -> Sequence[int]:
        """Numbers of a type in the order they came; deleted ones may be among them. Do not change it."""
        return self._order.get(kind, array("I"))

    def in_chart(self, kind: str, patient: str) -> Sequence[int]:
        return self._charts.get(kind, {}).get(patient, array("I"))

    def live(self, kind: str, numbers: Sequence[int]) -> Sequence[int]:
        """The numbers without the deleted ones; the same object when nothing of the type was deleted."""
        gone = self._deleted.get(kind)
        return [number for number in numbers if number not in gone] if gone else numbers

    def deleted(self, kind: str) -> Iterable[int]:
        return sorted(self._deleted.get(kind, ()))

    def updated_between(self, numbers: Sequence[int], low_ms: float, high_ms: float) -> list[int]:
        """Those of the numbers last updated in [low, high)."""
        loaded, changed = self._updated, self._changed
        return [
            number
            for number in numbers
            if low_ms <= (changed[number][-1].updated_ms if number in changed else loaded[number]) < high_ms
        ]

    # writing

    def put(self, kind: str, identity: str, body: bytes, *, at_ms: int | None = None) -> tuple[Version, bool]:
        """Write the next version; True when there was no living one before. Raises ValueError for no resource.

        `at_ms` is when; None: now.
        """
        fresh = with_id(one_line(body), identity)
        look = glance(fresh)
        if look.type != kind:
            raise ValueError("the resource is of another type")
        now = self._clock.now_ms() if at_ms is None else at_ms
        if self.note is not None:
            self.note(now, kind, identity, fresh)
        number = self.number(kind, identity)
        if number is None:
            number = self._enter(look, identity, now)
            self._offsets.append(0)
            self._lengths.append(0)
            versions: list[Version] = []
            created = True
        else:
            versions = self._changed.get(number) or [self.version(number)]
            created = versions[-1].body is None
            if look.patient is not None and number not in self.in_chart(kind, look.patient):
                self._file_under(look, number)
        ordinal = versions[-1].number + 1 if versions else 1
        version = Version(ordinal, now, self._present(fresh, look, ordinal, now))
        versions.append(version)
        self._changed[number] = versions
        self._deleted[kind].discard(number)
        if self.watch is not None:
            self.watch(kind, identity)
        return version, created

    def delete(self, kind: str, identity: str, *, at_ms: int | None = None) -> Version | None:
        """Leave a tombstone; None when there is no such resource. Deleting twice changes nothing."""
        number = self.number(kind, identity)
        if number is None:
            return None
        versions = self._changed.setdefault(number, [self.version(number)])
        if versions[-1].body is not None:
            now = self._clock.now_ms() if at_ms is None else at_ms
            if self.note is not None:
                self.note(now, kind, identity, None)
            versions.append(Version(versions[-1].number + 1, now, None))
            self._deleted[kind].add(number)
            if self.watch is not None:
                self.watch(kind, identity)
        return versions[-1]

    def unfile(self, kind: str, patient: str) -> None:
        """Empty a patient's chart of one type, after its resources were filed under another."""
        self._charts.get(kind, {}).pop(patient, None)


def _source_time(meta: bytes, otherwise: int) -> int:
    try:
        return parse_instant(server_meta(meta)["lastUpdated"])
    except (KeyError, ValueError, TypeError):
        return otherwise
