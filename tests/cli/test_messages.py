"""`holovitals messages` and `listen`: what came and what became of it; content only where it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from holovitals_pipelines.engine.hl7v2.applying import apply_received
from tests.engine.hl7v2.feed import PID, adt, receiving, sent

Run = Callable[..., Result]
GOOD, BAD = adt("A08", "1", PID), adt("A08", "2", "PID|1||||SECRET^ANN")


def received(home: Path) -> None:
    with receiving(home) as opened:
        sent(opened, [GOOD, BAD, GOOD])
        apply_received(opened.database, opened.connection("hospital"))


def test_lists_show_what_became_of_messages_and_nothing_of_their_content(home: Path, run: Run) -> None:
    received(home)
    listed = run("messages", "list")
    assert listed.exit_code == 0 and "ADT^A08" in listed.output and "hl7.no_patient" in listed.output
    shown = run("messages", "show", "2")
    assert "dead" in shown.output and "PID" in shown.output
    dead = json.loads(run("messages", "list", "--state", "dead", "--json").output)
    assert [(one["messageId"], one["answer"], one["timesReceived"]) for one in dead] == [(2, "AA", 1)]
    for said in (listed, shown, run("messages", "show", "1", "--json")):
        assert "SECRET" not in said.output and "TEST" not in said.output and "M900000101" not in said.output


def test_the_body_is_printed_for_who_asks(home: Path, run: Run) -> None:
    received(home)
    assert run("messages", "show", "2", "--body").output == BAD.decode().replace("\r", "\n")


def test_dead_letters_wait_again_when_they_are_replayed(home: Path, run: Run) -> None:
    received(home)
    refused = run("messages", "replay", "1")
    assert refused.exit_code == 1 and "hl7.message_not_dead" in refused.output
    assert json.loads(run("messages", "replay", "--connection", "hospital", "--json").output) == {"replayed": 1}
    waiting = json.loads(run("messages", "list", "--state", "received", "--json").output)
    assert [one["messageId"] for one in waiting] == [2]
    assert run("messages", "show", "99").exit_code == 1


def test_listening_without_a_declared_port_says_what_to_declare(home: Path, run: Run) -> None:
    (home / "connections.yaml").write_text("connections: []\n")
    refused = run("listen", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.output)["error"]["code"] == "hl7.no_listener"
