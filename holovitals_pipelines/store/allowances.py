"""How much of vendors' limits is left, for all processes and machines that share this store.

Law: a lot has one holder at a time, and a stretch of time is given once; whoever asks at the same moment queues.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from holovitals_pipelines.store.tables import vendor_allowance

_TURNS = -1
"""The place of a key's time, behind which its lots stand."""


def take_lots(
    transaction: sa.Connection, key: str, *, lots: int, most: int, holder: str, at: datetime, until: datetime
) -> list[int]:
    """The numbers of up to `most` lots that are free of so many, taken until then."""
    _queue(transaction, key)
    table = vendor_allowance
    held = {
        row.lot: row.free_at
        for row in transaction.execute(
            sa.select(table.c.lot, table.c.free_at).where(table.c.allowance_key == key, table.c.lot >= 0)
        )
    }
    free = [lot for lot in range(lots) if lot not in held or held[lot] <= at][:most]
    for lot in free:
        _put(transaction, key, lot, holder=holder, free_at=until, is_new=lot not in held)
    return free


def give_back_lots(transaction: sa.Connection, key: str, *, holder: str, returned: Mapping[int, datetime]) -> None:
    """Lots of this holder, and when each is free again; those that have another holder by now are left to it."""
    table = vendor_allowance
    for lot, free_at in returned.items():
        transaction.execute(
            table.update()
            .where(table.c.allowance_key == key, table.c.lot == lot, table.c.holder == holder)
            .values(holder=None, free_at=free_at)
        )


def silence_lots(transaction: sa.Connection, key: str, *, lots: int, until: datetime) -> None:
    """None of so many is free before then."""
    _queue(transaction, key)
    table = vendor_allowance
    known = set(transaction.scalars(sa.select(table.c.lot).where(table.c.allowance_key == key, table.c.lot >= 0)).all())
    transaction.execute(
        table.update()
        .where(table.c.allowance_key == key, table.c.lot >= 0, table.c.free_at < until)
        .values(free_at=until)
    )
    for lot in sorted(set(range(lots)) - known):
        _put(transaction, key, lot, holder=None, free_at=until, is_new=True)


def take_stretch(transaction: sa.Connection, key: str, *, at: datetime, seconds: float) -> datetime:
    """When a stretch of so many seconds begins that nobody else has."""
    _queue(transaction, key)
    table = vendor_allowance
    found = transaction.scalar(sa.select(table.c.free_at).where(table.c.allowance_key == key, table.c.lot == _TURNS))
    begins = at if found is None else max(found, at)
    free_at = begins + timedelta(seconds=seconds)
    _put(transaction, key, _TURNS, holder=None, free_at=free_at, is_new=found is None)
    return begins


def _queue(transaction: sa.Connection, key: str) -> None:
    """On SQLite every write transaction is alone already."""
    if transaction.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"allowance:{key}", 0))
        transaction.execute(sa.select(lock))


def _put(
    transaction: sa.Connection, key: str, lot: int, *, holder: str | None, free_at: datetime, is_new: bool
) -> None:
    table = vendor_allowance
    if is_new:
        transaction.execute(table.insert().values(allowance_key=key, lot=lot, holder=holder, free_at=free_at))
        return
    transaction.execute(
        table.update().where(table.c.allowance_key == key, table.c.lot == lot).values(holder=holder, free_at=free_at)
    )
