"""The pages' files: HTML, styles and scripts of our own, the same for everybody.

Law: nothing of a record is in them, so they ask for no token; what they show, their scripts ask of the API with the
session of whoever looks. Nothing is loaded from anywhere else.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

routes = APIRouter(include_in_schema=False)

_SITE = Path(__file__).parent / "site"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@routes.get("/")
def landing() -> Response:
    return _file("landing.html")


@routes.get("/dashboard")
def dashboard() -> Response:
    return _file("dashboard.html")


@routes.get("/dashboard/patients")
def patients() -> Response:
    return _file("patients.html")


@routes.get("/dashboard/patients/{patient_key}")
def patient(patient_key: str) -> Response:
    return _file("patient.html")


@routes.get("/dashboard/conflicts")
def conflicts() -> Response:
    return _file("conflicts.html")


@routes.get("/dashboard/conflicts/{conflict_id}")
def conflict(conflict_id: str) -> Response:
    return _file("conflict.html")


@routes.get("/favicon.ico")
def icon() -> Response:
    return RedirectResponse("/site/icon.svg")


@routes.get("/site/{name}")
def part(name: str) -> Response:
    if name not in _names() or name.endswith(".html"):
        return Response(status_code=404)
    return _file(name)


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in _SITE.iterdir())


def _file(name: str) -> Response:
    return Response(_content(name), media_type=_TYPES[Path(name).suffix], headers={"Cache-Control": "no-cache"})


@cache
def _content(name: str) -> bytes:
    return (_SITE / name).read_bytes()
