"""Received messages into records: in order, each once, killed or not, and what cannot be applied set aside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from holovitals_pipelines.engine.hl7v2 import applying
from holovitals_pipelines.engine.hl7v2.applying import apply_received
from holovitals_pipelines.engine.home import Home

from .feed import PID, PV1, adt, all_held, held, oru, receiving, sent, stored

PATIENT = "FAC1-MR-M900000101"
SHORT_PID = "PID|1||M900000101^^^^MR^FAC1||OTHER^NAME||||||||||||||"
LAB = ("OBR|1|P1|F1|57021-8^CBC^LN", "OBX|1|NM|6690-2^Leukocytes^LN||10.1|10*9/L|3-9|H|||F|||202601150916")


def applied(home: Home) -> None:
    apply_received(home.database, home.connection("hospital"))


def states(home: Home) -> list[tuple[str, str | None]]:
    return [(one.state, one.code) for one in stored(home)]


def test_messages_become_records_of_every_kind_they_tell_of(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", "1", PID, PV1, "AL1|1|DA|F1^Penicillins"), oru("2", PID, *LAB)])
        applied(home)
        assert {kind: len(all_held(home, kind)) for kind in ("Patient", "Encounter", "AllergyIntolerance")} == {
            "Patient": 1, "Encounter": 1, "AllergyIntolerance": 1,
        }  # fmt: skip
        assert len(all_held(home, "Observation")) == len(all_held(home, "DiagnosticReport")) == 1
        assert states(home) == [("applied", None)] * 2


def test_a_results_short_pid_takes_nothing_away_from_an_admissions(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", "1", PID)])
        applied(home)
        before = held(home, "Patient", PATIENT)
        sent(home, [oru("2", SHORT_PID, *LAB, at="202601150931")])
        applied(home)
        assert held(home, "Patient", PATIENT) == before
        assert len(all_held(home, "Observation")) == 1


def test_without_an_admission_the_last_result_tells_who_the_patient_is(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [oru("1", PID, *LAB), oru("2", SHORT_PID, *LAB)])
        applied(home)
        told = held(home, "Patient", PATIENT)
        assert told is not None and told["pid"]["5"] == [{"1": "OTHER", "2": "NAME"}]
        assert told["pid"]["7"] == [{"1": "19720229 "}]


def test_a_late_message_fills_what_is_not_known_and_is_marked(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", "1", "PID|1||1^^^^MR^FAC1||NEW"), adt("A08", "2", "PID|1||1^^^^MR^FAC1||OLD||19720229",
                                                                       at="202601150929")])  # fmt: skip
        applied(home)
        told = held(home, "Patient", "FAC1-MR-1")
        assert told is not None
        assert (told["pid"]["5"], told["pid"]["7"]) == ([{"1": "NEW"}], [{"1": "19720229"}])
        assert states(home) == [("applied", None), ("applied", "hl7.late")]


def test_a_merge_retires_the_old_patient_who_is_not_brought_back_silently(tmp_path: Path) -> None:
    old, new = "PID|1||55^^^^MR^FAC1~P5^^^^PI^FAC1||OLD||19720229", "PID|1||66^^^^MR^FAC1||NEW"
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", "1", old), adt("A08", "2", new), adt("A40", "3", new, "MRG|55^^^^MR^FAC1"),
                    adt("A08", "4", old.replace("OLD", "AGAIN"))])  # fmt: skip
        applied(home)
        retired, survivor = held(home, "Patient", "FAC1-MR-55"), held(home, "Patient", "FAC1-MR-66")
        assert retired is not None and survivor is not None
        assert retired["replacedBy"] == {"id": "FAC1-MR-66"} and survivor["replaced"] == [{"id": "FAC1-MR-55"}]
        assert retired["pid"]["7"] == [{"1": "19720229"}] and len(retired["pid"]["3"]) == 2
        assert [code for _, code in states(home)] == [None, None, "hl7.patients_merged", "hl7.patient_retired"]


def test_a_merge_of_somebody_never_told_of_makes_the_retired_patient_known(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [adt("A40", "1", "PID|1||66^^^^MR^FAC1||NEW", "MRG|55^^^^MR||||||GONE^ANN")])
        applied(home)
        retired = held(home, "Patient", "FAC1-MR-55")
        assert retired is not None and retired["pid"]["5"] == [{"1": "GONE", "2": "ANN"}]


def test_applying_twice_at_once_applies_each_message_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "BATCH", 7)
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", str(n), f"PID|1||1^^^^MR^FAC1||N{n}") for n in range(60)])
        workers = [threading.Thread(target=applied, args=(home,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        told = held(home, "Patient", "FAC1-MR-1")
        assert told is not None and told["pid"]["5"] == [{"1": "N59"}]
        assert states(home) == [("applied", None)] * 60


def test_what_repeats_what_is_known_changes_no_record(tmp_path: Path) -> None:
    with receiving(tmp_path) as home:
        sent(home, [adt("A08", "1", PID, PV1)])
        applied(home)
        before = _changed(home)
        sent(home, [adt("A08", "2", PID, PV1, at="202601150931")])
        applied(home)
        assert _changed(home) == before


def _changed(home: Home) -> list[tuple[str, str, object]]:
    with home.database.read() as transaction:
        rows = transaction.exec_driver_sql("select remote_id, hex(body_hash), changed_at from hl7_record order by 1")
        return [tuple(row) for row in rows]  # type: ignore[misc]


_DIES = """
import os, signal, sys
from pathlib import Path
from holovitals_pipelines.engine.hl7v2 import applying
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import hl7_records
applying.BATCH = 5
point, batches = sys.argv[2], [0]
real_put, real_end = applying.put_records, applying.end_messages
def put(transaction, connection, records):
    real_put(transaction, connection, records)
    batches[0] += 1
    if point == "records" and batches[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
def end(transaction, ended, at):
    real_end(transaction, ended, at)
    if point == "states" and batches[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
applying.put_records, applying.end_messages = put, end
with open_home(Settings(home=Path(sys.argv[1]))) as home:
    applying.apply_received(home.database, home.connection("hospital"))
"""


@pytest.mark.parametrize("point", ["records", "states"])
def test_killed_in_a_transaction_nothing_is_lost_and_nothing_applied_twice(tmp_path: Path, point: str) -> None:
    """Every message appends to a list of retired numbers; one too few or too many would show."""
    numbers = [str(100 + n) for n in range(20)]
    with receiving(tmp_path) as home:
        sent(home, [adt("A40", n, "PID|1||1^^^^MR^FAC1||N", f"MRG|{n}^^^^MR^FAC1") for n in numbers])
    died = subprocess.run([sys.executable, "-c", _DIES, str(tmp_path), point], check=False, env=dict(os.environ))
    assert died.returncode == -9
    with receiving(tmp_path) as home:
        assert [state for state, _ in states(home)] == ["applied"] * 5 + ["received"] * 15
        applied(home)
        survivor = held(home, "Patient", "FAC1-MR-1")
        assert survivor is not None
        assert [one["1"] for one in survivor["mrg"]["1"]] == numbers
        assert [state for state, _ in states(home)] == ["applied"] * 20
