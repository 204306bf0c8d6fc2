"""A receiver of webhooks in a process of its own, for tests that kill it: `python -m tests.api.receiving_server HOME`.

It prints its port when it takes connections.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from holovitals_pipelines.api.receiver import receiver_routes
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.webhooks.receiving import Receiver
from holovitals_pipelines.settings import Settings


def main() -> None:
    with open_home(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2])) as home:
        receiver = Receiver(home)
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        print(listening.getsockname()[1], flush=True)
        app = Starlette(routes=list(receiver_routes(lambda: receiver)))
        config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
