"""Watching a job that somebody else does: a line a resource type, until the job has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from holovitals_pipelines.engine.job_views import JobView, TypeProgress
from holovitals_pipelines.model.vocabulary import TERMINAL_STATUSES

SECONDS_BETWEEN_LOOKS = 0.5


def watch(console: Console, look: Callable[[], JobView], seconds: float | None) -> JobView:
    """The job as it stands when it has ended, or when `seconds` are over. Silent where nobody looks at a terminal."""
    deadline = None if seconds is None else time.monotonic() + seconds
    columns = (SpinnerColumn(), TextColumn("{task.description:<40}"), TextColumn("{task.fields[said]}"))
    bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, TaskID] = {}
    with bars:
        while True:
            view = look()
            _show(bars, tasks, "", _standing(view), "")
            for one in view.progress:
                _show(bars, tasks, one.resource_type, f"{one.stage} of {one.resource_type}", _so_far(one))
            if view.job.status in TERMINAL_STATUSES or (deadline is not None and time.monotonic() >= deadline):
                return view
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _show(bars: Progress, tasks: dict[str, TaskID], key: str, description: str, said: str) -> None:
    if key not in tasks:
        tasks[key] = bars.add_task(description, total=None, said=said)
    bars.update(tasks[key], description=description, said=said)


def _standing(view: JobView) -> str:
    job = view.job
    until = f", again at {job.next_at:%H:%M:%S} UTC" if job.next_at else ""
    return f"{job.connection} {job.status.value.lower()}{until}"


def _so_far(one: TypeProgress) -> str:
    return f"{one.extracted:>10,} rows{'' if one.state == 'running' else ' ' + one.state}"
