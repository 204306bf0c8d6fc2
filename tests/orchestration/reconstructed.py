"""The job as a run worker finds it: loaded anew, by name."""

from __future__ import annotations

import dagster as dg

from holovitals_pipelines.orchestration.assembly import assemble


def sync_clinic() -> dg.JobDefinition:
    return assemble().resolve_job_def("sync_clinic")
