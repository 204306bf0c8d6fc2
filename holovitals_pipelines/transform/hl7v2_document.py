"""An HL7 v2 message as a document that paths can read: its segments in order, their fields, components and texts.

Law: every text of the message is in the document, in its place; what is empty is not (HL7 v2.5.1 §2.5-2.7). The
message itself stays in the landing zone.

`{"segments": [{"segment": "PID", "3": [{"1": "00417", "4": "HOSP", "4.2": "1.2.3"}], …}]}`: a field is the list of its
repetitions, a repetition's members are its components, and `4.2` is the second subcomponent of the fourth. Escape
sequences that stand for text are read, those for formatting stay. HL7's null, `""`, is the text `""`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.writing import Document

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_ESCAPE = re.compile(r"\\([^\\]*)\\")
_CHARACTER_SET: Final = 17
"""MSH-18, where MSH-1 is the separator itself."""
_CODECS: Final = {
    "ASCII": "utf-8",  # what is ASCII is UTF-8; senders that say so and mean more are read where that is no guess
    "UNICODE UTF-8": "utf-8", "UNICODE": "utf-8", "UTF-8": "utf-8", "UTF8": "utf-8",
    "UNICODE UTF-16": "utf-16", "UNICODE UTF-32": "utf-32",
    **{f"8859/{part}": f"iso8859-{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "ISO IR14": "shift_jis", "ISO IR87": "iso2022_jp", "ISO IR159": "iso2022_jp_1",
    "GB 18030-2000": "gb18030", "KS X 1001": "euc_kr", "CNS 11643-1992": "big5", "BIG-5": "big5",
}  # fmt: skip
"""HL7 table 0211."""
_BEFORE: Final = "\ufeff \t\r\n\0"
_AFTER: Final = "\r\n\0"
"""What some senders put around a message."""
_HEX = re.compile(r"X([0-9A-Fa-f]{2})+")
_MOST_KEPT: Final = 2_048
"""Segments that are kept as they were read, some 10 MB at the most: a patient, a visit, an allergy are told by one
message after another in the same words."""
_LONGEST_KEPT: Final = 512
"""Signs of the longest of them."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """The characters that separate, as the message's first segment says them."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str

    @property
    def escapes(self) -> dict[str, str]:
        return {
            "F": self.field, "S": self.component, "R": self.repetition, "E": self.escape, "T": self.subcomponent,
        }  # fmt: skip


def read_message(body: bytes, encoding: str = "utf-8") -> Document:
    """The document of one message. Raises MalformedResource (`hl7.malformed`, `hl7.encoding`).

    Its segments may be those of other messages too: nobody writes into them.
    """
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        readable = False
    else:
        readable = True
    if not readable:
        raise MalformedResource("hl7.encoding", f"the message is not written in {encoding}", "Ask the sender (MSH-18).")
    text = text.lstrip(_BEFORE).rstrip(_AFTER)
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line and not line.isspace()]
    if not lines or not lines[0].startswith("MSH") or len(lines[0]) < 8:
        raise _malformed("it does not begin with MSH and its separators")
    marks = _marks(lines[0])
    return {"segments": [_read_segment(line, marks, number) for number, line in enumerate(lines, start=1)]}


def encoding_of(body: bytes, default: str = "utf-8") -> str:
    """The codec of the character set that MSH-18 names first, or the default where it names none.

    Raises MalformedResource (`hl7.encoding`) for one that cannot be read.
    """
    head = re.split(rb"[\r\n]", body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\0"), maxsplit=1)[0]
    fields = head.split(head[3:4]) if head[3:4] else []
    said = fields[_CHARACTER_SET] if len(fields) > _CHARACTER_SET else b""
    named = re.split(rb"[^A-Za-z0-9/ _-]", said, maxsplit=1)[0].decode("ascii").strip().upper()
    if not named:
        return default
    if named not in _CODECS:
        raise MalformedResource(
            "hl7.encoding", "the message's character set (MSH-18) is not one that is read", "Ask the sender for UTF-8."
        )
    return _CODECS[named]


def split_messages(body: bytes) -> list[bytes]:
    """The messages of a file: each begins with a line that begins with MSH. Envelopes (FHS, BHS …) are left out."""
    starts = [found.start() for found in re.finditer(rb"(?:(?<=\r)|(?<=\n)|\A)MSH", body)]
    ends = [*starts[1:], len(body)]
    return [
        re.sub(rb"[\r\n](?:BTS|FTS).*\Z", b"\r", body[a:b], flags=re.DOTALL) for a, b in zip(starts, ends, strict=True)
    ]


def _marks(line: str) -> _Marks:
    # Some senders double the backslash, as programming languages write it.
    said = line[4:].split(line[3], 1)[0].replace("\\\\", "\\")
    if not 2 <= len(said) <= 5 or len({line[3], *said}) < len(said) + 1:
        raise _malformed("the separators of MSH-1 and MSH-2 are not different characters")
    return _Marks(line[3], *said.ljust(4, "\0")[:4])


def _read_segment(line: str, marks: _Marks, number: int) -> Document:
    kept = _kept_segment(line, marks) if number > 1 and len(line) <= _LONGEST_KEPT else None
    return _segment(line, marks, number) if kept is None else kept


@lru_cache(maxsize=_MOST_KEPT)
def _kept_segment(line: str, marks: _Marks) -> Document | None:
    """None for a line that is no segment: what is said of it names its number."""
    return _segment(line, marks, 0) if _SEGMENT.fullmatch(line.split(marks.field, 1)[0]) else None


def _segment(line: str, marks: _Marks, number: int) -> Document:
    parts = line.split(marks.field)
    if not _SEGMENT.fullmatch(parts[0]):
        raise _malformed(f"line {number} does not begin with the name of a segment")
    found: Document = {"segment": parts[0]}
    fields = parts[1:]
    if parts[0] == "MSH":
        found |= {"1": marks.field, "2": fields[0]}
        fields, offset = fields[1:], 3
    else:
        offset = 1
    component, repetition, escape, subcomponent = marks.component, marks.repetition, marks.escape, marks.subcomponent
    for place, written in enumerate(fields, start=offset):
        if not written:
            continue
        # Most fields are a text and nothing else, which is not worth a call.
        if component in written or repetition in written or escape in written or subcomponent in written:
            found[str(place)] = [_repetition(one, marks) for one in written.split(repetition)]
        else:
            found[str(place)] = [{"1": written}]
    return found


def _repetition(written: str, marks: _Marks) -> dict[str, str]:
    if marks.component not in written and marks.subcomponent not in written:
        return {"1": _read(written, marks)} if written else {}
    found: dict[str, str] = {}
    for place, component in enumerate(written.split(marks.component), start=1):
        if not component:
            continue
        if marks.subcomponent not in component:
            found[str(place)] = _read(component, marks)
            continue
        for inner, part in enumerate(component.split(marks.subcomponent), start=1):
            if part:
                found[str(place) if inner == 1 else f"{place}.{inner}"] = _read(part, marks)
    return found


def _read(text: str, marks: _Marks) -> str:
    """Escape sequences that stand for text; those for formatting stay as they are."""
    if marks.escape not in text:
        return text

    def meant(found: re.Match[str]) -> str:
        said = found[1]
        if said in marks.escapes:
            return marks.escapes[said]
        if _HEX.fullmatch(said):
            try:
                return bytes.fromhex(said[1:]).decode("utf-8")
            except UnicodeDecodeError:
                return found[0]
        return found[0]

    pattern = _ESCAPE if marks.escape == "\\" else re.compile(_ESCAPE.pattern.replace(r"\\", re.escape(marks.escape)))
    return pattern.sub(meant, text)


def _malformed(why: str) -> MalformedResource:
    return MalformedResource(
        "hl7.malformed", f"this is no HL7 v2 message: {why}", "Fetch the message again, or ask the sender for it."
    )
