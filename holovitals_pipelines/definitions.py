"""Dagster's front door: everything in `orchestration/defs`, the declared connections, and what they share."""

import dagster as dg

from holovitals_pipelines.orchestration.assembly import assembled


@dg.definitions
def defs() -> dg.Definitions:
    return assembled()
