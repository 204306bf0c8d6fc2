"""How an exception is recorded with a job: our own errors speak for themselves, foreign ones only give their type."""

from __future__ import annotations

from holovitals_pipelines.model.errors import HoloVitalsError


def failure_of(error: BaseException) -> tuple[str, str]:
    """(code, message). A foreign exception's text may hold health data, so it is not kept."""
    if isinstance(error, HoloVitalsError):
        return error.code, str(error)
    return "engine.unexpected", f"unexpected {type(error).__name__}; the process's own output has the traceback"
