"""`holovitals webhooks`: registered, looked at, replayed; secrets when they are made, content where it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.webhooks.processing import coalesce
from holovitals_pipelines.settings import Settings, save_connections
from tests.engine.webhooks.senders import CONNECTIONS, Sender, event, sender

Run = Callable[..., Result]
ENDPOINT = ("--endpoint", "https://holovitals.example/hooks")


@pytest.fixture(autouse=True)
def declared(home: Path) -> None:
    save_connections(home / "connections.yaml", CONNECTIONS)


def received(home: Path, *bodies: bytes) -> Sender:
    with open_home(Settings(home=home)) as opened:
        found = sender(opened)
        for body in bodies:
            assert found.deliver(body) == 202
        coalesce(opened)
    return found


def test_a_webhook_is_registered_listed_rotated_and_deleted(home: Path, run: Run) -> None:
    made = json.loads(run("webhooks", "register", "clinic", *ENDPOINT, "--event", "PATIENT_UPDATED", "--json").output)
    assert made["events"] == ["PATIENT_UPDATED"] and made["receivePath"].startswith("/api/sync/webhooks/receive/")
    rotated = json.loads(run("webhooks", "rotate", made["id"][:8], "--json").output)
    assert rotated["secret"] != made["secret"] and rotated["previousSecretUntil"]
    for command in (["list"], ["list", "--json"], ["show", made["id"][:8]], ["show", made["id"], "--json"]):
        said = run("webhooks", *command).output
        assert made["id"][:8] in said
        assert not any(one in said for one in (made["secret"], rotated["secret"], made["receivePath"]))
    assert run("webhooks", "delete", made["id"][:8]).exit_code == 0
    assert json.loads(run("webhooks", "list", "--json").output) == []


def test_a_mistake_is_explained(home: Path, run: Run) -> None:
    refused = run("webhooks", "register", "nobody", *ENDPOINT, "--json")
    assert refused.exit_code == 1 and json.loads(refused.output)["error"]["code"] == "settings.connection_unknown"
    assert run("webhooks", "show", "ffff").exit_code == 1


def test_events_are_shown_without_their_content_and_with_it_for_who_asks(home: Path, run: Run) -> None:
    body = b'{"id": "u", "type": "unheard.of", "name": "MARKER"}'
    found = received(home, json.dumps(event(1)).encode(), body, b"<MARKER/>")
    listed = run("webhooks", "events")
    assert "IGNORED" in listed.output and "FAILED" in listed.output
    [dead] = json.loads(run("webhooks", "events", "--status", "FAILED", "--json").output)["items"]
    shown = run("webhooks", "event", dead["id"][:8])
    assert "webhook.unreadable" in shown.output and "received" in shown.output
    assert not any("MARKER" in one.output for one in (listed, shown, run("webhooks", "event", dead["id"], "--json")))
    assert run("webhooks", "event", dead["id"], "--body").output == "<MARKER/>"
    counted = json.loads(run("webhooks", "statistics", "--json").output)
    assert (counted["total"], counted["byStatus"]["FAILED"], counted["byStatus"]["IGNORED"]) == (3, 1, 1)
    assert run("webhooks", "statistics").exit_code == 0 and found.token not in listed.output


def test_events_are_processed_again_one_or_all_of_a_time(home: Path, run: Run) -> None:
    received(home, b"<one/>", b"<two/>")
    dead = json.loads(run("webhooks", "events", "--status", "FAILED", "--json").output)["items"]
    assert run("webhooks", "retry", dead[0]["id"]).exit_code == 0
    assert run("webhooks", "retry", dead[0]["id"]).exit_code == 1
    times = ("--since", "2026-03-01", "--until", "2026-03-02")
    assert json.loads(run("webhooks", "replay", "clinic", *times, "--json").output) == {"replayed": 1}
    statuses = {one["status"] for one in json.loads(run("webhooks", "events", "--json").output)["items"]}
    assert statuses == {"RECEIVED"}
