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

KNOWN_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a absent accept accepted access account action active add added address admission again allergy
        allowed already an and another any api application appointment are area argument as at attending
        authentication authorized bad be been before birth blank body both but by call can cannot changed
        changes character chart check class client closed code codes component conflict connection control
        could create created credentials current currently data database date dates datetime day deleted
        denied department did digits disabled document documents does done duplicate element elements empty
        enabled encounter entry error errors event exceeded exceeds exist existing exists expected expired
        facility failed failure field fields file filler for forbidden format found from frozen gateway
        group had has have header http id identifier ids if in inactive incomplete incorrect input interface
        internal invalid is it its json key length license licenses limit locked log logged long lookup
        mandatory match matching maximum may medical medication merged message method minimum mismatch
        missing more must name names no not null number object observation of on one only operation optional
        or order organization out page parameter parameters password patient patients permission permitted
        person placer please practice problem process processed processing provided provider providers read
        received record records reference registered reject rejected repeat repetition request requested
        requests require required requires resource response result results retry search security segment
        sending sequence server service session set setup sex shorter should shown site status string
        structure subscription such supported syntax system table terminated text than that the their then
        there this time timeout timestamp to token too trigger try type unable unauthorized unavailable
        unexpected unknown unrecognized unsupported update updated uri url use used user username valid
        validation value values version visit was when which while with without wrong xml you your
        """,
    )
)
"""Words of error messages, of web services and of HL7 v2 interfaces. None of them is a name (so no `will`, no `mark`),
and none tells of a person's health."""


def words_of(text: str | None) -> str:
    """A vendor's text with everything but such words as `…`; "" where little would be left."""
    if not text:
        return ""
    shown: list[str] = []
    known = 0
    for word in text[:_LONGEST].split():
        plain = _WORD.search(word)
        if plain is not None and plain.group().lower() in KNOWN_WORDS and plain.group() == word.strip(".,:;!?()[]\"'"):
            shown.append(word.strip("()[]\"'"))
            known += 1
        elif not shown or shown[-1] != VALUE:
            shown.append(VALUE)
    return " ".join(shown) if known >= _FEWEST_KNOWN else ""


def said(text: str | None) -> str:
    """The words as the end of a message: `: the vendor says "…"`; "" where there is nothing to show."""
    words = words_of(text)
    return f'; the vendor says "{words}"' if words else ""
