"""What of a document is content: all but its id, its narrative, the vendor's bookkeeping and members that say nothing.

Law: the same as the canonical form's (`fhir/canonical.py`, sync-protocol.md §3.1), except that `id` and `resourceType`
name a resource and are never merged.
"""

from __future__ import annotations

from typing import Any, Final

from holovitals_pipelines.model.writing import Document

_BOOKKEEPING: Final = frozenset({"versionId", "lastUpdated", "source"})


def content_of(document: Document) -> Document:
    """The members that can be merged."""
    content = dict(document)
    content.pop("id", None)
    content.pop("resourceType", None)
    if type(content.get("text")) is dict:
        del content["text"]
    meta = content.get("meta")
    if type(meta) is dict and not _BOOKKEEPING.isdisjoint(meta):
        content["meta"] = {name: value for name, value in meta.items() if name not in _BOOKKEEPING}
        if not content["meta"]:
            del content["meta"]
    return content


def with_content(document: Document, before: Document, after: Document) -> Document:
    """`document` with its content, `before`, replaced by `after`; members stay where they stand."""
    result = dict(document)
    for name in before:
        if name not in after:
            del result[name]
    result.update(after)
    meta, merged = document.get("meta"), after.get("meta", {})
    if type(meta) is dict and type(merged) is dict and not _BOOKKEEPING.isdisjoint(meta):
        result["meta"] = {**{name: value for name, value in meta.items() if name in _BOOKKEEPING}, **merged}
    return result


def pruned(value: Any) -> Any:
    """`value` without members that are null, `{}` or `[]`, as FHIR JSON takes them for absent; None where it is one.

    Items of lists stay, null too: places pair a primitive list with its sidecar.
    """
    if type(value) is dict or type(value) is list:
        return (_without_empty_members(value) if _has_empty(value) else value) or None
    return value


def _has_empty(container: Any) -> bool:
    """Whether anything in it is null, `{}` or `[]`: rare, so that a copy is seldom needed."""
    for value in container.values() if type(container) is dict else container:
        if type(value) is str:
            continue
        if value is None or ((type(value) is dict or type(value) is list) and (not value or _has_empty(value))):
            return True
    return False


def _without_empty_members(container: Any) -> Any:
    if type(container) is list:
        return [_without_empty_members(item) if type(item) in (dict, list) else item for item in container]
    kept = {}
    for name, value in container.items():
        if type(value) is dict or type(value) is list:
            value = _without_empty_members(value) or None
        if value is not None:
            kept[name] = value
    return kept
