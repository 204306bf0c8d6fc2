"""The local times of a record of an HL7 v2 message, given the offset of the site's zone.

Law: an offset is the zone's or none: a time that the clocks skipped or showed twice stays without one, and is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.times import HL7_V2_FORMATS, read_datetime

DOUBTFUL: Final = "doubtfulTimes"
"""The member of a record that names times without an offset, by place: `{"pv1.44": "ambiguous_time"}`."""
TIMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "pid": ("29",),
        "pv1": ("44", "45"),
        "al1": ("6",),
        "iam": ("11", "13"),
        "dg1": ("5", "19"),
        "prb": ("7", "9", "16"),
        "obr": ("7", "8", "22"),
        "obx": ("14",),
        "rxa": ("3",),
        "txa": ("6",),
    }
)
"""Fields that the rules read as moments, by member of the record."""
_MOMENTS: Final = frozenset({"TS", "DTM"})
_LOCAL: Final = re.compile(r"[0-9]{12}(?:[0-9]{2}(?:\.[0-9]{1,4})?)?")


def in_zone(record: Document, timezone: str) -> Document:
    """The record with offsets at its local times. Raises ConfigurationError for a name that is no zone."""
    placed = dict(record)
    doubtful: dict[str, str] = {}
    for member, names in TIMES.items():
        segment = record.get(member)
        if type(segment) is not dict:
            continue
        if member == "obx" and _is_moment(segment):
            names = (*names, "5")
        for name in names:
            held = segment.get(name)
            if not held or not _LOCAL.fullmatch(written := held[0].get("1", "")):
                continue
            offset, code = _offset(written, timezone)
            if offset is None:
                doubtful[f"{member}.{name}"] = str(code)
            else:
                segment = {**segment, name: [{**held[0], "1": written + offset}, *held[1:]]}
        placed[member] = segment
    if doubtful:
        placed[DOUBTFUL] = doubtful
    return placed


def _is_moment(obx: Document) -> bool:
    kind: list[dict[str, Any]] = obx.get("2") or [{}]
    return kind[0].get("1") in _MOMENTS


@lru_cache(maxsize=4096)
def _offset(written: str, timezone: str) -> tuple[str | None, str | None]:
    """`-0500`, or why the moment is in doubt."""
    made, code = read_datetime(written, HL7_V2_FORMATS, timezone)
    return (None, code) if made is None else (made[-6:].replace(":", ""), None)
