"""`holovitals listen`: take the HL7 v2 messages that vendors send, until told to stop.

Law: a message is acknowledged only after it is stored; the command ends with every message it took answered.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Annotated

import typer

from holovitals_pipelines.cli.output import console, readable_errors, say
from holovitals_pipelines.engine.hl7v2.listening import Ports, listen, listening_connections
from holovitals_pipelines.engine.home import open_home


def listen_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="only these connections; default: all that listen")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="say the ports in one line of JSON, for scripts")] = False,
) -> None:
    """Take the HL7 v2 messages that vendors send, store them and acknowledge them. Ctrl-C ends it.

    Ports are those of `hl7v2.listen` in connections.yaml. What the messages tell becomes records with the next
    `holovitals sync`; both may run at once.

    ```
    holovitals listen
    holovitals listen hospital --json
    ```
    """
    with readable_errors(as_json), open_home() as home:
        connections = listening_connections(home, names or ())

        def ready(ports: Ports) -> None:
            if as_json:
                sys.stdout.write(json.dumps({"listening": ports}) + "\n")
                sys.stdout.flush()
                return
            for connection in connections:
                for at in connection.hl7v2.listen:
                    say(console, f"{connection.name}: {at.name} on {at.host}:{ports[connection.name][at.name]}")
            say(console, "Ctrl-C ends it.")

        asyncio.run(listen(home, connections, until=_told_to_stop, ready=ready))


async def _told_to_stop() -> None:
    """Until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
