"""What the plain FHIR server exports: everything, a Group, or what belongs to patients, from an instant on or all."""

from __future__ import annotations

from typing import Any

from holovitals_pipelines.sandbox.clock import parse_instant
from holovitals_pipelines.sandbox.protocols import bulk, search
from holovitals_pipelines.sandbox.protocols.rest import group_members
from holovitals_pipelines.sandbox.site import Site


def export_of(site: Site, url: str, below: str, params: search.Params, everyone: str) -> bulk.Export | None:
    """What a kick-off at `below` the base exports; None for an unknown Group. Raises ValueError for a bad `_since`."""
    records, settings = site.records, site.settings
    now = site.clock.now_ms()
    since = max((parse_instant(v.replace(" ", "+")) for n, v in params if n == "_since"), default=None)
    asked = {kind for name, value in params if name == "_type" for kind in value.split(",")}
    patients: list[str] | None = None
    if below.startswith("/Group/"):
        patients = group_members(site, below.split("/")[2], everyone)
        if patients is None:
            return None
    elif below.startswith("/Patient/"):
        patients = group_members(site, everyone, everyone)
    files: list[bulk.ExportFile] = []
    gone: list[str] = []
    for kind in records.types():
        if kind == "Binary" or (asked and kind not in asked):
            continue
        numbers: Any = records.in_order(kind)
        if patients is not None:
            numbers = sorted({n for patient in patients for n in records.in_chart(kind, patient)})
        numbers = records.live(kind, numbers)
        if since is not None:
            numbers = records.updated_between(numbers, since, float("inf"))
            gone += [
                f"{kind}/{records.identity(n)}" for n in records.deleted(kind) if records.version(n).updated_ms >= since
            ]
        files += bulk.split_files(records, kind, numbers, settings.rows_a_file)
    return bulk.Export(
        key="", request_url=url, transaction_ms=now, files=files,
        deleted=[bulk.deletion_bundle(gone)] if gone else [], polls_left=settings.polls,
    )  # fmt: skip
