"""The bytes of an HL7 v2 message from its document: the way back from hl7v2_document.

Law: what is written is read back as the same document; separators within texts are escaped, and no text can end its
segment or its message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document

NULL: Final = '""'
"""Deletes what stands at its place."""

_FIELD, _MARKS = "|", "^~\\&"
_NAME: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_PLACE: Final = re.compile(r"([1-9]\d{0,2})(?:\.([1-9]\d{0,2}))?")
_NULL_AT: Final = re.compile(r"([1-9]\d{0,2})(?:\[(\d+)\])?(?:\.([\d.]+))?")
_FORMATTING: Final = r"\.[a-z]{2}[+-]?\d*|[HN]|[CM][0-9A-F]{4,6}"
"""Escape sequences that reading leaves as they are, because they are no text: line breaks, emphasis, character sets."""


def write_message(document: Document, encoding: str = "utf-8") -> bytes:
    """One message, with the separators its MSH names, or else HL7's usual ones.

    Raises MalformedResource (`hl7.unwritable`), which names the segment and the field.
    """
    segments = document.get("segments")
    if not isinstance(segments, list) or not segments or segments[0].get("segment") != "MSH":
        raise _unwritable("a message is a list of segments that begins with MSH")
    writer = _Writer.of(segments[0])
    text = "".join(f"{writer.segment(one, number)}\r" for number, one in enumerate(segments, start=1))
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        pass
    raise _unwritable(f"it has characters that {encoding} has not")


@dataclass(frozen=True, slots=True)
class _Writer:
    field: str
    marks: str
    escapes: Mapping[int, str]
    escaped: re.Pattern[str]

    @classmethod
    def of(cls, header: Document) -> _Writer:
        field, marks = header.get("1", _FIELD), header.get("2", _MARKS)
        if len(field) != 1 or not 4 <= len(marks) <= 5 or len({field, *marks}) <= len(marks):
            raise _unwritable("MSH-1 and MSH-2 are not five different separators")
        escape = marks[2]
        names = {field: "F", marks[0]: "S", marks[1]: "R", escape: "E", marks[3]: "T"}
        signs = {chr(code): f"X{code:02X}" for code in range(32)} | names
        if escape in "".join(signs.values()):
            raise _unwritable("a letter cannot be the sign of escapes")
        at = re.escape(escape)
        return cls(
            field,
            marks,
            {ord(sign): f"{escape}{name}{escape}" for sign, name in signs.items()},
            re.compile(f"({at}(?:{_FORMATTING}){at})"),
        )

    def segment(self, segment: Document, number: int) -> str:
        name = segment.get("segment")
        place = f"segment {number}"
        if not isinstance(name, str) or not _NAME.fullmatch(name) or (name == "MSH") is (number > 1):
            raise _unwritable(f"{place} is not named as one")
        header = name == "MSH"
        fields = {at: value for at, value in segment.items() if at not in ("segment", "null")}
        if header:
            fields = {at: value for at, value in fields.items() if at not in ("1", "2")}
        for deleted in segment.get("null", ()):
            fields = _with_null(fields, deleted, f"{name} (segment {number})")
        places = {_number(at, name): value for at, value in fields.items()}
        first = 3 if header else 1
        begin = f"{name}{self.field}{self.marks}" if header else name
        texts = (self._field(places.get(at), f"{name}-{at}") for at in range(first, max(places, default=0) + 1))
        return self.field.join([begin, *texts])

    def _field(self, repetitions: Any, place: str) -> str:
        if repetitions is None:
            return ""
        if not isinstance(repetitions, list) or not all(isinstance(one, dict) for one in repetitions):
            raise _unwritable(f"{place} is not a list of repetitions")
        text = self.marks[1].join(self._repetition(one, place) for one in repetitions)
        # One empty repetition is more than none: a field of separators only.
        return text if text or not repetitions else self.marks[0]

    def _repetition(self, held: Document, place: str) -> str:
        components: dict[int, dict[int, str]] = {}
        for at, text in held.items():
            found = _PLACE.fullmatch(at)
            if found is None or not isinstance(text, str):
                raise _unwritable(f"{place} has a component that is no text, or not named by its number")
            components.setdefault(int(found[1]), {})[int(found[2] or 1)] = text
        return self.marks[0].join(
            self.marks[3].join(self._text(parts.get(at, "")) for at in range(1, max(parts, default=0) + 1))
            for parts in (components.get(place, {}) for place in range(1, max(components, default=0) + 1))
        )

    def _text(self, text: str) -> str:
        if self.marks[2] not in text:
            return text.translate(self.escapes)
        parts = self.escaped.split(text)
        return "".join(part if number % 2 else part.translate(self.escapes) for number, part in enumerate(parts))


def _number(at: str, name: str) -> int:
    if not at.isascii() or not at.isdigit() or not 0 < int(at) < 1000:
        raise _unwritable(f"a member of {name} is not named by the number of a field")
    return int(at)


def _with_null(fields: Document, deleted: str, place: str) -> Document:
    """HL7's null at a place as `8`, `13.2` or `13[1].2`, where reading records has put it aside."""
    found = _NULL_AT.fullmatch(deleted)
    if found is None:
        raise _unwritable(f"{place} has a null at no place")
    repetitions = [dict(one) for one in fields.get(found[1], ())]
    number = int(found[2] or 0)
    repetitions += [{} for _ in range(number + 1 - len(repetitions))]
    repetitions[number][found[3] or "1"] = NULL
    return {**fields, found[1]: repetitions}


def _unwritable(why: str) -> MalformedResource:
    return MalformedResource(
        "hl7.unwritable", f"no HL7 v2 message can be made of this: {why}", "Correct the rule that makes it."
    )
