"""/docs: the calls with their roles, fields and examples, made of /openapi.json by a page of our own.

Law: nothing is loaded from anywhere else, so it works without a network and says nothing to strangers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

routes = APIRouter(include_in_schema=False)

_FILES = Path(__file__).parent / "page"
_TYPES = {
    "docs.html": "text/html; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@routes.get("/docs")
def page() -> Response:
    return _file("docs.html")


@routes.get("/docs/{name}")
def part(name: str) -> Response:
    if name not in _TYPES:
        return Response(status_code=404)
    return _file(name)


def _file(name: str) -> Response:
    return Response(_content(name), media_type=_TYPES[name])


@cache
def _content(name: str) -> bytes:
    return (_FILES / name).read_bytes()
