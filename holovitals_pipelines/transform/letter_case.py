"""Letter case of ASCII letters only: the one folding that Python and DuckDB agree on for every text."""

from __future__ import annotations

import string

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def ascii_lower(text: str) -> str:
    return text.translate(_LOWER)


def ascii_lower_sql(text: str) -> str:
    """The same in DuckDB, of an SQL expression."""
    return f"translate({text}, '{string.ascii_uppercase}', '{string.ascii_lowercase}')"
