"""FHIR values as people read them: names, dates, codings, quantities, references; and where two of them differ.

Law: nothing is shown of a value that it does not hold, and two values that differ never look the same: what the short
form leaves out is shown as soon as it is what tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from difflib import SequenceMatcher
from typing import Any

from holovitals_pipelines.fhir.exact import Number, read_value, write_value

Part = tuple[str, bool]
"""A piece of text, and whether it differs from the other side's."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?")
_WORDS = re.compile(r"\s+|[^\W_]+|.", re.DOTALL)
_CONTACTS = ("phone", "fax", "email", "pager", "url", "sms", "other")
_LONGEST_ID = 12
_SHORT_ID = 8
_TOO_LONG_TO_ALIGN = 4_000
"""Characters; longer texts are marked as a whole rather than word by word."""


def rendered(text: str | None) -> str | None:
    """JSON text as people read it; None where there is nothing."""
    return None if text is None else _shown(read_value(text))


def side_by_side(texts: Mapping[str, str | None]) -> dict[str, str | None]:
    """Values of one unit by side. Where two that differ would look the same, all are shown with every element."""
    short = {side: rendered(text) for side, text in texts.items()}
    values = {side: text for side, text in texts.items() if text is not None}
    if len(set(values.values())) == len({short[side] for side in values}):
        return short
    full = {side: _in_full(read_value(text)) for side, text in values.items()}
    if len(set(values.values())) == len(set(full.values())):
        return {side: full.get(side) for side in texts}
    return dict(texts)


def differing(text: str | None, other: str | None) -> list[Part]:
    """`text` in pieces, those marked that `other` does not have at this place."""
    if not text:
        return []
    if other is None or len(text) + len(other) > _TOO_LONG_TO_ALIGN:
        return [(text, text != other)]
    ours, theirs = _WORDS.findall(text), _WORDS.findall(other)
    parts: list[Part] = []
    for kind, begin, end, _, _ in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if end > begin:
            parts.append(("".join(ours[begin:end]), kind != "equal"))
    return parts


def label(name: str) -> str:
    """`birthDate` → `birth date`, `value[x]` → `value`."""
    bare = name.removeprefix("_").removesuffix("[x]")
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: " " + match[1].lower(), bare)


# one value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Number | int):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "\n".join(_shown(one) for one in value)
    if isinstance(value, dict):
        return _object(value)
    return "nothing"


def _text(value: str) -> str:
    if _DAY.fullmatch(value):
        return _day(value)
    at = _INSTANT.fullmatch(value)
    if at is not None:
        zone = {None: "", "Z": " UTC"}.get(at[4], f" {at[4]}")
        seconds = "" if at[3] in (None, ":00") else at[3]
        return f"{_day(at[1])}, {at[2]}{seconds}{zone}"
    return value


def _day(value: str) -> str:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value
    return f"{day.day} {day:%b} {day.year}"


def _object(value: dict[str, Any]) -> str:
    for wanted, allowed, render in _FORMS:
        if wanted & value.keys() and value.keys() <= allowed:
            try:
                return render(value)
            except (AttributeError, TypeError):  # not of the form its names promise
                continue
    return "\n".join(f"{label(name)}: {_inline(_shown(one))}" for name, one in value.items())


def _inline(text: str) -> str:
    return text.replace("\n", "; ")


def _in_full(value: Any) -> str:
    """Every element by name, with its value as it is written."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_in_full(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "\n".join(_in_full(one) for one in value)
    return value if isinstance(value, str) else write_value(value)


def _joined(*texts: Any, between: str = " ") -> str:
    return between.join(str(text) for text in texts if text)


def _aside(text: Any) -> str:
    return f"({text})" if text else ""


def _coding(value: dict[str, Any]) -> str:
    code = value.get("code")
    return _joined(value["display"], _aside(code)) if value.get("display") else str(code or value.get("system", ""))


def _concept(value: dict[str, Any]) -> str:
    codings = [_coding(coding) for coding in value.get("coding", ())]
    text = value.get("text")
    if text is None or any(coding.startswith(f"{text} (") or coding == text for coding in codings):
        return "; ".join(codings)
    return _joined(text, _aside("; ".join(codings)))


def _quantity(value: dict[str, Any]) -> str:
    if not isinstance(value.get("value", 0), Number | int):
        raise TypeError("an identifier's or a contact's value is text")
    return _joined(f"{value.get('comparator', '')}{value.get('value', '')}", value.get("unit") or value.get("code"))


def _range(value: dict[str, Any]) -> str:
    low, high = (_quantity(value[end]) if value.get(end) else "" for end in ("low", "high"))
    return f"{low} – {high}" if low and high else f"from {low}" if low else f"up to {high}"


def _period(value: dict[str, Any]) -> str:
    start, end = (_text(value[name]) if value.get(name) else "" for name in ("start", "end"))
    return f"{start} – {end}" if start and end else f"from {start}" if start else f"until {end}"


def _reference(value: dict[str, Any]) -> str:
    named = value.get("reference") or _inline(_shown(value.get("identifier", "")))
    short = _short_reference(named) if value.get("reference") else named
    return _joined(value["display"], _aside(short)) if value.get("display") else str(short or value.get("type", ""))


def _short_reference(reference: str) -> str:
    path, _, identity = reference.rpartition("/")
    kind = path.rpartition("/")[2]
    short = f"{identity[:_SHORT_ID]}…" if len(identity) > _LONGEST_ID else identity
    return f"{kind}/{short}" if kind else short


def _name(value: dict[str, Any]) -> str:
    parts = [*value.get("prefix", ()), *value.get("given", ()), value.get("family"), *value.get("suffix", ())]
    return _joined(_joined(*parts) or value.get("text"), _used(value))


def _address(value: dict[str, Any]) -> str:
    town = _joined(value.get("city"), _joined(value.get("state"), value.get("postalCode")), between=", ")
    written = _joined(*value.get("line", ()), town, value.get("country"), between=", ")
    return _joined(written or value.get("text"), _used(value))


def _contact(value: dict[str, Any]) -> str:
    if value.get("system") not in _CONTACTS:
        raise TypeError("an identifier's system is an address")
    return _joined(value.get("system"), value.get("value"), _used(value))


def _used(value: dict[str, Any]) -> str:
    period = _period(value["period"]) if value.get("period") else ""
    return _aside(_joined(value.get("use"), period, between=", "))


def _identifier(value: dict[str, Any]) -> str:
    kind = _concept(value["type"]) if value.get("type") else value.get("system")
    return _joined(value.get("value"), _aside(_joined(kind, value.get("use"), between=", ")))


def _annotation(value: dict[str, Any]) -> str:
    by = value.get("authorString") or (_reference(value["authorReference"]) if value.get("authorReference") else "")
    at = _text(value["time"]) if value.get("time") else ""
    return _joined(value.get("text"), _aside(_joined(by, at, between=", ")))


def _form(
    render: Callable[[dict[str, Any]], str], wanted: str, others: str = ""
) -> tuple[frozenset[str], frozenset[str], Callable[[dict[str, Any]], str]]:
    """One of the `wanted` has to be there, and nothing but those and `others` may be."""
    return frozenset(wanted.split()), frozenset(f"{wanted} {others} id".split()), render


_FORMS = (
    _form(_concept, "coding", "text"),
    _form(_name, "family given", "use text prefix suffix period"),
    _form(_reference, "reference", "type identifier display"),
    _form(_quantity, "value unit", "comparator system code"),
    _form(_coding, "code display", "system version userSelected"),
    _form(_range, "low high"),
    _form(_period, "start end"),
    _form(_contact, "system value", "use rank period"),
    _form(_identifier, "system value", "use type period assigner"),
    _form(_address, "line city postalCode", "use type text district state country period"),
    _form(_annotation, "text", "authorString authorReference time"),
)
"""The data types people know best, by the names of their elements; the first that fits is taken."""
