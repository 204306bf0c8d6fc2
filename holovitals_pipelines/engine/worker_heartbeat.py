"""Which warm workers are alive: each keeps a small file below the home fresh, which everybody can look at cheaply.

Law: a heartbeat only steers who takes a job first. That no job is taken twice is the queue's doing, not the file's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from holovitals_pipelines.engine.worker import is_gone
from holovitals_pipelines.settings import Settings

SECONDS_BETWEEN_BEATS = 2.0
SILENT_AFTER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class LiveWorker:
    name: str
    connections: tuple[str, ...]
    """Which it serves; empty: all."""
    seen_at: datetime

    def serves(self, connection: str) -> bool:
        return not self.connections or connection in self.connections


class Heartbeat:
    """One worker's sign of life."""

    def __init__(self, settings: Settings, name: str, connections: Sequence[str] = ()) -> None:
        self._said = json.dumps({"worker": name, "connections": list(connections)})
        self._file = _folder(settings) / (name.replace("/", "-") + ".json")

    def beat(self) -> None:
        """Say that the worker lives; the first time creates the file, whole."""
        if self._file.exists():
            self._file.touch()
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._forget_the_dead()
        partial = self._file.with_suffix(".part")
        partial.write_text(self._said, encoding="utf-8")
        partial.replace(self._file)

    def stop(self) -> None:
        self._file.unlink(missing_ok=True)

    def _forget_the_dead(self) -> None:
        """Whoever died without a word is replaced by this one."""
        for file in self._file.parent.glob("*.json"):
            try:
                gone = is_gone(json.loads(file.read_text(encoding="utf-8"))["worker"])
            except (OSError, ValueError, KeyError):
                continue
            if gone:
                file.unlink(missing_ok=True)


def live_workers(settings: Settings) -> list[LiveWorker]:
    """Those that have said so within the last seconds, and are not known to be gone."""
    now = datetime.now(UTC)
    living = []
    for file in sorted(_folder(settings).glob("*.json")):
        try:
            seen_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
            said = json.loads(file.read_text(encoding="utf-8"))
            worker = LiveWorker(said["worker"], tuple(said["connections"]), seen_at)
        except (OSError, ValueError, KeyError):  # it has just ended
            continue
        if (now - seen_at).total_seconds() <= SILENT_AFTER_SECONDS and not is_gone(worker.name):
            living.append(worker)
    return living


def any_beat(settings: Settings) -> bool:
    """Whether a worker has begun and not ended in order: if none is alive then, one has died."""
    return any(_folder(settings).glob("*.json"))


def unserved(settings: Settings, connections: Sequence[str]) -> list[str]:
    """The connections that no living worker serves."""
    living = live_workers(settings)
    return [name for name in connections if not any(worker.serves(name) for worker in living)]


def _folder(settings: Settings) -> Path:
    return settings.root / "workers"
