"""Dates and times: read strictly, the same in Python and in SQL, and never guessed."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.times import (
    FHIR_DATETIME_FORMATS,
    HL7_V2_FORMATS,
    OnAmbiguous,
    date_pattern,
    date_sql,
    read_date,
    read_datetime,
    zone_named,
)

EASTERN = "America/New_York"
DATABASE = duckdb.connect()


def in_sql(text: str, formats: tuple[str, ...]) -> date | None:
    found = DATABASE.execute(f"SELECT {date_sql('t', formats)} FROM (SELECT ?::VARCHAR AS t)", [text]).fetchone()
    assert found is not None
    return found[0]


ATHENA = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%S%z", "%m/%d/%Y")
UNITY = ("%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%b %-d %Y %-I:%M%p", "%b %-d %Y %H:%M", "%b %-d %Y")


@pytest.mark.parametrize(
    ("text", "formats", "zone", "expected"),
    [
        ("07/04/2024", ATHENA, EASTERN, "2024-07-04"),
        ("07/04/2024 13:05:09", ATHENA, EASTERN, "2024-07-04T13:05:09-04:00"),
        ("01/04/2024 13:05:09", ATHENA, EASTERN, "2024-01-04T13:05:09-05:00"),
        ("02/13/2025 12:33 PM", ATHENA, EASTERN, "2025-02-13T12:33:00-05:00"),
        ("02/13/2025 12:33 am", ATHENA, EASTERN, "2025-02-13T00:33:00-05:00"),
        ("2023-08-10T14:53:55-04:00", ATHENA, EASTERN, "2023-08-10T14:53:55-04:00"),
        ("13-FEB-2025", UNITY, "Eastern Standard Time", "2025-02-13"),
        ("Feb 3 2025", UNITY, "Eastern Standard Time", "2025-02-03"),
        ("Feb 3 2025 4:05PM", UNITY, "Eastern Standard Time", "2025-02-03T16:05:00-05:00"),
        ("Feb 3 2025 16:05", UNITY, "US Mountain Standard Time", "2025-02-03T16:05:00-07:00"),
        ("2025-02-03T16:05:06.1234567", FHIR_DATETIME_FORMATS, "UTC", "2025-02-03T16:05:06.1234567+00:00"),
        ("2025-02-03T16:05:06.120Z", FHIR_DATETIME_FORMATS, None, "2025-02-03T16:05:06.120Z"),
        ("2025-02", FHIR_DATETIME_FORMATS, None, "2025-02"),
        ("2024", HL7_V2_FORMATS, None, "2024"),
        ("202405", HL7_V2_FORMATS, None, "2024-05"),
        ("20240506", HL7_V2_FORMATS, None, "2024-05-06"),
        ("202405060708", HL7_V2_FORMATS, EASTERN, "2024-05-06T07:08:00-04:00"),
        ("202405060708-0500", HL7_V2_FORMATS, EASTERN, "2024-05-06T07:08:00-05:00"),
        ("20240506070809", HL7_V2_FORMATS, "Asia/Kathmandu", "2024-05-06T07:08:09+05:45"),
        ("20240506070809.1230+0000", HL7_V2_FORMATS, None, "2024-05-06T07:08:09.1230+00:00"),
    ],
)
def test_vendors_times_become_fhirs(text: str, formats: tuple[str, ...], zone: str | None, expected: str) -> None:
    assert read_datetime(text, formats, zone) == (expected, None)


@pytest.mark.parametrize("text", ["2024050607", "20240506070", "20240230", "20241301", "202405062508", "20240506+0500"])
def test_what_is_no_hl7_timestamp_is_unreadable(text: str) -> None:
    assert read_datetime(text, HL7_V2_FORMATS, EASTERN) == (None, "unreadable")


def test_a_time_without_an_offset_needs_a_zone() -> None:
    assert read_datetime("202405060708", HL7_V2_FORMATS) == (None, "no_timezone")
    assert read_datetime("20240506", HL7_V2_FORMATS) == ("2024-05-06", None)


@pytest.mark.parametrize("zone", [EASTERN, "Eastern Standard Time"])
def test_a_time_that_no_clock_showed_is_an_error_whatever_is_asked(zone: str) -> None:
    for choice in ("error", "earlier", "later"):
        read = read_datetime("2024-03-10T02:30:00", FHIR_DATETIME_FORMATS, zone, choice)  # type: ignore[arg-type]
        assert read == (None, "nonexistent_time")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("error", (None, "ambiguous_time")),
        ("earlier", ("2024-11-03T01:30:00-04:00", None)),
        ("later", ("2024-11-03T01:30:00-05:00", None)),
    ],
)
def test_a_time_that_a_clock_showed_twice_is_chosen_or_refused(
    choice: OnAmbiguous, expected: tuple[str | None, str | None]
) -> None:
    assert read_datetime("2024-11-03T01:30:00", FHIR_DATETIME_FORMATS, EASTERN, choice) == expected


def test_an_offset_of_seconds_cannot_be_written() -> None:
    assert read_datetime("1880-01-01T00:00:00", FHIR_DATETIME_FORMATS, EASTERN) == (None, "offset_not_in_minutes")


@settings(max_examples=100, deadline=None)
@given(
    local=st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31)),  # noqa: DTZ001
    zone=st.sampled_from([EASTERN, "Europe/London", "Australia/Lord_Howe", "America/Phoenix", "Africa/Casablanca"]),
)
@example(datetime(2024, 3, 10, 2, 30), EASTERN)  # noqa: DTZ001
@example(datetime(2024, 10, 6, 2, 15), "Australia/Lord_Howe")  # noqa: DTZ001
def test_what_is_read_is_that_instant_and_only_real_local_times_are_read(local: datetime, zone: str) -> None:
    local = local.replace(microsecond=0)
    clock = ZoneInfo(zone)
    instants = {
        instant
        for fold in (0, 1)
        if (instant := local.replace(tzinfo=clock, fold=fold).astimezone(ZoneInfo("UTC")))
        and instant.astimezone(clock).replace(tzinfo=None) == local
    }
    text = local.isoformat()
    read, code = read_datetime(text, FHIR_DATETIME_FORMATS, zone)
    assert code == {0: "nonexistent_time", 1: None, 2: "ambiguous_time"}[len(instants)]
    chosen = [read_datetime(text, FHIR_DATETIME_FORMATS, zone, choice)[0] for choice in ("earlier", "later")]
    if instants:
        assert [datetime.fromisoformat(one) for one in chosen if one] == [min(instants), max(instants)]
        assert read is None or read == chosen[0]


def test_zones_go_by_their_windows_names_too_and_wrong_ones_are_refused_with_a_proposal() -> None:
    assert zone_named("Eastern Standard Time") == zone_named(EASTERN)
    assert zone_named("Pacific Standard Time").key == "America/Los_Angeles"
    with pytest.raises(ConfigurationError) as refused:
        zone_named("America/New_Yrok", "rules.yml:7")
    assert refused.value.place == "rules.yml:7" and EASTERN in refused.value.remedy
    for name in ("", "../etc/passwd", "America"):
        with pytest.raises(ConfigurationError):
            zone_named(name)


@pytest.mark.parametrize(
    "written",
    [
        "%m/%d/%y",
        "%Q",
        "%Y-%m-%d %",
        "%-m%-d%Y",
        "%Y%f",
        "%-m7%d%Y",
        "%Y %Y",
        "%m/%d",
        "%d %Y",
        "%Y-%m-%d %H",
        "%Y-%m-%d %I:%M",
        "%Y-%m-%d %H:%M %p",
        "%Y-%m-%d %z",
        "%Y-%m %H:%M",
        "",
    ],
)
def test_formats_that_leave_doubt_are_refused(written: str) -> None:
    with pytest.raises(ConfigurationError):
        date_pattern(written)


@pytest.mark.parametrize("written", ["%Y", "%Y-%m", "%Y-%m-%d %H:%M%z"])
def test_a_date_is_a_whole_day_without_an_offset(written: str) -> None:
    with pytest.raises(ConfigurationError):
        read_date("2024", [written])
    with pytest.raises(ConfigurationError):
        date_sql("t", [written])


def test_a_date_is_read_by_the_first_format_that_yields_one() -> None:
    formats = ("%m/%d/%Y", "%d/%m/%Y")
    for text, expected in [
        ("02/03/2024", date(2024, 2, 3)),
        ("30/03/2024", date(2024, 3, 30)),
        ("30/02/2024", None),
        ("2/3/2024", None),
        (" 02/03/2024", None),
        ("02/03/2024\n", None),
        ("0２/03/2024", None),
        ("02/03/0000", None),
    ]:
        assert read_date(text, formats) == in_sql(text, formats) == expected


DIRECTIVES = {
    "year": ["%Y"],
    "month": ["%m", "%-m", "%b", "%B"],
    "day": ["%d", "%-d"],
}
CLOCKS = ["", " %H:%M", "T%H:%M:%S", "T%H:%M:%S.%f", " %I:%M %p", " %-I:%M%p", " %-H:%M"]


@st.composite
def formats(draw: st.DrawFn) -> str:
    separators = st.text("-/. ,|\\(){}[]^$*+?'\"é_:;#~TZd%", min_size=1, max_size=2)
    parts = [draw(st.sampled_from(DIRECTIVES[name])) for name in draw(st.permutations(list(DIRECTIVES)))]
    between = [draw(separators).replace("%", "%%") for _ in range(2)]
    ends = [draw(st.just("") | separators).replace("%", "%%") for _ in range(2)]
    clock = draw(st.sampled_from(CLOCKS))
    return ends[0] + parts[0] + between[0] + parts[1] + between[1] + parts[2] + clock + ends[1]


@st.composite
def written_texts(draw: st.DrawFn) -> tuple[str, str, date]:
    """A format, a day, and the day in that format; what strptime pads with zeros is padded or not where it may be."""
    chosen = draw(formats())
    instant = draw(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001
    half = draw(st.sampled_from(["AM", "pm", "Am"]))
    texts = {
        "Y": f"{instant.year:04}",
        "m": f"{instant.month:02}",
        "-m": draw(st.sampled_from([str(instant.month), f"{instant.month:02}"])),
        "b": draw(st.sampled_from([f"{instant:%b}", f"{instant:%b}".upper()])),
        "B": draw(st.sampled_from([f"{instant:%B}", f"{instant:%B}".lower()])),
        "d": f"{instant.day:02}",
        "-d": draw(st.sampled_from([str(instant.day), f"{instant.day:02}"])),
        "H": f"{instant.hour:02}",
        "-H": str(instant.hour),
        "I": f"{instant.hour % 12 or 12:02}",
        "-I": str(instant.hour % 12 or 12),
        "p": half,
        "M": f"{instant.minute:02}",
        "S": f"{instant.second:02}",
        "f": draw(st.text("0123456789", min_size=1, max_size=9)),
        "%": "%",
    }
    return chosen, re.sub("%(-?.)", lambda found: texts[found[1]], chosen), instant.date()


@settings(max_examples=120, deadline=None)
@given(written_texts())
def test_every_day_is_read_back_from_every_format_by_both(case: tuple[str, str, date]) -> None:
    chosen, text, day = case
    assert read_date(text, [chosen]) == day
    assert in_sql(text, (chosen,)) == day


@settings(max_examples=120, deadline=None)
@given(case=written_texts(), position=st.integers(0, 40), damage=st.text("0123456789/- aJT٣\n", max_size=2))
def test_damaged_texts_are_read_alike_by_both(case: tuple[str, str, date], position: int, damage: str) -> None:
    chosen, text, _ = case
    damaged = text[:position] + damage + text[position + 1 :]
    assert read_date(damaged, [chosen, "%Y-%m-%d"]) == in_sql(damaged, (chosen, "%Y-%m-%d"))


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_offset_in_the_text_is_kept_and_the_zone_ignored(local: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    read, code = read_datetime(f"{local:%Y%m%d%H%M%S}{offset}", HL7_V2_FORMATS, EASTERN)
    assert code is None and read is not None
    assert datetime.fromisoformat(read).utcoffset() == timedelta(minutes=minutes)
    assert datetime.fromisoformat(read).replace(tzinfo=None) == local.replace(microsecond=0)
