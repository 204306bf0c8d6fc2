"""`python -m holovitals_pipelines.sandbox`: run simulated vendors; one JSON line on standard output tells the port."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Any

import orjson

from holovitals_pipelines.model.errors import HoloVitalsError


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m holovitals_pipelines.sandbox",
        description="Simulated EHR vendors on the loopback, with faults on demand. Synthetic data only, please.",
        epilog="Faults, the request log, the clock and edits at the vendor: see /_sandbox/ on the running server.",
    )
    parser.add_argument(
        "--dialects", default="fhir,epic", help="vendors to play, comma separated (default: %(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default) lets the system choose")
    parser.add_argument("--allow-other-hosts", action="store_true", help="listen on an address others can reach")
    parser.add_argument("--data", type=Path, help="NDJSON file or folder (.ndjson, .ndjson.gz) instead of a population")
    parser.add_argument(
        "--patients", type=int, default=100, help="size of the synthetic population (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the synthetic population (default: %(default)s)")
    parser.add_argument("--smart", default="", help="vendors that demand SMART Backend Services, comma separated")
    parser.add_argument("--clients", type=Path, help="registration file of the clients they know")
    parser.add_argument(
        "--set", action="append", default=[], metavar="DIALECT.NAME=VALUE", help="turn a knob: epic.session_seconds=5"
    )
    parser.add_argument("--spool-folder", type=Path, help="where the unlinked spool files go (default: the system's)")
    parser.add_argument("--journal", type=Path, help="keep what is written in this file, and begin where it ends")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when standard input closes: the parent is gone"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name for name in (part.strip() for part in text.split(",")) if name]


def _knobs(turned: list[str]) -> dict[str, dict[str, Any]]:
    knobs: dict[str, dict[str, Any]] = {}
    for one in turned:
        where, _, value = one.partition("=")
        dialect, _, name = where.partition(".")
        knobs.setdefault(dialect, {})[name] = value
    return knobs


def _end_with_parent() -> None:
    """Exit as soon as standard input ends: the pipe's other end dies with the parent, however that dies."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        os._exit(0)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    given = _arguments().parse_args(arguments)
    if given.until_stdin_closes:
        _end_with_parent()
    from holovitals_pipelines.sandbox.server import (
        SandboxConfig,
        bind_links,
        build,
        check_host,
        listening_socket,
        uvicorn_server,
    )
    from holovitals_pipelines.sandbox.site import base_urls

    try:
        config = SandboxConfig(
            dialects=_names(given.dialects),
            host=given.host,
            port=given.port,
            allow_other_hosts=given.allow_other_hosts,
            data=given.data,
            patients=given.patients,
            seed=given.seed,
            smart=frozenset(_names(given.smart)),
            clients=given.clients,
            settings=_knobs(given.set),
            spool_folder=given.spool_folder,
            journal=given.journal,
        )
        check_host(config.host, config.allow_other_hosts)
        sandbox = build(config)
        bound = listening_socket(config)
        bind_links(sandbox, config.host)
    except (HoloVitalsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    port = bound.getsockname()[1]
    started = {
        "port": port,
        "base_urls": base_urls(sandbox.sites, f"http://{config.host}:{port}"),
        "groups": {name: site.dialect.group for name, site in sandbox.sites.items()},
    }
    sys.stdout.write(orjson.dumps(started).decode() + "\n")
    sys.stdout.flush()
    uvicorn_server(sandbox).run(sockets=[bound])
    return 0


if __name__ == "__main__":
    sys.exit(main())
