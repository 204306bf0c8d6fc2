"""Days on which extracts landed. Patients are never partitions: they are run configuration."""

import dagster as dg

LANDING_DAYS = dg.DailyPartitionsDefinition(start_date="2026-11-01", end_offset=1)
"""UTC days up to and including today: today's partition is the ordinary sync, an earlier one a backfill."""
