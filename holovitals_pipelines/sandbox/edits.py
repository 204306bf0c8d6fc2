"""Somebody at the vendor edits a resource while a client is at work: what faults make happen.

The law: an edit is a new version like any other; no rule of the vendor's API applies to it.
"""

from __future__ import annotations

from typing import Any

import orjson

from holovitals_pipelines.sandbox.faults import Fault
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import with_members


def edit_row(site: Site, number: int, edit: str) -> None:
    """Somebody at the vendor deletes the resource, or adds a remark to it."""
    kind, identity = site.records.kind(number), site.records.identity(number)
    body = site.records.body(number)
    if edit == "delete":
        site.records.delete(kind, identity)
    elif body is not None:
        resource: dict[str, Any] = orjson.loads(body)
        remark = {"url": "urn:holovitals:sandbox:edited", "valueInteger": len(site.records.history(number))}
        marked = body.rstrip()[:-1] + b',"extension":[%s]}' % orjson.dumps(remark)
        if "extension" in resource:
            resource["extension"].append(remark)
            marked = orjson.dumps(resource)
        site.records.put(kind, identity, marked)


def edit_target(site: Site, path: str, fault: Fault) -> None:
    """Edit what `…/Type/id` names, as the fault says; nothing happens where there is no such resource."""
    kind, _, identity = path.removeprefix(site.dialect.base).strip("/").partition("/")
    number = site.records.number(kind, identity)
    body = site.records.body(number) if number is not None else None
    if number is None or body is None:
        return
    element = fault.option("element", None)
    if element is None or fault.option("edit", "update") == "delete":
        edit_row(site, number, fault.option("edit", "update"))
    else:
        value = fault.option("value", None)
        changed = with_members(body, {str(element): None if value is None else orjson.dumps(value)})
        site.records.put(kind, site.records.identity(number), changed)
