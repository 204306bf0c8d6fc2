"""How Oracle Health shows what it holds: versions from 0 on, ids on the parts of a person, a merged patient."""

from __future__ import annotations

from typing import Any

import orjson

from holovitals_pipelines.fhir.exact import read_document, write_value
from holovitals_pipelines.sandbox.facts.cerner import WITH_ELEMENT_IDS
from holovitals_pipelines.sandbox.site import Site
from holovitals_pipelines.sandbox.splice import Glance, with_members, with_server_meta


def present(body: bytes, look: Glance, version: int, updated_ms: int) -> bytes:
    """The first version is 0 (CE-x: the ETag of a create)."""
    if look.type in WITH_ELEMENT_IDS:
        body = _with_element_ids(body, look, version)
    return with_server_meta(body, look, version - 1, updated_ms)


def etag(site: Site, number: int) -> str:
    return f'W/"{site.records.version(number).number - 1}"'


def shown(site: Site, kind: str, number: int) -> bytes | None:
    """The resource as a read shows it: a patient who was merged is inactive and links to the survivor."""
    body = site.records.body(number)
    survivor = site.merged.get(site.records.identity(number)) if kind == "Patient" else None
    if body is None or survivor is None:
        return body
    link = [{"other": {"reference": f"Patient/{survivor}"}, "type": "replaced-by"}]
    return with_members(body, {"active": b"false", "link": orjson.dumps(link)})


def _with_element_ids(body: bytes, look: Glance, version: int) -> bytes:
    document = read_document(body)
    changed: dict[str, bytes | None] = {}
    for element in WITH_ELEMENT_IDS[look.type]:
        items: list[Any] = document.get(element) or []
        if any("id" not in item for item in items):
            made = f"CI-{element}-{look.id}-{version - 1}"
            marked = [{"id": f"{made}-{place}", **item} for place, item in enumerate(items)]
            changed[element] = write_value(marked).encode()
    return with_members(body, changed) if changed else body
