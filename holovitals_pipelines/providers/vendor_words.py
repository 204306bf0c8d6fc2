"""A vendor's own words in our errors: of a text that may name a patient, the words that can name nobody.

Law: what is not on the list is `…`; the list holds no name, no value and no diagnosis.
"""

from __future__ import annotations

import re

VALUE = "…"
"""Stands for whatever a vendor puts between its words: an id, a name."""

_WORD = re.compile(r"[A-Za-z']+")
_LONGEST = 300
_FEWEST_KNOWN = 2

_KNOWN = frozenset(
    re.findall(
        r"\w+",
        """
        a access account action active add added address again allergy allowed already an and another any api
        appointment are argument as at authentication authorized bad be been before body both by call can cannot
        changed changes chart check client closed code codes conflict connection could create created credentials
        current currently data database date dates day deleted department did disabled document documents does
        done duplicate element elements empty enabled encounter error errors exceeded exist existing exists
        expected expired failed failure field fields file for forbidden format found from frozen gateway had has
        have http id identifier if in inactive incomplete incorrect input internal invalid is it its json key
        length license licenses limit locked log logged long lookup maximum may medication message method minimum
        missing more must name names no not null number object of on one only operation or order organization out
        page parameter parameters password patient patients permission permitted person please practice problem
        process processed provided provider providers read record records reference registered rejected request
        requested requests require required requires resource response result results retry search security server
        service session setup shorter should shown site status string subscription such supported syntax system
        table terminated that the their there this time timeout to token too try type unable unauthorized
        unexpected unknown unsupported update updated uri url use used user username valid validation value values
        version was when which while with without xml you your
        """,
    )
)
"""Words of error messages. None of them is a name (so no `will`, no `mark`), and none tells of a person's health."""


def words_of(text: str | None) -> str:
    """A vendor's text with everything but such words as `…`; "" where little would be left."""
    if not text:
        return ""
    shown: list[str] = []
    known = 0
    for word in text[:_LONGEST].split():
        plain = _WORD.search(word)
        if plain is not None and plain.group().lower() in _KNOWN and plain.group() == word.strip(".,:;!?()[]\"'"):
            shown.append(word.strip("()[]\"'"))
            known += 1
        elif not shown or shown[-1] != VALUE:
            shown.append(VALUE)
    return " ".join(shown) if known >= _FEWEST_KNOWN else ""


def said(text: str | None) -> str:
    """The words as the end of a message: `: the vendor says "…"`; "" where there is nothing to show."""
    words = words_of(text)
    return f'; the vendor says "{words}"' if words else ""
