"""HL7 v2 acknowledgements: writing those that a sender asks for, and reading those that come back.

Law: an answer names the message it answers (MSA-2), goes back where that came from, and tells no value of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from itertools import count
from typing import Final, Literal

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.providers.clock import SYSTEM_CLOCK, Clock
from holovitals_pipelines.providers.hl7v2.header import Header, read_header

AnswerCode = Literal["AA", "AE", "AR"]

_COMMIT: Final = {"AA": "CA", "AE": "CE", "AR": "CR"}
_WANTED: Final = {"AL": ("AA", "AE", "AR"), "ER": ("AE", "AR"), "SU": ("AA",), "NE": (), "": ()}
"""Table 0155, by the answers each value asks for."""
_STANDARD: Final = ("|", "^~\\&")
_NEW_FORM: Final = (2, 5)
"""ERR has fields of its own from version 2.5 on; before, it is one composite."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message: AA, it is kept; AE, it may be sent again; AR, that would not help.

    `error` is a code of table 0357 and words of ours, without values of the message.
    """

    code: AnswerCode
    error: tuple[str, str] | None = None


ACCEPTED: Final = Answer("AA")


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of an acknowledgement: a code of table 0357, the sender's words, and where (`PID-8`)."""

    code: str
    words: str = ""
    location: str = ""
    severity: str = "E"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An acknowledgement as it was read: MSA-1, MSA-2, MSA-3 and the errors. Words may hold values: log none."""

    code: str
    control_id: str
    words: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.code in ("AA", "CA")

    @property
    def commit(self) -> bool:
        return self.code.startswith("C")


class Acknowledger:
    """Writes the acknowledgements of one receiver; their control ids never repeat while it runs."""

    def __init__(self, settings: Hl7v2Settings, clock: Clock = SYSTEM_CLOCK) -> None:
        self._settings = settings
        self._clock = clock
        self._started = clock.now().strftime("%y%m%d%H%M%S")
        self._numbers = count(1)

    def answers(self, header: Header | None, answer: Answer) -> Iterator[bytes]:
        """The messages that `answer` is told with: one in original mode, none to two as MSH-15 and 16 ask."""
        for code in _codes(header, answer.code):
            yield self._message(header, code, answer.error)

    def _message(self, header: Header | None, code: str, error: tuple[str, str] | None) -> bytes:
        settings = self._settings
        separator, marks = _STANDARD if header is None else _separators(header)
        now = self._clock.now().astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
        control_id = f"{self._started}{next(self._numbers) % 10**8:08d}"
        version = settings.version if header is None or not header.version else header.version
        answered = ""
        if header is None:
            sent = [settings.application, settings.facility, "", "", now, "", "ACK", control_id, settings.processing_id]
        else:
            same = (separator, marks[0]) == (header.field_separator, header.encoding_characters[0])
            names = [
                header.receiving_application or settings.application,
                header.receiving_facility or settings.facility,
                header.sending_application,
                header.sending_facility,
            ]
            names = names if same else [_first(name, header, separator, marks) for name in names]
            answered = header.control_id if same else _escaped(header.control_id, separator, marks)
            kind = f"ACK{marks[0]}{header.trigger}" if header.trigger else "ACK"
            sent = [*names, now, "", kind, control_id, header.processing_id or settings.processing_id]
        msh = ["MSH" + separator + marks, *sent, version]
        if header is not None and header.character_set:
            msh += ["", "", "", "", "", header.character_set]
        msa = ["MSA", code, answered]
        segments = [separator.join(msh)]
        if error is None:
            segments.append(separator.join(msa))
        elif _version(version) >= _NEW_FORM:
            segments += [separator.join(msa), _error(error, separator, marks)]
        else:
            # MSA-3 is what old systems show to people; 2.4 has ERR take its place.
            segments.append(separator.join([*msa, _escaped(error[1], separator, marks)]))
            segments.append(_old_error(error, separator, marks))
        text = "\r".join(segments) + "\r"
        return text.encode("utf-8" if header is None else header.encoding, "replace")


def read_acknowledgement(body: bytes) -> Acknowledgement | None:
    """What an acknowledgement says; None for another message. Raises MalformedResource where there is no MSH."""
    header = read_header(body)
    separator, marks = header.field_separator, header.encoding_characters.ljust(4, "\0")
    text = body.decode(header.encoding, "replace").replace("\n", "\r")
    code = control_id = words = ""
    faults: list[Fault] = []
    for line in text.split("\r"):
        fields = line.split(separator)
        fields += [""] * 9
        if fields[0] == "MSA":
            code, control_id, words = fields[1].strip().upper(), fields[2], fields[3]
            faults += _condition(fields[6], marks)
        elif fields[0] == "ERR":
            faults += _faults(fields, marks)
    if not code:
        return None
    return Acknowledgement(code, control_id, words, tuple(faults))


def _codes(header: Header | None, code: AnswerCode) -> Iterator[str]:
    # unverified: MEDITECH's samples have MSH-15 empty and MSH-16 NE. Read strictly that asks for no answer at all, but
    # a sender that waits for one would stop for good, and one that does not passes over it: to us it is original mode.
    if header is None or not header.enhanced or (not header.accept_ack and header.application_ack == "NE"):
        yield code
        return
    # A value that is none of table 0155 is taken as AL: an answer too many does less harm than one too few.
    if code in _WANTED.get(header.accept_ack, _WANTED["AL"]):
        yield _COMMIT[code]
    if code in _WANTED.get(header.application_ack, _WANTED["AL"]):
        yield code


def _separators(header: Header) -> tuple[str, str]:
    """Those of the message, unless they cannot tell parts of parts; then HL7's usual ones."""
    separator, marks = header.field_separator, header.encoding_characters
    if len(marks) < 4 or len({separator, *marks}) <= len(marks):
        return _STANDARD
    return separator, marks


def _first(name: str, header: Header, separator: str, marks: str) -> str:
    """The first component of a name, where the answer's separators are others than the message's."""
    first = name.split(header.encoding_characters[0], 1)[0]
    return "".join(sign for sign in first if sign not in marks and sign != separator)


def _error(error: tuple[str, str], separator: str, marks: str) -> str:
    code, words = error
    said = marks[0].join((code, _escaped(words, separator, marks), "HL70357"))
    return separator.join(("ERR", "", "", said, "E"))


def _old_error(error: tuple[str, str], separator: str, marks: str) -> str:
    code, words = error
    return f"ERR{separator}{marks[0] * 3}" + marks[3].join((code, _escaped(words, separator, marks), "HL70357"))


def _escaped(words: str, separator: str, marks: str) -> str:
    names = {marks[2]: "E", separator: "F", marks[0]: "S", marks[1]: "R", marks[3]: "T"}
    return "".join(
        f"{marks[2]}{names[sign]}{marks[2]}" if sign in names else " " if sign < " " else sign for sign in words
    )


def _version(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return (2, 4)


def _condition(field: str, marks: str) -> list[Fault]:
    """MSA-6, which versions before 2.5 have."""
    code, words, *_ = [*field.split(marks[0]), "", ""]
    return [Fault(code.strip(), words)] if code.strip() else []


def _faults(fields: list[str], marks: str) -> Iterator[Fault]:
    """Both forms, told apart by what is there: systems write either under any version."""
    if fields[3]:
        code, words, *_ = [*fields[3].split(marks[0]), ""]
        place = _location(fields[2].split(marks[1])[0].split(marks[0]))
        yield Fault(code.strip(), fields[8] or words, place, fields[4].strip().upper() or "E")
        return
    for one in filter(None, fields[1].split(marks[1])):
        parts = [*one.split(marks[0]), "", "", "", ""]
        code, words, *_ = [*parts[3].split(marks[3]), ""]
        yield Fault(code.strip(), words, _location(parts))


def _location(parts: list[str]) -> str:
    """`PID-8` of segment, its number in the message, field …"""
    segment, _, position, *_ = [*(part.strip() for part in parts), "", "", ""]
    if len(segment) != 3 or not segment.isalnum():
        return ""
    return f"{segment}-{position}" if position.isdigit() else segment
