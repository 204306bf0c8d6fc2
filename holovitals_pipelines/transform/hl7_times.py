"""HL7's time stamps, of version 2 and of CDA, in FHIR's form and only as precise as FHIR allows.

Law: precision is never made up: a time of day without an offset, or without minutes, is a day.
"""

from __future__ import annotations

import re
from typing import Final

from holovitals_pipelines.transform.functions import Refused
from holovitals_pipelines.transform.times import HL7_V2_FORMATS, NO_TIMEZONE, UNREADABLE, read_datetime

HL7_TIME_CODES: Final = (UNREADABLE,)
_HOURS: Final = re.compile(r"([0-9]{8})(?:[01][0-9]|2[0-3])(?:[+-][0-9]{4})?")
_DAY: Final = 8


def hl7_datetime(text: str) -> str:
    """`202407041305-0400` as `2024-07-04T13:05:00-04:00`, `202407` as `2024-07`, `202407041305` as `2024-07-04`."""
    hours = _HOURS.fullmatch(text)
    made, code = read_datetime(text if hours is None else hours[1], HL7_V2_FORMATS)
    if code == NO_TIMEZONE:
        made, code = read_datetime(text[:_DAY], HL7_V2_FORMATS)
    if made is None:
        raise Refused(UNREADABLE)
    return made


def hl7_date(text: str) -> str:
    """The day of it, or the month or year where it says no more: `19800229103000-0500` as `1980-02-29`."""
    return hl7_datetime(text)[: len("2024-07-04")]
