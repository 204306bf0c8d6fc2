"""The `holovitals` command as people run it: a process of its own, on a home of its own, with nothing else set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

COMMAND = str(Path(sys.executable).with_name("holovitals"))


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as JSON, all of it."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        return self.out + self.err


def environment(home: Path, **settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HOLOVITALS_", "DAGSTER_"))}
    inherited.pop("COLUMNS", None)
    return inherited | {"HOLOVITALS_HOME": str(home)} | settings


def holovitals(home: Path, *arguments: str, timeout: float = 120, **settings: str) -> Ended:
    """Run the command to its end; `settings` are environment variables."""
    with start(home, *arguments, **settings) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Ended(process.returncode, out, err)


def start(home: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start the command as the leader of a process group of its own."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def declare(home: Path, *connections: dict[str, Any]) -> Path:
    """Write connections.yaml as a person would."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "connections.yaml").write_text(yaml.safe_dump({"connections": list(connections)}), encoding="utf-8")
    return home


def clinic(name: str, base_url: str, *types: str, **read: Any) -> dict[str, Any]:
    """A connection to an open FHIR server, in a hurry."""
    hurry = {"retry_delay_ms": 1, "max_retries": 4, "page_size": 20}
    return {
        "name": name,
        "provider": "fhir",
        "base_url": base_url,
        "resource_types": list(types) or None,
        "read": hurry | read,
    }
