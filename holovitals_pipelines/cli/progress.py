"""Progress bars of a running job, one a stage; silent where nobody looks at a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from holovitals_pipelines.model.vocabulary import Stage


class StageBars:
    """Counts rise while a vendor is read; how many there will be is not known before, so bars pulse until the end."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rows]:>10,} rows"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, Stage], TaskID] = {}

    def __enter__(self) -> StageBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        task = self._task(connection, stage)
        before = self._progress.tasks[self._progress.task_ids.index(task)].fields["rows"]
        self._progress.update(task, description=f"{connection} {stage} {resource_type}", rows=before + rows)

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        self._progress.update(self._task(connection, stage), description=f"{connection} {stage} {resource_type} ✓")

    def _task(self, connection: str, stage: Stage) -> TaskID:
        if (connection, stage) not in self._tasks:
            self._tasks[connection, stage] = self._progress.add_task(f"{connection} {stage}", total=None, rows=0)
        return self._tasks[connection, stage]
