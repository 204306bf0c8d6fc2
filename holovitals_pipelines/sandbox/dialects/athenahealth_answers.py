"""The shapes of athenahealth's v1 answers and requests: lists with an envelope, arrays of one, forms (vendors.md §5.2).

Law: links are relative to the host and know nothing of the path under which the sandbox stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.fhir.exact import write_document
from holovitals_pipelines.sandbox.edits import edit_row
from holovitals_pipelines.sandbox.facts.athenahealth import PRACTICE
from holovitals_pipelines.sandbox.protocols.pages import page_fault_of
from holovitals_pipelines.sandbox.site import Site

Row = TypeVar("Row")


async def form_of(request: Request) -> Mapping[str, str]:
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


def window(site: Site, request: Request) -> tuple[int, int]:
    """(offset, limit). Raises ValueError."""
    asked = request.query_params
    limit = min(int(asked.get("limit", site.settings.default_limit)), site.settings.most_limit)
    return int(asked.get("offset", 0)), limit


def listing(
    site: Site,
    request: Request,
    name: str,
    rows: Sequence[Row],
    show: Callable[[Row], bytes],
    *,
    counted: bool = True,
) -> Response:
    """A page of a list; only what is on it is shown, so that a list may be long."""
    try:
        offset, limit = window(site, request)
    except ValueError:
        return answered({"error": "The data provided is invalid."}, 400)
    fault = page_fault_of(request.scope)
    if fault.edit is not None and offset < len(rows) and isinstance(number := rows[offset], int):
        edit_row(site, number, fault.edit)
        rows = [row for row in rows if not isinstance(row, int) or site.records.body(row) is not None]
    first = max(0, offset - fault.repeat_rows)
    envelope: dict[str, Any] = {"totalcount": len(rows)} if counted else {}
    for link, at in (("next", offset + limit), ("previous", offset - limit)):
        if 0 <= at < len(rows):
            kept = [(key, value) for key, value in request.query_params.multi_items() if key not in ("limit", "offset")]
            query = urlencode([*kept, ("limit", str(limit)), ("offset", str(at))])
            envelope[link] = f"/v1/{PRACTICE}/{request.path_params['path']}?{query}"
    shown = b",".join(map(show, rows[first : offset + limit]))
    head = orjson.dumps(envelope)[:-1] + (b"," if envelope else b"")
    return Response(head + b'"%s":[%s]}' % (name.encode(), shown), media_type="application/json")


def record_array(items: Sequence[bytes]) -> Response:
    return Response(b"[%s]" % b",".join(items), media_type="application/json")


def encoded(record: dict[str, Any]) -> bytes:
    return write_document(record)


def answered(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
