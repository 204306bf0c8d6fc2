"""What a vendor's API makes of a write: conditions it demands, elements it keeps its own way, how much it answers.

The law: these rules are the API's alone; a clinician's edit at the vendor (`/_sandbox/`) knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.sandbox.protocols.outcomes import refusal
from holovitals_pipelines.sandbox.splice import changed_at, split_members, with_members


class WriteRules(Protocol):
    """The knobs these rules read; elements are named `Type.element`, below the top `Type.element.inner`."""

    @property
    def etags(self) -> bool: ...
    @property
    def require_if_match(self) -> bool: ...
    @property
    def missing_status(self) -> int: ...
    @property
    def stale_status(self) -> int: ...
    @property
    def immutable(self) -> Sequence[str]: ...
    @property
    def lossy(self) -> Mapping[str, Sequence[str]]: ...
    @property
    def return_body(self) -> bool: ...


def condition_problem(rules: WriteRules, request: Request, current: str | None) -> Response | None:
    """What a vendor answers to a missing or stale If-Match; `current` is the ETag now, None where nothing ever was.

    Malformed values match nothing; without ETags the header is ignored.
    """
    if not rules.etags:
        return None
    wanted = request.headers.get("if-match")
    if wanted is None:
        demanded = rules.require_if_match and current is not None
        return refusal(rules.missing_status, "required", "If-Match is required") if demanded else None
    if wanted == current:
        return None
    return refusal(rules.stale_status, "conflict", "If-Match does not name the current version")


def stored_form(rules: WriteRules, kind: str, sent: bytes, held: bytes | None) -> bytes:
    """What the vendor stores of a resource it is sent; `held` is what it has, None for a create."""
    body = sent
    for path in _of(kind, rules.lossy.get("drop", ())):
        body = changed_at(body, path, _nothing)
    for path in _of(kind, rules.lossy.get("lower", ())):
        body = changed_at(body, path, _lower_case)
    if held is not None:
        own = split_members(held)
        names = [name for path in _of(kind, rules.immutable) for name in (path[0], f"_{path[0]}")]
        body = with_members(body, {name: own.get(name) for name in names})
    return body


def answers_body(rules: WriteRules, request: Request) -> bool:
    return rules.return_body and "return=minimal" not in request.headers.get("prefer", "").replace(" ", "")


def _of(kind: str, named: Sequence[str]) -> list[list[str]]:
    """The paths below a type: `Patient.name.family` gives `[name, family]` for Patient."""
    return [path for of, *path in (one.split(".") for one in named) if of == kind and path]


def _nothing(raw: bytes) -> None:
    return None


def _lower_case(raw: bytes) -> bytes:
    value = orjson.loads(raw)
    return orjson.dumps(value.lower()) if isinstance(value, str) else raw
