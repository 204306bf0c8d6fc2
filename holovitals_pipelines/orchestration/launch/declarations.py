"""What is declared of connections and rules, and whether somebody has edited it since.

Law: whoever keeps definitions loaded asks here before using them.
"""

from __future__ import annotations

from holovitals_pipelines.settings import Settings


class Declarations:
    """Notices that connections.yaml, the policy, the severity matrix or the quality thresholds were edited."""

    def __init__(self, settings: Settings) -> None:
        root = settings.root
        self._files = [
            settings.resolved_connections_file,
            settings.policy_file or root / "policy.yml",
            settings.severity_file or root / "severity.yml",
            settings.quality_file or root / "quality.yml",
        ]
        self._seen = self._now()

    def changed(self) -> bool:
        return self._now() != self._seen

    def _now(self) -> list[tuple[int, int] | None]:
        found: list[tuple[int, int] | None] = []
        for file in self._files:
            try:
                said = file.stat()
                found.append((said.st_mtime_ns, said.st_size))
            except OSError:
                found.append(None)
        return found
