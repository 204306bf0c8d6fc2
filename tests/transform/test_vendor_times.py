"""Vendors' local times through the shipped rule sets: each becomes a correct instant or is marked, none is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.vocabulary import Direction, Provider
from holovitals_pipelines.transform import shipped_rule_sets
from holovitals_pipelines.transform.hl7v2_times import DOUBTFUL, in_zone
from holovitals_pipelines.transform.records import Transformed, compile_rule_set
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for

Json = dict[str, Any]
EXAMPLES = Path(shipped_rule_sets.__file__).parent / "rule_sets"
GAP, FOLD = "a time no clock showed", "a time the clocks showed twice"


@cache
def rules(provider: Provider, kind: str) -> Any:
    ready = rule_set_for(provider, kind, Direction.INBOUND)
    assert ready is not None
    return compile_rule_set(ready)


def example(provider: Provider, kind: str) -> Json:
    """The first example that is shipped with the rule set."""
    text = (EXAMPLES / provider / f"{kind}.examples.yml").read_text(encoding="utf-8")
    source: Json = orjson.loads(orjson.dumps(yaml.safe_load(text)[0]["source"], default=str))
    return source


def at(document: Json, *path: str | int) -> Any:
    held: Any = document
    for part in path:
        held = held.get(part) if isinstance(held, dict) else held[part] if held and len(held) > int(part) else None
    return held


@dataclass(frozen=True)
class Form:
    """A vendor's way to write a time, and where it comes out; `marks` shows what is kept where it cannot be placed."""

    provider: Provider
    kind: str
    put: Callable[[Json, str, str | None], None]
    out: tuple[str | int, ...]
    cases: Mapping[str, str | None]
    """What is written → the instant; None where there is none, and it must be marked."""
    zone: str | None = None
    marked: Callable[[Json], bool] = lambda made: False
    """Whether the resource itself shows the unplaced time; a finding of the rule set does too."""

    def __str__(self) -> str:
        return f"{self.provider}-{self.kind}-{'.'.join(map(str, self.out))}-{self.zone}"


def member(name: str) -> Callable[[Json, str, str | None], None]:
    def put(record: Json, text: str, zone: str | None) -> None:
        record.get("item", record)[name] = text

    return put


def athena_slot(record: Json, text: str, zone: str | None) -> None:
    record["item"]["date"], _, record["item"]["starttime"] = text.partition(" ")
    record["site"] = {"timezone": zone} if zone else {}


def nextgen_slot(record: Json, text: str, zone: str | None) -> None:
    day, _, time = text.partition(" ")
    record["item"]["appointmentDate"], record["item"]["beginTime"] = f"{day}T00:00:00", time
    record["site"] = {"timezone": zone} if zone else {}


def local_start(made: Json) -> bool:
    return any(one["url"] == "urn:holovitals:local-start" for one in made.get("extension", ()))


ATHENA_EASTERN = {
    "07/04/2024 13:05:09": "2024-07-04T13:05:09-04:00",
    "01/04/2024 13:05:09": "2024-01-04T13:05:09-05:00",
    "03/10/2024 02:30:00": None,
    "11/03/2024 01:30:00": None,
    "02/30/2024 01:30:00": None,
}
ATHENA_LOCAL = {
    "07/04/2024 13:05": "2024-07-04T13:05:00-05:00",
    "03/10/2024 02:30": None,
    "11/03/2024 01:30": None,
}
NEXTGEN_LOCAL = {
    "2024-07-04 1305": "2024-07-04T13:05:00-04:00",
    "2024-01-04 0800": "2024-01-04T08:00:00-05:00",
    "2024-03-10 0230": None,
    "2024-11-03 0130": None,
}
UTC_TIMES = {
    "2024-03-10T02:30:00": "2024-03-10T02:30:00+00:00",
    "2024-11-03T05:30:00.1": "2024-11-03T05:30:00.1+00:00",
    "2024-02-30T05:30:00": None,
}
FORMS = (
    Form(
        Provider.ATHENAHEALTH, "Observation", member("labresultdatetime"), ("effectiveDateTime",), ATHENA_EASTERN,
    ),
    Form(Provider.ATHENAHEALTH, "Observation", member("createddatetime"), ("issued",), ATHENA_EASTERN),
    Form(Provider.ATHENAHEALTH, "Appointment", member("scheduleddatetime"), ("created",), ATHENA_EASTERN),
    Form(Provider.ATHENAHEALTH, "Appointment", member("lastmodified"), ("meta", "lastUpdated"), ATHENA_EASTERN),
    Form(
        Provider.ATHENAHEALTH, "DocumentReference", member("createddatetime"), ("date",),
        {"2023-08-10T14:53:55-04:00": "2023-08-10T14:53:55-04:00", "2023-11-05T01:30:00-05:00":
         "2023-11-05T01:30:00-05:00", "2023-11-05T01:30:00": None, "02/13/2025 12:33 PM": None},
    ),
    Form(Provider.ATHENAHEALTH, "Appointment", athena_slot, ("start",), ATHENA_LOCAL, "US/Central", local_start),
    Form(
        Provider.ATHENAHEALTH, "Appointment", athena_slot, ("start",),
        {"07/04/2024 13:05": "2024-07-04T13:05:00-07:00", "03/10/2024 02:30": "2024-03-10T02:30:00-07:00"},
        "US/Arizona", local_start,
    ),
    Form(
        Provider.ATHENAHEALTH, "Appointment", athena_slot, ("start",), {"07/04/2024 13:05": None}, "Mars/Base",
        local_start,
    ),
    Form(Provider.ATHENAHEALTH, "Appointment", athena_slot, ("start",), {"07/04/2024 13:05": None}, None, local_start),
    Form(
        Provider.NEXTGEN, "Appointment", nextgen_slot, ("start",), NEXTGEN_LOCAL, "Eastern Standard Time", local_start
    ),
    Form(Provider.NEXTGEN, "Appointment", nextgen_slot, ("start",), {"2024-07-04 1305": None}, "Nowhere", local_start),
    Form(Provider.NEXTGEN, "Encounter", member("modifyTimestampUtc"), ("meta", "lastUpdated"), UTC_TIMES),
    Form(Provider.NEXTGEN, "Encounter", member("checkInDateTimeUtc"), ("period", "start"), UTC_TIMES),
    Form(Provider.NEXTGEN, "DocumentReference", member("createTimestampUtc"), ("date",), UTC_TIMES),
    Form(
        Provider.ALLSCRIPTS, "Patient", member("dateofbirth"), ("birthDate",),
        {"07/04/1964": "1964-07-04", "1964-07-04": "1964-07-04", "04-Jul-1964": "1964-07-04",
         "Jul 4 1964": "1964-07-04", "4/7/64": None, "02/30/1964": None},
    ),
)  # fmt: skip


@pytest.mark.parametrize(("form", "text"), [(form, text) for form in FORMS for text in form.cases], ids=str)
def test_a_vendors_time_is_a_correct_instant_or_is_marked(form: Form, text: str) -> None:
    record = example(form.provider, form.kind)
    form.put(record, text, form.zone)

    made: Transformed = rules(form.provider, form.kind)(read_document(orjson.dumps(record)))

    document: Json = orjson.loads(write_document(made.document))
    assert at(document, *form.out) == form.cases[text]
    if form.cases[text] is None:
        found = [one.problem.code for one in made.findings]
        assert found or form.marked(document), "a time that has no place is told, and never left out in silence"
    else:
        assert [one.problem.code for one in made.findings] == []


@pytest.mark.parametrize(
    ("written", "zone", "offset"),
    [
        ("202407041305", "America/New_York", "-0400"),
        ("202401041305", "Eastern Standard Time", "-0500"),
        ("20240104130509", "US Mountain Standard Time", "-0700"),
        ("202403100230", "America/New_York", "nonexistent_time"),
        ("202411030130", "America/New_York", "ambiguous_time"),
        ("202403100230", "America/Phoenix", "-0700"),
    ],
)
def test_meditechs_minutes_get_their_zones_offset_or_are_named_as_doubtful(
    written: str, zone: str, offset: str
) -> None:
    record: Json = {"pv1": {"44": [{"1": written}]}}
    placed = in_zone(record, zone)
    if offset[0] in "+-":
        assert placed["pv1"]["44"][0]["1"] == written + offset and DOUBTFUL not in placed
    else:
        assert placed["pv1"]["44"][0]["1"] == written and placed[DOUBTFUL] == {"pv1.44": offset}
