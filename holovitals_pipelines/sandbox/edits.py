"""Somebody at the vendor edits a resource while a client is at work: what faults make happen.

The law: an edit is a new version like any other; no rule of the vendor's API applies to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from holovitals_pipelines.sandbox.faults import Fault
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import with_members


@dataclass(frozen=True, slots=True)
class Edit:
    """`edit`: "update" or "delete". An update sets `element` to `value` (None takes it away), or adds a remark."""

    edit: str = "update"
    element: str | None = None
    value: Any = None


def edit_of(fault: Fault) -> Edit:
    return Edit(fault.option("edit", "update"), fault.option("element", None), fault.option("value", None))


def edit_row(site: Site, number: int, edit: Edit) -> None:
    """Somebody at the vendor deletes the resource, or changes it; nothing happens to what is gone."""
    kind, identity = site.records.kind(number), site.records.identity(number)
    body = site.records.body(number)
    if body is None:
        return
    if edit.edit == "delete":
        site.records.delete(kind, identity)
    elif edit.element is not None:
        value = None if edit.value is None else orjson.dumps(edit.value)
        site.records.put(kind, identity, with_members(body, {edit.element: value}))
    else:
        resource: dict[str, Any] = orjson.loads(body)
        remark = {"url": "urn:holovitals:sandbox:edited", "valueInteger": len(site.records.history(number))}
        marked = body.rstrip()[:-1] + b',"extension":[%s]}' % orjson.dumps(remark)
        if "extension" in resource:
            resource["extension"].append(remark)
            marked = orjson.dumps(resource)
        site.records.put(kind, identity, marked)


def edit_target(site: Site, path: str, body: bytes, fault: Fault) -> None:
    """Edit what a write is about, as the fault says; nothing happens where there is no such resource."""
    target = site.dialect.target(site, path.removeprefix(site.dialect.base).strip("/"), body)
    number = site.records.number(*target) if target is not None else None
    if number is not None:
        edit_row(site, number, edit_of(fault))
