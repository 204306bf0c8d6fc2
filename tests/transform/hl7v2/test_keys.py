"""Ids of records: one for one thing, however its numbers are laid out and whoever numbered it beside us."""

from __future__ import annotations

import pytest

from holovitals_pipelines.transform.hl7v2_document import read_message
from holovitals_pipelines.transform.hl7v2_keys import own_result
from holovitals_pipelines.transform.hl7v2_records import records_of

from .messages import PID, header, message


def test_a_number_is_one_key_whether_or_not_blanks_stand_around_it() -> None:
    def ids(blank: str) -> list[str]:
        segments = (
            header("ORU^R01"),
            f"PID|1||{blank}417{blank}^^^^MR^FAC1",
            f"OBR|1|{blank}P1|{blank}F1^LAB|57021-8^CBC^LN",
            "OBX|1|NM|6690-2^Leukocytes^LN||10.1",
        )
        records = records_of(read_message(message(*segments)))
        return [one["id"] for kind in ("Patient", "DiagnosticReport", "Observation") for one in records[kind]]

    assert ids(" ") == ids("") and ids("")[0] == "FAC1-MR-417"


PULSE = "OBX|1|NM|8867-4^Heart rate^LN|1|72||||||F|||202601150916"


@pytest.mark.parametrize(
    ("segments", "ours"),
    [
        (("ORC|RE|4f2a^HOLOVITALS|H1R", "OBR|1|4f2a^HOLOVITALS|H1R|8867-4^HR^LN", PULSE), True),
        (("ORC|RE|4f2a^HOLOVITALS|H1R", "OBR|1||H1R|HR^Pulse^L", PULSE.replace("8867-4", "HR")), True),
        (("OBR|1||4f2a^HOLOVITALS|8867-4^HR^LN", PULSE.replace("|1|72|", "||73|")), True),
        (("OBR|1|P1|H1R|8867-4^HR^LN", PULSE + "|||||||4f2a^HOLOVITALS"), True),
        (("OBR|1|4f2a^OTHER|H1R|8867-4^HR^LN", PULSE), False),
        (("OBR|1|4f2a|4f2a|8867-4^HR^LN", PULSE), False),
    ],
)
def test_a_result_of_ours_is_known_by_our_number_wherever_it_comes_back(segments: tuple[str, ...], ours: bool) -> None:
    records = records_of(read_message(message(header("ORU^R01"), PID, *segments)))
    assert [one["id"] == own_result("4f2a") for one in records["Observation"]] == [ours]
    assert [one.get("own") for one in records["Observation"]] == ["4f2a" if ours else None]
