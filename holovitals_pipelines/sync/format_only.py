"""Whether two values say the same thing in another form: display text, letter case, white space, a unit's spelling.

Law: codes, systems, references, identifiers and numbers are compared exactly; only text that people read may vary. 1.0
and 1.00 differ in more than form, because the precision of a result is a statement.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from holovitals_pipelines.sync.merge import MISSING, Unit
from holovitals_pipelines.sync.quantities import is_number, unit_names
from holovitals_pipelines.sync.unit_paths import last_step

_TEXT = """
city comment conclusion country description display district family given line patientInstruction prefix state suffix
text title valueString
"""
TEXT_ELEMENTS = frozenset(_TEXT.split())
"""Elements of type string or markdown that people read and no program compares."""


def format_only(unit: Unit, synonyms: Mapping[str, str]) -> bool:
    """Whether local and remote differ in form alone; a side without a value differs in more."""
    if unit.local is MISSING or unit.remote is MISSING:
        return False
    element = last_step(unit.name)
    return bool(_alike(unit.local, element, synonyms) == _alike(unit.remote, element, synonyms))


def _alike(value: Any, element: str, synonyms: Mapping[str, str]) -> Any:
    """`value` with its form taken away. The result is only ever compared."""
    if is_number(value) or isinstance(value, bool):
        return (type(value).__name__, str(value))  # 1, 1.0, True and "1" are four different things
    if isinstance(value, str):
        return _folded(value) if element in TEXT_ELEMENTS else value
    if isinstance(value, list):
        return [_alike(item, element, synonyms) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _alike(item, key, synonyms) for key, item in value.items() if not _is_label(key, value)}
    if is_number(value.get("value")) and unit_names(value, synonyms):
        for name in ("unit", "code", "system"):
            kept.pop(name, None)
        kept["unit"] = unit_names(value, synonyms)
    return kept


def _is_label(key: str, holder: Mapping[str, Any]) -> bool:
    """A display that only repeats what the code or reference beside it says."""
    return key in ("display", "_display") and ("code" in holder or "reference" in holder)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
