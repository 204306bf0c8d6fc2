"""Runs the main job in its own process, which sends itself a signal at the n-th progress event of a stage.

    python -m tests.engine.killed_worker HOME VENDOR_FOLDER STAGE EVENT [SIGNAL]

Without STAGE the job runs to its end. Prints the report as JSON.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from holovitals_pipelines.cli.output import print_json, report_as_json
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.job import SyncRequest
from holovitals_pipelines.model.vocabulary import JobType, Stage
from holovitals_pipelines.settings import Settings
from tests.engine.ndjson_source import NdjsonSource


class Executioner:
    """A progress listener that ends (or stops) its own process without any clean-up, outside any transaction."""

    def __init__(self, stage: str, event: int, deed: str) -> None:
        self._stage, self._left, self._deed = stage, event, signal.Signals[deed]

    def advanced(self, connection: str, stage: Stage, resource_type: str, rows: int) -> None:
        if stage == self._stage:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._deed)

    def ended(self, connection: str, stage: Stage, resource_type: str) -> None:
        self.advanced(connection, stage, resource_type, 0)


def main(home: str, vendor: str, stage: str = "", event: str = "0", deed: str = "SIGKILL") -> None:
    settings = Settings(
        home=Path(home), batch_rows=100, commit_rows=100, database_url=os.environ.get("HOLOVITALS_DATABASE_URL")
    )
    with open_home(settings) as opened:
        report = run_sync(
            opened,
            SyncRequest("clinic", JobType.FULL_SYNC),
            progress=Executioner(stage, int(event), deed),
            adapter_for=lambda _: NdjsonSource(Path(vendor)),
        )
    print_json(report_as_json(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
