"""`python -m benchmarks.audit_chain`: what the audit log costs on SQLite, appended to and verified.

Law: the log is filled as reconciling fills it, 30,000 entries a transaction with random ids, both indexes in place.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Stopwatch
from holovitals_pipelines.store.audit import Entry, append
from holovitals_pipelines.store.audit.log import stream_stored
from holovitals_pipelines.store.audit.verification import check_chain
from holovitals_pipelines.store.database import open_database

ENTRIES_A_TRANSACTION = 30_000


def audit_chain(entries: int) -> None:
    """Print what `entries` entries cost, a lap for `append` and one for `verify`, as JSON."""
    with tempfile.TemporaryDirectory(prefix="holovitals-bench-") as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'operational.sqlite'}")
        database.upgrade()
        made = list(_pulled(entries))
        with Stopwatch() as watch:
            for start in range(0, entries, ENTRIES_A_TRANSACTION):
                with database.write() as transaction:
                    append(transaction, made[start : start + ENTRIES_A_TRANSACTION], at=datetime.now(UTC))
            watch.lap("append")
            with database.read() as transaction:
                assert list(check_chain(stream_stored(transaction), [])) == []
            watch.lap("verify")
        database.close()
    watch.report(entries)


def _pulled(entries: int) -> Iterator[Entry]:
    chance = random.Random(1)
    for _ in range(entries):
        link = chance.randbytes(16).hex()
        yield Entry(
            action="create",
            actor="clinic",
            record_id=link,
            link_id=link,
            connection="clinic",
            after_document=chance.randbytes(16),
            after_version=1,
            cause="pull",
            job_id="0b9f3f0e-6d0c-4d0f-9d57-0f8a3c5d7e11",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=300_000)
    audit_chain(parser.parse_args().entries)
