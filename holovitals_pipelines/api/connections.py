"""Connections over HTTP: list, look at, declare, change, try.

Law: what is declared here is written into connections.yaml; a secret is named, never sent and never shown.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from holovitals_pipelines.api.documented import documented
from holovitals_pipelines.api.preconditions import IfMatch, quoted, seen_tag
from holovitals_pipelines.api.security import CAN_OPERATE, CAN_READ, Operator, Reader
from holovitals_pipelines.api.shapes.base import PageOf
from holovitals_pipelines.api.shapes.connections import (
    ChangedConnection,
    ConnectionDetail,
    ConnectionEntry,
    NewConnection,
    Trial,
)
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.declaring import code_of, declare_connection
from holovitals_pipelines.engine.probing import probe_connection
from holovitals_pipelines.model.connection import ConnectionConfig

routes = APIRouter(tags=["connections"])

ConnectionPath = Annotated[str, Path(max_length=64, examples=["clinic"])]


@routes.get("/api/connections", **documented(CAN_READ))
def list_connections(home: OpenHome, caller: Reader) -> PageOf[ConnectionEntry]:
    """All that are declared, by name."""
    known = dict(home.connections)
    return PageOf(items=[ConnectionEntry.of(known[name]) for name in sorted(known)], next=None)


@routes.get("/api/connections/{name}", **documented(CAN_READ, 404))
def show(name: ConnectionPath, home: OpenHome, caller: Reader, response: Response) -> ConnectionDetail:
    """One as it is declared. Its secrets are named."""
    return _told(home.connection(name), response)


@routes.post("/api/connections", status_code=status.HTTP_201_CREATED, **documented(CAN_OPERATE, 409))
def declare(new: NewConnection, home: OpenHome, caller: Operator, response: Response) -> ConnectionDetail:
    """Declare a connection. Secrets are named by environment variable or file, as docs/connections.md has them."""
    made = declare_connection(home, new.name, new.declared, actor=caller.name, seen=None, new=True)
    response.headers["Location"] = f"/api/connections/{made.name}"
    return _told(made, response)


@routes.put("/api/connections/{name}", **documented(CAN_OPERATE, 404, 412, 428))
def change(
    name: ConnectionPath,
    changed: ChangedConnection,
    home: OpenHome,
    caller: Operator,
    response: Response,
    if_match: IfMatch = None,
) -> ConnectionDetail:
    """Change a connection, against what was read. `enabled: false` ends its syncs and keeps what is here."""
    seen = seen_tag(if_match)
    home.connection(name)
    return _told(declare_connection(home, name, changed.declared, actor=caller.name, seen=seen), response)


@routes.post("/api/connections/{name}/test", **documented(CAN_OPERATE, 404, 409, 502))
def test(name: ConnectionPath, home: OpenHome, caller: Operator) -> Trial:
    """Try the connection: credentials, each type, how changes are found, clocks, writes. Nothing is changed."""
    home.connection(name)
    return Trial.of(name, asyncio.run(probe_connection(home, name)))


def _told(connection: ConnectionConfig, response: Response) -> ConnectionDetail:
    response.headers["ETag"] = quoted(code_of(connection))
    return ConnectionDetail.of_declared(connection)
