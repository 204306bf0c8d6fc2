"""Days on which extracts land. Patients are never partitions: they are run configuration.

Law: the first day is the one on which a connection became known to the store, for the first sync reads all that is
older; nothing before it can be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.connections import known_since
from holovitals_pipelines.store.database import open_database


def landing_days(first: date | None = None) -> dg.DailyPartitionsDefinition:
    """UTC days from `first` (default: today) up to and including today: today's partition is the ordinary sync, an
    earlier one a backfill."""
    return dg.DailyPartitionsDefinition(start_date=(first or datetime.now(UTC).date()).isoformat(), end_offset=1)


def first_days(settings: Settings) -> Mapping[str, date]:
    """By connection; none where the store is new, cannot be reached, or has not met the connection yet."""
    url = settings.resolved_database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return {}  # looking must not create it
    with suppress(HoloVitalsError, sa.exc.SQLAlchemyError):
        database = open_database(url)
        try:
            with database.read() as transaction:
                return {name: since.astimezone(UTC).date() for name, since in known_since(transaction).items()}
        finally:
            database.close()
    return {}
