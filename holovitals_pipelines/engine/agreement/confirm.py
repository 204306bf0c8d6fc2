"""After a write the vendor confirmed: what it now holds, and how much of that both sides agree on.

Law: the vendor's stored representation becomes the shadow, except where somebody else may have written it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holovitals_pipelines.engine.agreement.desk import Desk
from holovitals_pipelines.model.errors import VendorError
from holovitals_pipelines.model.writing import Document, Present, Written
from holovitals_pipelines.store.outbox import StoredIntent
from holovitals_pipelines.sync.sides import Side, same, side_of


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The write took effect, and this is what the vendor shows of it."""

    present: Present
    trusted: bool
    """The vendor's versions prove that nobody else wrote in between."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The write was taken, but what the vendor holds now is not known, or somebody has written since."""

    remote_id: str


async def confirm(desk: Desk, intent: StoredIntent, written: Written) -> Confirmed | Unsettled:
    """The stored representation: from the answer, else read back."""
    if written.stored is not None:
        return Confirmed(Present(written.remote_id, written.stored, written.version), trusted=True)
    try:
        now = await desk.vendor.read_current(intent.resource_type, written.remote_id)
    except VendorError:
        return Unsettled(written.remote_id)
    if not isinstance(now, Present) or (written.version is not None and now.version != written.version):
        return Unsettled(written.remote_id)
    return Confirmed(now, trusted=written.version is not None)


def agreed_remote(sent: Side, before: Side | None, stored: Side, *, trusted: bool) -> Side:
    """The vendor's shadow after a write: what it stored, less what is news to us.

    News are pure additions to what was sent (identifiers a vendor assigns), and, where no version proves that nobody
    else wrote in between, every element that is neither what we sent, nor as it was before, nor a spelling of ours.
    """
    if same(sent, stored):
        return stored
    agreed: Document = {}
    held = before.document if before is not None else {}
    for element in {**sent.document, **stored.document}:
        value = _agreed(sent.document, held, stored.document, element, trusted=trusted)
        if value is not None:
            agreed[element] = value
    return side_of(agreed, stored, sent)


def _agreed(sent: Document, before: Document, stored: Document, element: str, *, trusted: bool) -> Any:
    ours, theirs = sent.get(element), stored.get(element)
    if ours == theirs or element in ("id", "meta", "text"):
        return theirs
    if _is_addition(ours, theirs):
        return before.get(element) if ours is None else ours
    if trusted or theirs == before.get(element) or _is_spelling(ours, theirs):
        return theirs
    return before.get(element)


def _is_addition(ours: Any, theirs: Any) -> bool:
    if ours is None:
        return theirs is not None
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(theirs) > len(ours) and all(item in theirs for item in ours)
    return False


def _is_spelling(ours: Any, theirs: Any) -> bool:
    """Whether a vendor's normalisation explains the difference: letter case and white space of the same text."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return " ".join(ours.split()).casefold() == " ".join(theirs.split()).casefold()
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_is_spelling(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_is_spelling, ours, theirs))
    return bool(ours == theirs)
