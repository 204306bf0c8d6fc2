"""A write whose answer was lost: what the vendor shows of it is agreed (sync-protocol.md §2.3, step 5).

Law: our own write, come back, is never taken for the vendor's change.
"""

from __future__ import annotations

from dataclasses import replace

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sync.facts import Facts
from holovitals_pipelines.sync.sides import Side, same, side_of


def settle_in_flight(facts: Facts) -> Facts:
    """The facts with both shadows advanced to what the write evidently did; nothing is in flight any more."""
    write = facts.in_flight
    if write is None:
        return facts
    settled = replace(facts, in_flight=None)
    if write.sent is None:
        return replace(settled, base_local=None, base_remote=None) if facts.remote is None else settled
    if facts.remote is None:
        return settled
    if same(facts.remote, write.sent):
        return replace(settled, base_local=write.snapshot, base_remote=facts.remote)
    if write.snapshot is None:
        return settled
    local, remote = _advanced(facts, write.sent.document, write.snapshot.document, facts.remote.document)
    if remote == _content(facts.base_remote):
        return settled
    return replace(settled, base_local=side_of(local, facts.base_local), base_remote=side_of(remote, facts.base_remote))


def _content(side: Side | None) -> Document:
    return side.document if side is not None else {}


def _advanced(facts: Facts, sent: Document, snapshot: Document, remote: Document) -> tuple[Document, Document]:
    """Both shadows with every element replaced in which the vendor shows what we sent and had not shown it before."""
    base_local, base_remote = dict(_content(facts.base_local)), dict(_content(facts.base_remote))
    for element in sent.keys() | base_remote.keys():
        shown = remote.get(element)
        if shown != sent.get(element) or shown == base_remote.get(element):
            continue
        _put(base_remote, element, remote)
        _put(base_local, element, snapshot)
    return base_local, base_remote


def _put(target: Document, element: str, source: Document) -> None:
    if element in source:
        target[element] = source[element]
    else:
        target.pop(element, None)
