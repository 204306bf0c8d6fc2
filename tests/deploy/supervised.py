"""A supervisor in a process of its own, over services that tests describe.

    python -m tests.deploy.supervised FOLDER SERVICES SECONDS_TO_READY

It prints what it is told, a line of JSON each; SERVICES is a list of `{name, script, says_ready?}` in JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from holovitals_pipelines.deploy.supervision import Service, Supervisor
from holovitals_pipelines.model.errors import ConfigurationError


def main(folder: str, described: str, seconds_to_ready: str) -> int:
    services = [
        Service(one["name"], [sys.executable, "-u", "-c", one["script"]], says_ready=one.get("says_ready"))
        for one in json.loads(described)
    ]
    try:
        supervisor = Supervisor(
            Path(folder),
            lambda event, service, detail: say(event, service=service.name, detail=detail),
            seconds_to_ready=float(seconds_to_ready),
        )
        supervisor.run((), services, lambda: say("all_ready"))
    except ConfigurationError as error:
        say("failed", code=error.code, message=error.message)
        return 1
    return 0


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
