"""Connections over HTTP: written into the file and nothing else of it touched; secrets named, and sent nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from holovitals_pipelines.engine.connection_files import put_connection
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import load_connections
from tests.api.service import CLINIC, Service, is_problem, served

BY_HAND = """\
# the clinics of this site
connections:
  # asked for by Dr. Doe
  - name: clinic   # the first
    provider: fhir
    base_url: http://127.0.0.1:9/fhir
    auth: {kind: client_secret, client_id: us, client_secret: {env: CLINIC_SECRET}}

  - name: ward
    provider: fhir
    base_url: http://127.0.0.1:9/ward
    # until the migration is done
    enabled: false
# the end
"""


@pytest.fixture
def hand_written(tmp_path: Path, sqlite_template: Path) -> Iterator[Service]:
    shutil.copyfile(sqlite_template, tmp_path / "operational.sqlite")
    with served(tmp_path, CLINIC) as service:
        (tmp_path / "connections.yaml").write_text(BY_HAND, encoding="utf-8")
        yield service


def declared(**more: Any) -> dict[str, Any]:
    return {"provider": "fhir", "base_url": "https://ehr.example.org/fhir", **more}


def test_a_connection_is_declared_changed_and_seen_at_once_and_the_file_keeps_its_words(hand_written: Service) -> None:
    api, path = hand_written, hand_written.home.settings.resolved_connections_file
    assert [one["name"] for one in api.get("/api/connections")["items"]] == ["clinic", "ward"], "followed"
    new = {"name": "lab", "declared": declared(resource_types=["Patient"])}
    made = api.call("POST", "/api/connections", "operator", json=new)
    assert made.status_code == 201 and made.headers["location"] == "/api/connections/lab", made.text
    is_problem(api.call("POST", "/api/connections", "operator", json=new), 409, "connection.exists")
    changed = {"declared": declared(resource_types=["Patient", "Observation"], enabled=False)}
    is_problem(api.call("PUT", "/api/connections/lab", "operator", json=changed), 428, "api.precondition_needed")
    seen = {"If-Match": made.headers["etag"]}
    after = api.call("PUT", "/api/connections/lab", "operator", json=changed, headers=seen)
    assert after.status_code == 200 and after.json()["enabled"] is False, after.text
    again = api.call("PUT", "/api/connections/lab", "operator", json=changed, headers=seen)
    is_problem(again, 412, "connection.changed")
    text = path.read_text(encoding="utf-8")
    for line in BY_HAND.splitlines():
        assert line in text, line
    assert {one.name for one in load_connections(path)} == {"clinic", "ward", "lab"}
    job = api.call("POST", "/api/sync/jobs", "operator", json={"type": "FULL_SYNC", "ehrConnectionId": "lab"})
    assert job.status_code in (201, 422), job.text
    told = api.get("/api/audit?connection=lab", "auditor")["items"]
    assert [(one["action"], one["actor"]) for one in told] == [
        ("connection_change", "a-operator"),
        ("connection_add", "a-operator"),
    ]


def test_a_secret_is_named_and_cannot_be_sent_to_another_host(hand_written: Service) -> None:
    api = hand_written
    shown = api.call("GET", "/api/connections/clinic")
    entry = shown.json()["declared"]
    assert entry["auth"]["client_secret"] == {"env": "CLINIC_SECRET"}
    entry.pop("name")
    headers = {"If-Match": shown.headers["etag"]}
    elsewhere = {"declared": {**entry, "base_url": "https://evil.example/fhir"}}
    refused = api.call("PUT", "/api/connections/clinic", "operator", json=elsewhere, headers=headers)
    is_problem(refused, 422, "connection.secret_elsewhere")
    same_host = {"declared": {**entry, "base_url": "http://127.0.0.1:9/fhir/r4"}}
    assert api.call("PUT", "/api/connections/clinic", "operator", json=same_host, headers=headers).status_code == 200
    for secret in ({"env": "HOME"}, {"file": "/etc/passwd"}, {"file": "secrets/../../x"}):
        auth = {"kind": "client_secret", "client_id": "us", "client_secret": secret}
        stolen = {"name": "thief", "declared": declared(auth=auth)}
        is_problem(api.call("POST", "/api/connections", "operator", json=stolen), 422, "connection.secret_elsewhere")
    auth = {"kind": "client_secret", "client_id": "us", "client_secret": {"env": "HOLOVITALS_SECRET_LAB"}}
    good = {"name": "lab", "declared": declared(auth=auth)}
    assert api.call("POST", "/api/connections", "operator", json=good).status_code == 201
    thief = {"name": "thief", "declared": {**declared(auth=auth), "base_url": "https://evil.example/fhir"}}
    is_problem(api.call("POST", "/api/connections", "operator", json=thief), 422, "connection.secret_elsewhere")


def test_of_two_changes_of_what_was_seen_once_one_is_refused(hand_written: Service) -> None:
    api = hand_written
    tag = {"If-Match": api.call("GET", "/api/connections/ward").headers["etag"]}

    def change(number: int) -> int:
        body = {"declared": declared(resource_types=["Patient"], base_url=f"http://127.0.0.1:9/{number}")}
        return api.call("PUT", "/api/connections/ward", "operator", json=body, headers=tag).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200] + [412] * 7


def test_a_connection_is_tried_and_a_vendor_that_does_not_answer_is_told(hand_written: Service) -> None:
    new = {"name": "far", "declared": {"provider": "fhir", "base_url": "http://127.0.0.1:9/fhir",
                                       "read": {"max_retries": 0}}}  # fmt: skip
    assert hand_written.call("POST", "/api/connections", "operator", json=new).status_code == 201
    answer = hand_written.call("POST", "/api/connections/far/test", "operator")
    assert answer.status_code in (502, 503) and answer.json()["remedy"], answer.text


def test_a_file_that_cannot_be_read_leaves_what_was_known_and_readiness_tells(hand_written: Service) -> None:
    path = hand_written.home.settings.resolved_connections_file
    assert len(hand_written.get("/api/connections")["items"]) == 2
    path.write_text("connections: [", encoding="utf-8")
    assert len(hand_written.get("/api/connections")["items"]) == 2
    answer = hand_written.call("GET", "/readyz", None)
    assert answer.status_code == 503 and "connections" in [c["name"] for c in answer.json()["checks"] if not c["ok"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "connections: []\n",
        "connections: [] # none\n",
        '{"connections": []}',
        "connections:\n- {name: a, provider: fhir, base_url: http://x/}",
        "connections:\n- name: a\n  provider: fhir\n  base_url: http://x/",
        "connections:\n    - name: clinic\n      provider: fhir\n      base_url: |-\n        http://x/\n\n"
        "    - name: b\n      provider: fhir\n      base_url: http://y/\n",
        BY_HAND,
    ],
)
def test_an_entry_is_written_into_whatever_the_file_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "connections.yaml"
    path.write_text(text, encoding="utf-8")
    before = {one.name: one for one in load_connections(path)}
    for url in ("http://new.example/", "http://newer.example/"):
        entry = ConnectionConfig(name="clinic", provider="fhir", base_url=url)
        put_connection(path, entry)
        assert {one.name: one for one in load_connections(path)} == before | {"clinic": entry}
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_file_whose_entries_hang_together_is_left_to_its_author(tmp_path: Path) -> None:
    path = tmp_path / "connections.yaml"
    text = (
        "connections:\n- name: a\n  provider: fhir\n  base_url: &url http://x/\n"
        "- name: b\n  provider: fhir\n  base_url: *url\n"
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises((ConfigurationError, yaml.YAMLError)):
        put_connection(path, ConnectionConfig(name="a", provider="fhir", base_url="http://y/"))
    assert path.read_text(encoding="utf-8") == text
