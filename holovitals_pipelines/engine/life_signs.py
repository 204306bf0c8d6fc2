"""Which services of this installation show that they live: workers by their files, listeners by their ports.

Law: a service that does not run is told, and is no fault: nobody has to run all of them.
"""

from __future__ import annotations

import socket

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.worker_heartbeat import any_beat, live_workers

_CONNECT_SECONDS = 1.0
NOT_RUNNING = "does not run"


def life_signs(home: Home) -> dict[str, str]:
    """A sentence for the worker, and for each port where messages are to arrive."""
    living = len(live_workers(home.settings))
    fallen = f"{NOT_RUNNING}{', it has fallen: holovitals worker' if any_beat(home.settings) else ''}"
    signs = {"worker": f"{living} at work" if living else fallen}
    for connection in home.connections.values():
        for at in connection.hl7v2.listen if connection.enabled else ():
            if at.port == 0:  # the system has chosen one
                continue
            answers = "it answers" if _answers(at.host, at.port) else f"{NOT_RUNNING}: holovitals listen"
            signs[f"listener {connection.name}/{at.name}, port {at.port}"] = answers
    return signs


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False
