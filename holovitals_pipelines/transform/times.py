"""Dates and times as vendors write them, read into FHIR's: strictly, by formats, with the zone a clock stood in.

Law: a text is read by exactly the formats that are named, the same in Python and in SQL; a time is never guessed, not
where a clock shows it twice, never, or without saying where it hangs.

Formats are strptime's: `%Y %m %d %H %M %S %f %z %I %p %b %B %%`, and `%-m %-d %-H %-I` for one digit or two.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import win_tz

from holovitals_pipelines.model.errors import ConfigurationError

UNREADABLE: Final = "unreadable"
"""No format fits, or it fits a day or an hour that no calendar has."""
NO_TIMEZONE: Final = "no_timezone"
NONEXISTENT_TIME: Final = "nonexistent_time"
AMBIGUOUS_TIME: Final = "ambiguous_time"
NO_WHOLE_MINUTES: Final = "offset_not_in_minutes"
"""Clocks of the nineteenth century: FHIR cannot write their offsets."""

DATETIME_CODES: Final = (UNREADABLE, NO_TIMEZONE, NONEXISTENT_TIME, AMBIGUOUS_TIME, NO_WHOLE_MINUTES)
"""Every failure of `read_datetime`."""

FHIR_DATE_FORMATS: Final = ("%Y-%m-%d",)
FHIR_DATETIME_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d",
    "%Y-%m",
    "%Y",
)
"""As FHIR writes them, and without the offset that FHIR asks for."""
HL7_V2_FORMATS: Final = (
    "%Y%m%d%H%M%S%z",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M%z",
    "%Y%m%d%H%M",
    "%Y%m%d",
    "%Y%m",
    "%Y",
    "%Y%m%d%H%M%S.%f%z",
    "%Y%m%d%H%M%S.%f",
)
"""Precision is told by length: YYYY[MM[DD[HHMM[SS[.S+]]]]], with +ZZZZ after a time."""

OnAmbiguous = Literal["error", "earlier", "later"]

_SHORT_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIRST_HALF: Final = ("January", "February", "March", "April", "May", "June")
_SECOND_HALF: Final = ("July", "August", "September", "October", "November", "December")


def _any_case(words: Sequence[str]) -> str:
    """Spelled out: Python and RE2 fold other letters of Unicode differently."""
    return "|".join("".join(f"[{letter.upper()}{letter.lower()}]" for letter in word) for word in words)


_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "Y": ("year", "[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9]"),
    "m": ("month", "0[1-9]|1[0-2]"),
    "-m": ("month", "0?[1-9]|1[0-2]"),
    "b": ("month", _any_case(_SHORT_MONTHS)),
    "B": ("month", _any_case(_FIRST_HALF + _SECOND_HALF)),
    "d": ("day", "0[1-9]|[12][0-9]|3[01]"),
    "-d": ("day", "0?[1-9]|[12][0-9]|3[01]"),
    "H": ("hour", "[01][0-9]|2[0-3]"),
    "-H": ("hour", "[01]?[0-9]|2[0-3]"),
    "I": ("hour", "0[1-9]|1[0-2]"),
    "-I": ("hour", "0?[1-9]|1[0-2]"),
    "p": ("half", "[AaPp][Mm]"),
    "M": ("minute", "[0-5][0-9]"),
    "S": ("second", "[0-5][0-9]"),
    "f": ("fraction", "[0-9]{1,9}"),
    "z": ("offset", "Z|[+-](?:(?:0[0-9]|1[0-3]):?[0-5][0-9]|14:?00)"),
}
"""By directive: the part that it is, and how it is written."""

_LOOSE: Final = frozenset({"-m", "-d", "-H", "-I", "f"})
"""Numbers without a fixed width."""
_MONTH_DIRECTIVES: Final = frozenset({"%m", "%-m", "%b", "%B"})
_PLAIN: Final = re.compile(r"(?:%-?[YmdbB]|[-/.,])+")
"""Formats that DuckDB reads exactly as they are matched."""
_NUMBERS: Final = _PARTS.keys() - {"b", "B", "p", "z"}
_NEEDS: Final = (
    ("day", "month"),
    ("hour", "day"),
    ("hour", "minute"),
    ("minute", "hour"),
    ("second", "minute"),
    ("fraction", "second"),
    ("offset", "minute"),
    ("half", "hour"),
)


@dataclass(frozen=True, slots=True)
class _Format:
    text: str
    pattern: re.Pattern[str]
    parts: frozenset[str]


def check_date_formats(formats: Sequence[str]) -> None:
    """Raises ConfigurationError for what `read_date` and `date_sql` cannot read by."""
    _date_formats(tuple(formats))


def check_datetime_options(formats: Sequence[str], timezone: str | None, place: str = "") -> None:
    """Raises ConfigurationError for what `read_datetime` cannot read by."""
    _datetime_formats(tuple(formats))
    if timezone is not None:
        zone_named(timezone, place)


def read_date(text: str, formats: Sequence[str] = ()) -> date | None:
    """The day, by the first format that yields one (without formats: by FHIR's).

    What a format says of the time of day is checked and left out.
    """
    for written in _date_formats(tuple(formats)):
        match = written.pattern.fullmatch(text)
        if match is not None and (day := _day(match)) is not None:
            return day
    return None


def date_sql(column_sql: str, formats: Sequence[str] = ()) -> str:
    """DuckDB's expression for `read_date`: a DATE, or NULL where the text is none."""
    tries = [_date_try(column_sql, written) for written in _date_formats(tuple(formats))]
    return tries[0] if len(tries) == 1 else f"coalesce({', '.join(tries)})"


def _date_try(column_sql: str, written: _Format) -> str:
    pattern = written.pattern.pattern
    text, format_text = column_sql, written.text
    if not _PLAIN.fullmatch(format_text):
        # strptime gets the day alone: it skips blanks, and a fraction of a second would end its calendar in 2262.
        group = written.pattern.groupindex
        day = f"\\{group['year']} \\{group['month']} \\{group['day']}"
        text = f"regexp_replace({column_sql}, {_quoted(f'^(?:{pattern})$')}, '{day}')"
        month = next(directive for directive in re.findall("%-?.", format_text) if directive in _MONTH_DIRECTIVES)
        format_text = f"%Y {month} %d"
    return (
        f"CASE WHEN regexp_full_match({column_sql}, {_quoted(pattern)})"
        f" THEN CAST(try_strptime({text}, {_quoted(format_text)}) AS DATE) END"
    )


def date_pattern(written: str) -> str:
    """The regular expression of a format, for Python and for RE2 alike, to be matched with the whole text.

    Raises ConfigurationError for directives that are not known, that contradict each other or that leave doubt.
    """
    return _compiled(written).pattern.pattern


def read_datetime(
    text: str,
    formats: Sequence[str] = (),
    timezone: str | None = None,
    on_ambiguous: OnAmbiguous = "error",
) -> tuple[str | None, str | None]:
    """A FHIR dateTime as precise as the text (a minute's seconds are 00), or None and why not.

    Without formats: by FHIR's. An offset in the text is kept; without one it is the time of the zone's clocks.
    """
    answer: tuple[str | None, str | None] = (None, UNREADABLE)
    for written in _datetime_formats(tuple(formats)):
        match = written.pattern.fullmatch(text)
        if match is None:
            continue
        answer = _fhir(match, written.parts, timezone, on_ambiguous)
        if answer[1] != UNREADABLE:
            break
    return answer


def zone_named(name: str, place: str = "") -> ZoneInfo:
    """A zone by its IANA name, or by the name that Windows has for it. Raises ConfigurationError naming `place`."""
    zone = _zone(name)
    if zone is None:
        near = difflib.get_close_matches(name, sorted({*_iana_names(), *win_tz}), n=3)
        raise ConfigurationError(
            f"{name!r} is no time zone",
            code="times.zone",
            place=place,
            remedy=f"did you mean {' or '.join(near)}?" if near else "take an IANA name, such as America/New_York",
        )
    return zone


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    iana = win_tz.get(name, name)
    return ZoneInfo(iana) if iana in _iana_names() else None


@cache
def _iana_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _fhir(
    match: re.Match[str], parts: frozenset[str], timezone: str | None, on_ambiguous: OnAmbiguous
) -> tuple[str | None, str | None]:
    found = match.groupdict()
    if "day" not in parts:
        return "-".join([found["year"], *([f"{_month(found['month']):02}"] if "month" in parts else [])]), None
    day = _day(match)
    if day is None:
        return None, UNREADABLE
    if "hour" not in parts:
        return day.isoformat(), None
    local = datetime(day.year, day.month, day.day, _hour(found), int(found["minute"]), int(found.get("second") or 0))  # noqa: DTZ001
    offset, code = _offset(local, found.get("offset"), timezone, on_ambiguous)
    fraction = f".{found['fraction']}" if "fraction" in parts else ""
    return (None, code) if offset is None else (f"{local.isoformat()}{fraction}{offset}", None)


def _offset(
    local: datetime, written: str | None, timezone: str | None, on_ambiguous: OnAmbiguous
) -> tuple[str | None, str | None]:
    if written is not None:
        return written if ":" in written or written == "Z" else f"{written[:3]}:{written[3:]}", None
    if timezone is None:
        return None, NO_TIMEZONE
    zone = zone_named(timezone)
    before, after = (zone.utcoffset(local.replace(fold=fold)) for fold in (0, 1))
    assert before is not None and after is not None
    if before < after:
        return None, NONEXISTENT_TIME
    if before > after and on_ambiguous == "error":
        return None, AMBIGUOUS_TIME
    taken = after if on_ambiguous == "later" else before
    minutes, rest = divmod(abs(taken), timedelta(minutes=1))
    if rest:
        return None, NO_WHOLE_MINUTES
    return f"{'-' if taken < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}", None


def _day(match: re.Match[str]) -> date | None:
    try:
        return date(int(match["year"]), _month(match["month"]), int(match["day"]))
    except ValueError:
        return None


def _month(written: str) -> int:
    return int(written) if written.isdigit() else _SHORT_MONTHS.index(written[:3].title()) + 1


def _hour(found: Mapping[str, str]) -> int:
    hour = int(found["hour"])
    if "half" not in found:
        return hour
    return hour % 12 + (12 if found["half"] in ("PM", "pm", "Pm", "pM") else 0)


@lru_cache(maxsize=256)
def _date_formats(formats: tuple[str, ...]) -> tuple[_Format, ...]:
    read = tuple(map(_compiled, formats or FHIR_DATE_FORMATS))
    for written in read:
        if "day" not in written.parts or "offset" in written.parts:
            raise _wrong(written.text, "a date needs a day, and has no offset")
    return read


@lru_cache(maxsize=256)
def _datetime_formats(formats: tuple[str, ...]) -> tuple[_Format, ...]:
    return tuple(map(_compiled, formats or FHIR_DATETIME_FORMATS))


@lru_cache(maxsize=256)
def _compiled(written: str) -> _Format:
    pieces = re.findall(r"%-?.|[^%]+|%", written, re.DOTALL)
    directives = [piece[1:] for piece in pieces if piece.startswith("%") and piece != "%%"]
    _check(written, pieces, directives)
    pattern = "".join(
        f"(?P<{_PARTS[piece[1:]][0]}>{_PARTS[piece[1:]][1]})"
        if piece[1:] in _PARTS and piece[0] == "%"
        else _literal("%" if piece == "%%" else piece)
        for piece in pieces
    )
    return _Format(written, re.compile(pattern), frozenset(_PARTS[directive][0] for directive in directives))


def _check(written: str, pieces: Sequence[str], directives: Sequence[str]) -> None:
    unknown = [directive for directive in directives if directive not in _PARTS]
    if unknown:
        raise _wrong(written, f"%{unknown[0]} is not read" + ("; years have four digits" if "y" in unknown else ""))
    parts = [_PARTS[directive][0] for directive in directives]
    if len(set(parts)) < len(parts):
        raise _wrong(written, "a part is there twice")
    for part, needed in _NEEDS:
        if part in parts and needed not in parts:
            raise _wrong(written, f"a {part} without a {needed}")
    if "year" not in parts:
        raise _wrong(written, "a year is missing")
    if ("half" in parts) != bool({"I", "-I"} & set(directives)):
        raise _wrong(written, "%I and %p go together")
    for one, other in pairwise(pieces):
        if _ends_in_digit(one) and _starts_with_digit(other) and {one[1:], other[1:]} & _LOOSE:
            raise _wrong(written, f"{one}{other} leaves open where one number ends")


def _ends_in_digit(piece: str) -> bool:
    return piece[1:] in _NUMBERS if piece[0] == "%" else piece[-1].isdigit()


def _starts_with_digit(piece: str) -> bool:
    return piece[1:] in _NUMBERS if piece[0] == "%" else piece[0].isdigit()


def _literal(text: str) -> str:
    # Not re.escape: RE2 knows fewer escapes than Python.
    return re.sub(r"[.^$*+?()\[\]{}|\\]", r"\\\g<0>", text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _wrong(written: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{written!r} is no format of a date or time: {why}",
        code="times.format",
        remedy="%Y %m %d %H %M %S %f %z %I %p %b %B %%, and %-m %-d %-H %-I for one digit or two",
    )
