"""Rows of one resource type between a vendor's page and a landing-zone part: what can be used, and what is refused.

One law: every body of a page becomes a row or a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat

import pyarrow as pa

from holovitals_pipelines.engine import batches
from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.fhir.wire import Head, MalformedResource, read_heads
from holovitals_pipelines.model.extract import Deletion, Page, Problem
from holovitals_pipelines.store.quarantine import Refusal


@dataclass(slots=True)
class LandingBuffer:
    """Columns of `batches.EXTRACT` under construction, and the refusals beside them."""

    remote_id: list[str] = field(default_factory=list)
    version: list[str | None] = field(default_factory=list)
    last_updated: list[datetime | None] = field(default_factory=list)
    content_hash: list[bytes | None] = field(default_factory=list)
    delivery: list[int] = field(default_factory=list)
    source: list[str] = field(default_factory=list)
    line: list[int | None] = field(default_factory=list)
    evidence: list[str | None] = field(default_factory=list)
    body: list[bytes | None] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    received_bytes: int = 0

    @property
    def resources(self) -> int:
        """Living resources read, refused ones included; deletions are not resources."""
        return sum(1 for said in self.evidence if said is None) + len(self.refusals)

    def add(self, page: Page, delivery: int, size_limit: int) -> None:
        """Sort the page's bodies into rows and refusals. Column by column: this runs once for every resource read."""
        lines: Sequence[int | None] = page.lines if page.lines is not None else [None] * len(page.bodies)
        heads: list[Head] = []
        usable: list[bytes] = []
        at: list[int | None] = []
        for head, body, line in zip(_heads(page), page.bodies, lines, strict=True):
            if type(head) is Head and head.resource_type == page.resource_type and len(body) <= size_limit:
                heads.append(head)
                usable.append(body)
                at.append(line)
            else:
                rule, message, remedy = _why_not(head, page.resource_type, len(body), size_limit)
                identity = head.id if isinstance(head, Head) and head.resource_type == page.resource_type else None
                self.refusals.append(_refusal(identity, body, rule, message, remedy, page.source, line))
        self.remote_id += [head.id for head in heads]
        self.version += [head.version_id for head in heads]
        self.last_updated += [head.last_updated for head in heads]
        self.content_hash += map(content_hash, usable)
        self.delivery += repeat(delivery, len(usable))
        self.source += repeat(page.source, len(usable))
        self.line += at
        self.evidence += repeat(None, len(usable))
        self.body += usable
        self.received_bytes += page.received_bytes

    def add_deletion(self, deletion: Deletion, source: str, delivery: int) -> None:
        self.remote_id.append(deletion.remote_id)
        self.delivery.append(delivery)
        self.source.append(source)
        self.evidence.append(deletion.evidence)
        for column in (self.version, self.last_updated, self.content_hash, self.line, self.body):
            column.append(None)

    def refuse(self, problem: Problem, body: bytes) -> None:
        """Something the adapter itself could not use, with its bytes."""
        said = (problem.code, problem.message, problem.remedy, problem.source, problem.line)
        self.refusals.append(_refusal(problem.remote_id, body, *said))

    def table(self) -> pa.Table:
        columns = [
            pa.array(self.source, pa.string()).dictionary_encode()
            if column.name == "source"
            else pa.array(getattr(self, column.name), column.type)
            for column in batches.EXTRACT
        ]
        return pa.Table.from_arrays(columns, schema=batches.EXTRACT)


def _heads(page: Page) -> Iterable[Head | MalformedResource]:
    if page.named is None:
        return read_heads(page.bodies)
    return [Head(page.resource_type, *names) for names in page.named]


def _why_not(head: Head | MalformedResource, expected: str, size: int, limit: int) -> tuple[str, str, str]:
    """(rule, message, remedy) for a body that cannot become a row."""
    if isinstance(head, MalformedResource):
        return head.code, head.message, head.remedy
    if head.resource_type != expected:
        return (
            "extract.wrong_type",
            f"a {expected} was expected and another resource type was sent",
            "ask the vendor why; the resource is kept in quarantine",
        )
    return (
        "extract.too_large",
        f"the resource has {size:,} bytes, more than the {limit:,} this connection accepts",
        "raise read.max_resource_bytes of the connection if this is legitimate, then sync again",
    )


def _refusal(
    remote_id: str | None, body: bytes, rule: str, message: str, remedy: str, source: str, line: int | None
) -> Refusal:
    return Refusal(
        remote_id=remote_id, body=body, rule=rule, path=None, message=message, remedy=remedy, source=source, line=line
    )
