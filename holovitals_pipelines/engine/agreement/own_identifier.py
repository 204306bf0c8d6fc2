"""The identifier by which a resource that we created is found again, should the vendor's answer be lost.

Law: it is bookkeeping, not content: sent with a create, kept by every update, and left out of every comparison.
"""

from __future__ import annotations

from typing import Any

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.providers.adapter import Identifier

SYSTEM = "urn:holovitals:link"
_MARK = SYSTEM.encode()

_SINGLE = frozenset({"Bundle", "Composition", "QuestionnaireResponse"})
_NONE = frozenset({"Binary", "OperationOutcome", "Parameters", "Provenance", "AuditEvent", "Linkage"})
"""R4 types whose `identifier` is not a list, and those without one."""


def can_carry(resource_type: str) -> bool:
    return resource_type not in _SINGLE and resource_type not in _NONE


def own_identifier(link_id: str) -> Identifier:
    return SYSTEM, link_id


def with_identifier(document: Document, link_id: str) -> Document:
    mine = {"system": SYSTEM, "value": link_id}
    return {**document, "identifier": [*document.get("identifier", ()), mine]}


def without_identifier(body: bytes) -> bytes:
    """The body without our identifiers; the very same bytes where there is none."""
    if _MARK not in body:
        return body
    document = read_document(body)
    listed = document.get("identifier")
    if not isinstance(listed, list):
        return body
    kept = [item for item in listed if not _is_ours(item)]
    if len(kept) == len(listed):
        return body
    if kept:
        document["identifier"] = kept
    else:
        del document["identifier"]
    return write_document(document)


def link_named_in(body: bytes) -> str | None:
    """The id of the pending link whose create made this resource, if one did."""
    if _MARK not in body:
        return None
    listed = read_document(body).get("identifier")
    named = [item["value"] for item in listed if _is_ours(item)] if isinstance(listed, list) else []
    return named[0] if named and isinstance(named[0], str) else None


def business_identifiers(document: Document) -> list[Identifier]:
    """(system, value) of the identifiers that name the thing itself, wherever it is kept."""
    listed = document.get("identifier")
    if not isinstance(listed, list):
        return []
    return [
        (item["system"], item["value"])
        for item in listed
        if isinstance(item, dict)
        and isinstance(item.get("system"), str)
        and isinstance(item.get("value"), str)
        and item["system"] != SYSTEM
    ]


def _is_ours(item: Any) -> bool:
    return isinstance(item, dict) and item.get("system") == SYSTEM and isinstance(item.get("value"), str)
