"""How an exception is recorded with a job: our own errors speak for themselves, foreign ones only give their type."""

from __future__ import annotations

from holovitals_pipelines.model.errors import HoloVitalsError, JobError


def failure_of(error: BaseException) -> HoloVitalsError:
    """The error to record. A foreign exception's text may hold health data, so it is not kept."""
    if isinstance(error, HoloVitalsError):
        return error
    return JobError(
        f"unexpected {type(error).__name__}",
        code="engine.unexpected",
        remedy="the process's own output has the traceback; report it",
    )
