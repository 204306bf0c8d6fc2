"""One value of two, where a policy says how: preferLocal, preferRemote, concatenate, average, max, min.

Law: typed and exact; values an option does not fit are a `Misfit`, never converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from holovitals_pipelines.sync.format_only import TEXT_ELEMENTS
from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.quantities import decimal_of, is_number, mean, written
from holovitals_pipelines.sync.unit_paths import has_sidecar, is_group, last_step


@dataclass(frozen=True, slots=True)
class Misfit:
    """The option has no meaning for these values; `why` names kinds, never values."""

    why: str


def combine(option: str, unit: Unit, separator: str | None) -> Any:
    """The value of `option` (not `custom`) for the unit, or a Misfit."""
    if option in ("preferLocal", "preferRemote"):
        return _preferred(unit, local_first=option == "preferLocal")
    local, remote = unit.local, unit.remote
    if local is MISSING or remote is MISSING:
        return Misfit("a side has no value")
    if is_group(unit.name) or has_sidecar(unit):
        return _of_group(option, local, remote, separator)
    return _joined(option, last_step(unit.name), local, remote, separator)


def _preferred(unit: Unit, *, local_first: bool) -> Any:
    """The preferred side's value; where that side has none, the other's: content beats its absence."""
    first, second = (unit.local, unit.remote) if local_first else (unit.remote, unit.local)
    return second if first is MISSING or first == {} else first


def _of_group(option: str, local: Any, remote: Any, separator: str | None) -> Any:
    """A group in which one element differs and both sides have it: the rest is true of the joined value as well."""
    if not (isinstance(local, dict) and isinstance(remote, dict)):
        return Misfit("a group without its elements")
    differing = [name for name in sorted(local.keys() | remote.keys()) if local.get(name) != remote.get(name)]
    if len(differing) != 1 or differing[0] not in local or differing[0] not in remote:
        return Misfit("more than one element of the group differs")
    name = differing[0]
    value = _joined(option, name, local[name], remote[name], separator)
    return value if isinstance(value, Misfit) else {**local, name: value}


def _joined(option: str, element: str, local: Any, remote: Any, separator: str | None) -> Any:
    if option == "concatenate":
        return _concatenated(element, local, remote, separator or "")
    if isinstance(local, dict) and isinstance(remote, dict):
        return _of_quantities(option, local, remote)
    if is_number(local) and is_number(remote):
        return _of_numbers(option, local, remote, whole=isinstance(local, int) and isinstance(remote, int))
    if option in ("max", "min") and isinstance(local, str) and isinstance(remote, str):
        return _of_times(option, local, remote)
    return Misfit(f"{option} is not for values of this type")


def _concatenated(element: str, local: Any, remote: Any, separator: str) -> Any:
    """Both texts, what is in both only once: joining again changes nothing."""
    if isinstance(local, dict) and isinstance(remote, dict) and "text" in local and "text" in remote:
        if {**local, "text": ""} != {**remote, "text": ""} or local.keys() & {"coding", "status", "div"}:
            return Misfit("two annotations by different authors or of different times")
        text = _concatenated("text", local["text"], remote["text"], separator)
        return text if isinstance(text, Misfit) else {**local, "text": text}
    plain = all(isinstance(value, str) and not is_number(value) for value in (local, remote))
    if not plain or element not in TEXT_ELEMENTS:
        return Misfit("concatenate is for free text")
    parts = local.split(separator)
    return separator.join([*parts, *(part for part in remote.split(separator) if part not in parts)])


def _of_quantities(option: str, local: dict[str, Any], remote: dict[str, Any]) -> Any:
    if {**local, "value": 0} != {**remote, "value": 0} or local.keys() & {"comparator", "_value"}:
        return Misfit("two quantities that differ in more than their number")
    value = _of_numbers(option, local["value"], remote["value"], whole=False)
    return value if isinstance(value, Misfit) else {**local, "value": value}


def _of_numbers(option: str, local: Any, remote: Any, *, whole: bool) -> Any:
    ours, theirs = decimal_of(local), decimal_of(remote)
    if ours is None or theirs is None:
        return Misfit("a number that cannot be calculated with")
    if option != "average":
        return _extreme(option, local, remote, lambda value: (Decimal(str(value)), len(str(value)), str(value)))
    middle = mean(ours, theirs)
    if middle is None or (whole and middle != middle.to_integral_value()):
        return Misfit("the mean cannot be written exactly as such a number")
    return written(middle)


def _of_times(option: str, local: str, remote: str) -> Any:
    """The later or earlier of two dates of one precision, or of two instants; times without a zone have no order."""
    shapes = [re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", text) for text in (local, remote)]
    if all(shapes) and len(local) == len(remote):
        return _extreme(option, local, remote, lambda text: text)
    try:
        instants = {text: datetime.fromisoformat(text) for text in (local, remote)}
    except ValueError:
        return Misfit(f"{option} is for numbers and times")
    if any(shapes) or any(instant.tzinfo is None for instant in instants.values()):
        return Misfit("two times that have no certain order")
    return _extreme(option, local, remote, lambda text: (instants[text], text))


def _extreme(option: str, local: Any, remote: Any, key: Callable[[Any], Any]) -> Any:
    return max(local, remote, key=key) if option == "max" else min(local, remote, key=key)
