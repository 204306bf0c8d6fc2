"""Bulk exports of a FHIR interface: its types, its patients, what changed since; files show what its reads show.

The law: an export shows the resources as they were at its kick-off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.clock import parse_instant
from holovitals_pipelines.sandbox.protocols import bulk
from holovitals_pipelines.sandbox.protocols.outcomes import origin, refusal
from holovitals_pipelines.sandbox.protocols.rest import group_members
from holovitals_pipelines.sandbox.protocols.view import View
from holovitals_pipelines.sandbox.records import Records
from holovitals_pipelines.sandbox.site import Site

_ROWS_A_FILE = 3000
_RETRY_AFTER = "1"


class _Shown:
    """The part of `Records` that export files read, as an interface shows it."""

    def __init__(self, site: Site, view: View) -> None:
        self._site = site
        self._view = view

    def changed_body(self, number: int) -> bytes | None:
        body = self._site.records.changed_body(number)
        return None if body is None else self._view.show(self._site, number, body)

    def loaded_body(self, number: int) -> bytes:
        return self._view.show(self._site, number, self._site.records.loaded_body(number))

    def length(self, number: int) -> int:
        return len(self.loaded_body(number))


def export_of_face(
    site: Site, request: Request, types: Sequence[str], view: View, everyone: str, base: str, *, polled: bool
) -> Response:
    """The answer to a kick-off."""
    if "respond-async" not in request.headers.get("prefer", ""):
        return refusal(400, "invalid", "Prefer: respond-async is required")
    params = parse_qsl(request.url.query, keep_blank_values=True)
    try:
        since = max((parse_instant(v.replace(" ", "+")) for n, v in params if n == "_since"), default=None)
    except ValueError:
        return refusal(400, "invalid", "_since is not an instant")
    patients = group_members(site, request.path_params.get("group", everyone), everyone)
    if patients is None:
        return refusal(404, "not-found", "there is no such Group")
    asked = {kind for name, value in params if name == "_type" for kind in value.split(",")}
    wanted = [kind for kind in types if kind != "Binary" and (not asked or kind in asked)]
    files, gone = _files(site, view, wanted, [one for one in patients if one not in site.merged], since)
    made = bulk.Export(
        key="", request_url=str(request.url), transaction_ms=site.clock.now_ms(), files=files,
        deleted=[bulk.deletion_bundle(gone)] if gone else [], polls_left=1,
    )  # fmt: skip
    job = site.exports.add(made)
    path = f"$export-poll-status?_jobId={job}" if polled else f"bulk/status/{job}"
    return Response(status_code=202, headers={"Content-Location": f"{origin(request)}{base}/{path}"})


def _files(
    site: Site, view: View, kinds: Sequence[str], patients: Sequence[str], since: int | None
) -> tuple[list[bulk.ExportFile], list[str]]:
    records = site.records
    shown = cast(Records, _Shown(site, view))
    files: list[bulk.ExportFile] = []
    gone: list[str] = []
    for kind in kinds:
        in_charts = sorted({n for patient in patients for n in records.in_chart(kind, patient)})
        # What is in nobody's chart (places, people who care) goes out with every export.
        numbers = records.live(kind, in_charts if in_charts or kind == "Patient" else records.in_order(kind))
        if since is not None:
            numbers = records.updated_between(numbers, since, float("inf"))
            late = (n for n in records.deleted(kind) if records.version(n).updated_ms >= since)
            gone += [f"{kind}/{view.shown_id(site, n)}" for n in late]
        files += bulk.split_files(shown, kind, numbers, _ROWS_A_FILE)
    return files, gone


def face_export_routes(site: Site, base: str, denied: Callable[[Request], Response | None]) -> list[BaseRoute]:
    """Status, clean-up and files of exports that were kicked off."""

    def job_of(request: Request) -> str:
        return str(request.path_params.get("job") or request.query_params.get("_jobId", ""))

    async def status(request: Request) -> Response:
        if (refused := denied(request)) is not None:
            return refused
        if request.method == "DELETE":
            return bulk.finish_answer(site, job_of(request))
        return bulk.status_answer(site, job_of(request), request, f"{base}/bulk/files", _RETRY_AFTER)

    async def file(request: Request) -> Response:
        if (refused := denied(request)) is not None:
            return refused
        return bulk.file_answer(site, job_of(request), request.path_params["name"], request)

    return [
        Route(f"{base}/$export-poll-status", status, methods=["GET", "DELETE"]),
        Route(f"{base}/bulk/status/{{job}}", status, methods=["GET", "DELETE"]),
        Route(f"{base}/bulk/files/{{job}}/{{name}}", file),
    ]
