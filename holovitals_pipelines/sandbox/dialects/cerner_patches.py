"""JSON Patch as Oracle Health takes it: the listed operations only, and a list's item only after a test of its id."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from holovitals_pipelines.fhir.exact import exactly_equal
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.sandbox.facts.cerner import PATCHES

Operations = list[dict[str, Any]]


class PatchRefused(Exception):
    """The patch is refused as a whole; `code` is the FHIR issue type."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def patched(kind: str, held: Document, operations: Operations) -> Document:
    """What the operations make of the resource; all or nothing. Raises PatchRefused.

    unverified: the issue codes; that unlisted operations are refused and tests come first is documented.
    """
    document, tested = deepcopy(held), set[str]()
    if not isinstance(operations, list) or not operations:
        raise PatchRefused("invalid", "a patch is a list of operations")
    for operation in operations:
        verb, path = str(operation.get("op")), str(operation.get("path"))
        _check(kind, verb, path, tested)
        if verb == "test":
            if not exactly_equal(_at(document, path), operation.get("value")):
                raise PatchRefused("conflict", "a test failed")
            tested.add(path)
        else:
            _change(document, path, verb, operation.get("value"))
    return document


def _check(kind: str, verb: str, path: str, tested: set[str]) -> None:
    steps = path.split("/")
    template = "/".join("{index}" if step.isdecimal() else step for step in steps)
    listed = PATCHES.get(kind, {})
    if verb not in listed.get(template, ()):
        raise PatchRefused("business-rule", "the operation is not supported at this path")
    places = template.split("/")
    for number, place in enumerate(places, start=1):
        due = "test" in listed.get("/".join([*places[:number], "id"]), ())
        if place == "{index}" and verb != "test" and due and "/".join([*steps[:number], "id"]) not in tested:
            raise PatchRefused("business-rule", "the element's id is not tested before")


def _at(document: Any, path: str) -> Any:
    found = document
    for step in path.split("/")[1:]:
        try:
            found = found[int(step)] if isinstance(found, list) else found[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return found


def _change(document: Document, path: str, verb: str, value: Any) -> None:
    parent_path, _, last = path.rpartition("/")
    parent = _at(document, parent_path)
    if parent is None and last == "-":
        parent = []
        document[parent_path[1:]] = parent
    if isinstance(parent, list):
        if verb == "add":
            parent.append(value)
        elif not last.isdecimal() or int(last) >= len(parent):
            raise PatchRefused("invalid", "there is no such element")
        elif verb == "remove":
            del parent[int(last)]
        else:
            parent[int(last)] = value
    elif isinstance(parent, dict):
        # unverified: that `replace` also sets what is absent.
        parent[last] = value
    else:
        raise PatchRefused("invalid", "there is no such element")
