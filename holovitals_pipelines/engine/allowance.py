"""Vendors' limits as the operational store keeps them, for every process and machine that shares it.

Law: see `providers.shared_rate.Allowance`; each call is one short transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from holovitals_pipelines.store.allowances import give_back_lots, silence_lots, take_lots, take_stretch
from holovitals_pipelines.store.database import Database


class AllowanceInDatabase:
    """See `providers.shared_rate.Allowance`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self,
        key: str,
        *,
        lots: int,
        most: int,
        holder: str,
        at: datetime,
        until: datetime,
        returned: Mapping[int, datetime],
    ) -> Sequence[int]:
        with self._database.write() as transaction:
            give_back_lots(transaction, key, holder=holder, returned=returned)
            return take_lots(transaction, key, lots=lots, most=most, holder=holder, at=at, until=until)

    def give_back(self, key: str, *, holder: str, returned: Mapping[int, datetime]) -> None:
        with self._database.write() as transaction:
            give_back_lots(transaction, key, holder=holder, returned=returned)

    def silence(self, key: str, *, lots: int, until: datetime) -> None:
        with self._database.write() as transaction:
            silence_lots(transaction, key, lots=lots, until=until)

    def take_turn(self, key: str, *, at: datetime, seconds: float) -> datetime:
        with self._database.write() as transaction:
            return take_stretch(transaction, key, at=at, seconds=seconds)
