"""The audit log: who changed what, from which image to which, and why.

Law: entries are only ever appended, in one chain without gaps, in the transaction of the change they tell of.

`chain` says what an entry's hash covers, `log` appends and reads, `verification` walks the chain, `replay` rebuilds the
records' states, `keys` and `heads` keep signed heads of the chain outside the store. See docs/audit.md.
"""

from holovitals_pipelines.store.audit.chain import Entry, LoggedEntry
from holovitals_pipelines.store.audit.log import append, entries, entry, last
from holovitals_pipelines.store.audit.replay import RecordFinding, Replayed, check_against_store, replay

__all__ = [
    "Entry",
    "LoggedEntry",
    "RecordFinding",
    "Replayed",
    "append",
    "check_against_store",
    "entries",
    "entry",
    "last",
    "replay",
]
