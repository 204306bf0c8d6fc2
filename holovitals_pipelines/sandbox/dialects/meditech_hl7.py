"""HL7 v2 as MEDITECH writes and reads it: segments, escapes, minutes without zone, and MLLP's frames (vendors.md §10).

Law: what is unescaped was split before, and a message that is no HL7 raises ValueError, whatever else it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

START, END = b"\x0b", b"\x1c\r"

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\r": "\\.br\\", "\n": "\\.br\\"}
_MEANINGS = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~", ".br": "\n"}
_ESCAPE = re.compile(r"\\([^\\]*)\\")
_DELETED = '""'
Fields = Mapping[int, str]
"""By number; those that are not named are empty."""


def escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text.replace("\r\n", "\n"))


def unescaped(text: str) -> str:
    """What an escape does not mean here stays as it is."""
    return _ESCAPE.sub(lambda found: _MEANINGS.get(found[1], found[0]), text)


def components(*parts: str | None) -> str:
    """One field, or one repetition of it."""
    return "^".join(escaped(part or "") for part in parts).rstrip("^")


def segment(name: str, fields: Fields) -> str:
    """MEDITECH leaves a separator behind the last field."""
    last = max(fields, default=0)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))]) + "|"


@dataclass(frozen=True, slots=True)
class Heading:
    """What MSH says of a message."""

    module: str
    facility: str
    event: str
    control_id: str
    sent: str
    version: str
    processing: str = "P"
    acknowledged: tuple[str, str] = ("AL", "NE")


def message(head: Heading, segments: Iterable[str], *, receiver: tuple[str, str] = ("", "")) -> bytes:
    """The bytes of a message; text beyond ASCII is told in MSH-18."""
    body = "".join(f"{one}\r" for one in segments)
    fields = {3: head.module, 4: head.facility, 5: receiver[0], 6: receiver[1], 7: head.sent, 9: head.event}
    fields |= {10: head.control_id, 11: head.processing, 12: head.version}
    fields |= {15: head.acknowledged[0], 16: head.acknowledged[1]}
    if not body.isascii():
        fields[18] = "UNICODE UTF-8"
    fields = {number - 1: text for number, text in {**fields, 2: "^~\\&"}.items()}
    return f"{segment('MSH', fields)}\r{body}".encode()


def local_minutes(text: str, zone: ZoneInfo) -> str:
    """A FHIR date or time as the site's clocks show it: `yyyyMMddHHmm`, a day or less as it is."""
    if "T" not in text:
        return text.replace("-", "")
    moment = datetime.fromisoformat(text)
    return f"{(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone):%Y%m%d%H%M}"


def fhir_time(text: str, zone: ZoneInfo) -> str | None:
    """The FHIR date or time of an HL7 one, in the site's zone where it names none; None for no time."""
    found = re.fullmatch(r"(\d{4})(\d\d)?(\d\d)?(\d{4}(\d\d)?)?(\.\d+)?([+-]\d{4})?", text.strip())
    if found is None:
        return None
    year, month, day, clock, seconds, _, offset = found.groups()
    if clock is None:
        return "-".join(part for part in (year, month, day) if part)
    form = "%Y%m%d%H%M%S" if seconds else "%Y%m%d%H%M"
    moment = datetime.strptime(f"{year}{month}{day}{clock}", form)  # noqa: DTZ007 the site's, or as the offset says
    zoned = datetime.strptime(offset, "%z").tzinfo if offset else zone
    return moment.replace(tzinfo=zoned).isoformat()


class Received:
    """A message somebody sent: its segments, by the separators it names."""

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")  # single bytes, unless MSH-18 says otherwise
        text = text.lstrip("\ufeff \r\n")
        if not text.startswith("MSH") or len(text) < 8:
            raise ValueError("not HL7")
        self._field, self._component, self._repeat = text[3], text[4], text[5]
        lines = re.split(r"\r\n|\r|\n", text)
        self.segments = [line.split(self._field) for line in lines if line.strip()]
        self.segments[0].insert(1, self._field)

    def value(self, number: int, component: int = 1) -> str:
        """Of MSH."""
        return self.part(self.segments[0], number, component)

    def named(self, name: str) -> list[list[str]]:
        return [one for one in self.segments if one[0] == name]

    def field(self, one: list[str], number: int) -> str:
        return one[number] if number < len(one) else ""

    def repeats(self, one: list[str], number: int) -> list[list[str]]:
        """The repetitions of a field, each by its components."""
        whole = self.field(one, number)
        return [[unescaped(part) for part in each.split(self._component)] for each in whole.split(self._repeat) if each]

    def part(self, one: list[str], number: int, component: int = 1) -> str:
        parts = next(iter(self.repeats(one, number)), [])
        return parts[component - 1] if component <= len(parts) else ""


def is_deleted(text: str) -> bool:
    """Two quotes take a value away; nothing between the separators leaves it (vendors.md §10)."""
    return text == _DELETED


def framed(body: bytes) -> bytes:
    return START + body + END


class Frames:
    """Takes bytes as they come, split anywhere, and gives whole frames; what stands between frames is dropped."""

    def __init__(self) -> None:
        self._held = b""

    def add(self, chunk: bytes) -> list[bytes]:
        self._held += chunk
        found: list[bytes] = []
        while (start := self._held.find(START)) >= 0 and (end := self._held.find(END, start)) >= 0:
            found.append(self._held[start + 1 : end])
            self._held = self._held[end + len(END) :]
        if START not in self._held:
            self._held = b""
        return found
