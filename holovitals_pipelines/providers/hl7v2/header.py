"""The header of an HL7 v2 message, MSH, read from its bytes alone: who sent what, and which answer is wanted.

Law: reading takes the message as it came and changes nothing in it; names and the control id are as they were written,
so that an answer can repeat them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from holovitals_pipelines.fhir.strict_json import MalformedResource

LONGEST_SENDER: Final = 400
LONGEST_CONTROL_ID: Final = 200
LONGEST_TYPE: Final = 64
"""Bounds of what messages are known by; HL7 v2.7 ends MSH-10 at 199 characters."""

_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = 19
"""MSH-1 to MSH-18, and the segment's name."""
_LINE_END: Final = re.compile(rb"[\r\n]")
_CONTROL: Final = re.compile(rb"[\0\x0b\x1c]")
"""What no store keeps in a name, and no frame in an answer that repeats it."""


class Header(NamedTuple):
    """Fields of MSH; what is absent is empty. Codes are without the blanks some senders pad them with."""

    field_separator: str
    encoding_characters: str
    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str
    time: str
    message_type: str
    trigger: str
    structure: str
    control_id: str
    processing_id: str
    version: str
    accept_ack: str
    application_ack: str
    character_set: str
    encoding: str
    """How these bytes were read: `utf-8`, or `latin-1` where they are not UTF-8. An answer is written the same way."""

    @property
    def sender(self) -> str:
        """`MSH-3|MSH-4`, as they were written."""
        return f"{self.sending_application}|{self.sending_facility}"

    @property
    def event(self) -> str:
        """`ADT^A08`, or `ACK` where there is no trigger."""
        return f"{self.message_type}^{self.trigger}" if self.trigger else self.message_type

    @property
    def enhanced(self) -> bool:
        """Whether the sender chose its acknowledgements (MSH-15, MSH-16) or leaves it at one (original mode)."""
        return bool(self.accept_ack or self.application_ack)


def read_header(body: bytes) -> Header:
    """The header of a message; a byte order mark, blank lines and blanks before MSH are passed over.

    Raises MalformedResource: `hl7.malformed`, `hl7.header_too_long`.
    """
    line, encoding = _first_line(body)
    if not line.startswith("MSH") or len(line) < 6:
        raise _malformed("it does not begin with MSH and its separators")
    separator = line[3]
    if separator.isalnum() or separator.isspace():
        raise _malformed("no separator follows MSH")
    fields = line.split(separator, _FIELDS)
    marks = fields[1]
    if not marks:
        raise _malformed("MSH-2 has no separators")
    fields += [""] * (_FIELDS - len(fields))
    component = marks[0]
    kind = fields[8].split(component)
    kind += ["", ""]
    header = Header(
        separator,
        marks,
        fields[2],
        fields[3],
        fields[4],
        fields[5],
        fields[6].strip(),
        kind[0].strip(),
        kind[1].strip(),
        kind[2].strip(),
        fields[9],
        fields[10].split(component, 1)[0].strip(),
        fields[11].split(component, 1)[0].strip(),
        fields[14].strip().upper(),
        fields[15].strip().upper(),
        fields[17].split(marks[1] if len(marks) > 1 else component, 1)[0].strip(),
        encoding,
    )
    if (
        len(header.control_id) > LONGEST_CONTROL_ID
        or len(header.sending_application) + len(header.sending_facility) >= LONGEST_SENDER
        or len(fields[8]) > LONGEST_TYPE
    ):
        raise MalformedResource(
            "hl7.header_too_long",
            f"MSH-3 and MSH-4 ({LONGEST_SENDER} characters), MSH-9 ({LONGEST_TYPE}) or MSH-10 ({LONGEST_CONTROL_ID}) "
            "is longer than any sender's",
            "Ask the sender for names and control ids as HL7 has them.",
        )
    return header


def _first_line(body: bytes) -> tuple[str, str]:
    if not body.startswith(b"MSH"):
        body = body[:512].removeprefix(_BOM).lstrip(b" \t\r\n\0") + body[512:]
    end = _LINE_END.search(body)
    line = body if end is None else body[: end.start()]
    if _CONTROL.search(line):
        line = line.rstrip(b"\0 ")
        if _CONTROL.search(line):
            raise _malformed("its first segment holds control characters")
    try:
        return line.decode(), "utf-8"
    except UnicodeDecodeError:
        return line.decode("latin-1"), "latin-1"


def _malformed(why: str) -> MalformedResource:
    return MalformedResource(
        "hl7.malformed", f"this is no HL7 v2 message: {why}", "Fetch the message again, or ask the sender for it."
    )
