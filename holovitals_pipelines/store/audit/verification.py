"""Walking the audit log's chain, and comparing it with the heads that were signed while it grew.

Law: a finding is proof; entries that were appended by this program and left alone give none.

The chain by itself shows an entry that was edited, removed or moved. Entries cut off the end, and a chain that was
written anew with hashes that fit, show only against a head kept elsewhere (sync-protocol.md §9).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from holovitals_pipelines.store.audit.chain import COLUMNS, hash_entry
from holovitals_pipelines.store.audit.findings import Finding
from holovitals_pipelines.store.audit.heads import Head
from holovitals_pipelines.store.bulk import Row

_RESTORE = (
    "restore the operational store from a backup, or, if it was restored on purpose, follow docs/audit.md "
    "(After a restore)"
)
_COMPARE = "compare the entry with a backup of the store; find out who can write to the database"
_PREVIOUS = COLUMNS.index("previous_entry")


def check_chain(batches: Iterable[Sequence[Row]], heads: Iterable[Head]) -> Iterator[Finding]:
    """Walk entries (cells of `COLUMNS`, in order, from the first) and hold `heads` (genuine ones) against them."""
    due = deque(sorted(heads, key=lambda head: head.seq))
    agreed, rewritten = 0, False
    seq, previous = 0, None
    for rows in batches:
        for cells in rows:
            number, stored = cells[0], cells[-1]
            if type(number) is not int:
                yield Finding("audit.entry_edited", "an entry has no number any more", _COMPARE)
                continue
            gap = number > seq + 1
            if gap:
                yield _missing(seq + 1, number - 1)
            elif cells[_PREVIOUS] != previous:
                yield Finding(
                    "audit.link_broken", f"entry {number} does not follow the entry before it", _COMPARE, number
                )
            if not _as_written(cells):
                yield Finding("audit.entry_edited", f"entry {number} is not as it was written", _COMPARE, number)
            seq, previous = number, stored
            while due and due[0].seq <= seq:
                head = due.popleft()
                if head.seq < seq:  # in the gap that was just told
                    continue
                if head.entry_hash == stored:
                    agreed = seq
                elif not rewritten:  # all later heads differ as well: hashes build on one another
                    rewritten = True
                    yield _rewritten(agreed, head)
    if due:
        yield _cut(seq, due[-1])


def _as_written(cells: Row) -> bool:
    # No column holds numbers with a fraction, and the infinite ones would be spelled as null.
    try:
        return float not in map(type, cells) and hash_entry(cells[:-1]) == cells[-1]
    except TypeError:
        return False


def _missing(first: int, final: int) -> Finding:
    gone = f"entry {first} is" if first == final else f"entries {first} to {final} are"
    return Finding("audit.entries_missing", f"{gone} gone", _RESTORE, first)


def _rewritten(agreed: int, head: Head) -> Finding:
    since = f"after entry {agreed}" if agreed else "from the first entry on"
    message = f"the log was written anew {since}: entry {head.seq} is not the one signed on {_instant(head)}"
    return Finding("audit.rewritten", message, _RESTORE, head.seq)


def _cut(final: int, head: Head) -> Finding:
    message = f"the log ends at entry {final}, and entry {head.seq} was there when it was signed on {_instant(head)}"
    return Finding("audit.tail_cut", message, _RESTORE, final + 1)


def _instant(head: Head) -> str:
    return f"{head.at:%Y-%m-%d %H:%M:%S} UTC"
