"""Whether Dagster's daemon lives: schedules and sensors run by it, and by nothing else.

Law: only its own signs of life are looked at; a home where Dagster has never run is not given a history by looking.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from dagster import DagsterInstance

SILENT_AFTER_SECONDS = 90.0
"""Three times the pause between two of its signs."""


def daemon_lives(dagster_home: Path) -> bool:
    """Whether one of its parts has given a sign within the last seconds."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    with DagsterInstance.get() as instance:
        beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return any(time.time() - at <= SILENT_AFTER_SECONDS for at in beats)
