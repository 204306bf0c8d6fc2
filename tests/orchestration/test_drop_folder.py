"""The drop folder: files of receivers outside of ours, each taken once, none lost, none taken unsigned by default."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine import drop_folder
from holovitals_pipelines.engine.drop_folder import Dropped, take_dropped
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.retention import remove_what_is_old
from holovitals_pipelines.engine.webhooks.registration import NewWebhook, register
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import JobType, Provider
from holovitals_pipelines.orchestration.resources import HomeResource
from holovitals_pipelines.providers.webhooks.signatures import Scheme
from holovitals_pipelines.settings import Settings, load_connections, save_connections
from holovitals_pipelines.store.jobs import list_jobs
from holovitals_pipelines.store.tables import webhook_log

SECRET = "a-secret-that-nobody-else-knows-0001"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    settings.root.mkdir()
    clinic = ConnectionConfig(name="clinic", provider=Provider.FHIR, base_url="http://127.0.0.1:9/fhir")
    save_connections(settings.resolved_connections_file, [clinic])
    return settings


def token_of(home: Home) -> str:
    new = NewWebhook("clinic", "https://here/receive", secret=SECRET, scheme=Scheme.WEBHOOK_SIGNATURE)
    return register(home, new, "dr").receive_path.rsplit("/", 1)[-1]


def envelope(token: str, event_id: str = "e1", secret: str = SECRET) -> str:
    raw = json.dumps({"id": event_id, "type": "PATIENT_UPDATED", "resourceId": "p1"})
    signature = hmac.new(secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
    return json.dumps({"token": token, "headers": {"X-Webhook-Signature": signature}, "body": raw})


def put_down(settings: Settings, name: str, content: str, connection: str = "clinic", *, old: bool = False) -> Path:
    file = settings.root / "drop" / connection / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    if old:
        os.utime(file, (1_700_000_000, 1_700_000_000))
    return file


def left(settings: Settings) -> dict[str, int]:
    """Files by where they lie now."""
    root = settings.root / "drop"
    found = [file.relative_to(root).parts[0] for file in root.rglob("*") if file.is_file()]
    return {name: found.count(name) for name in found}


def events(home: Home) -> int:
    with home.database.read() as transaction:
        return transaction.execute(sa.select(sa.func.count()).select_from(webhook_log)).scalar_one()


def test_a_signed_file_goes_into_the_inbox_and_is_done(settings: Settings) -> None:
    with open_home(settings) as home:
        put_down(settings, "1.json", envelope(token_of(home)))
        assert take_dropped(home) == Dropped(taken=1)
        assert events(home) == 1
        assert take_dropped(home) == Dropped()
    assert left(settings) == {"done": 1}


def test_a_crash_between_commit_and_move_repeats_nothing_and_loses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_home(settings) as home:
        token = token_of(home)
        for number in range(3):
            put_down(settings, f"{number}.json", envelope(token, f"e{number}"))

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(drop_folder, "_put_away", killed)
            take_dropped(home)
        assert (events(home), left(settings)) == (3, {"clinic": 3})
        assert take_dropped(home) == Dropped(taken=3)
        assert (events(home), left(settings)) == (3, {"done": 3})


def test_a_file_that_is_not_stored_stays_where_it_is(settings: Settings) -> None:
    with open_home(settings) as home:
        put_down(settings, "1.json", envelope(token_of(home)))
        home.database.close()
        hidden = settings.root / "operational.sqlite"
        hidden.rename(hidden.with_suffix(".away"))
        with pytest.raises(Exception, match="no such file"):
            take_dropped(home)
        hidden.with_suffix(".away").rename(hidden)
        assert left(settings) == {"clinic": 1}
        assert take_dropped(home) == Dropped(taken=1)


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("forged.json", envelope("no-such-token"), "clinic"),
        ("unsigned.json", json.dumps({"type": "PATIENT_UPDATED", "resourceId": "p1"}), "clinic"),
        ("broken.json", '{"token": "x", "head', "clinic"),
        ("list.json", "[]", "clinic"),
        ("elsewhere.json", json.dumps({"type": "PATIENT_UPDATED", "resourceId": "p1"}), "nowhere"),
    ],
)
def test_what_cannot_be_used_is_kept_as_refused(settings: Settings, name: str, content: str, where: str) -> None:
    with open_home(settings) as home:
        put_down(settings, name, content, where, old=True)
        assert take_dropped(home) == Dropped(refused=1)
        assert events(home) == 0
    [kept] = (settings.root / "drop" / "refused" / where).iterdir()
    assert kept.read_text() == content


def test_a_file_that_is_still_written_is_waited_for(settings: Settings) -> None:
    with open_home(settings) as home:
        whole = envelope(token_of(home))
        put_down(settings, "1.json", whole[:40])
        put_down(settings, "2.json.part", whole)
        assert take_dropped(home) == Dropped(waiting=1)
        put_down(settings, "1.json", whole)
        assert take_dropped(home) == Dropped(taken=1)


def test_unsigned_hints_are_one_job_where_the_connection_takes_them(settings: Settings) -> None:
    declared = load_connections(settings.resolved_connections_file)
    trusting = [connection.model_copy(update={"unsigned_hints": True}) for connection in declared]
    save_connections(settings.resolved_connections_file, trusting)
    with open_home(settings) as home:
        for number, patient in enumerate(("p1", "p1", "p2")):
            put_down(settings, f"{number}.json", json.dumps({"type": "PATIENT_UPDATED", "resourceId": patient}))
        assert take_dropped(home) == Dropped(taken=3)
        with home.database.read() as transaction:
            [job] = list_jobs(transaction)
    assert job.type is JobType.WEBHOOK_SYNC
    assert sorted(job.request["ids"]) == [["Patient", "p1"], ["Patient", "p2"]]


def test_the_sensor_takes_them(
    settings: Settings, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_home(settings) as home:
        put_down(settings, "1.json", envelope(token_of(home)))
    monkeypatch.setenv("HOLOVITALS_HOME", str(settings.root))
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance, definitions=definitions, resources={"home": HomeResource()}
        )
        said = definitions.resolve_sensor_def("drop_folder").evaluate_tick(context)
    assert said.skip_message == "1 files taken, 0 refused, 0 left"


def test_files_that_were_taken_long_ago_are_removed_and_refused_ones_stay(settings: Settings) -> None:
    with open_home(settings) as home:
        token = token_of(home)
        put_down(settings, "a.json", envelope(token, "e-old"), old=True)
        put_down(settings, "b.json", envelope(token, "e-new"))
        put_down(settings, "c.json", envelope(token, "e-forged", secret="x" * 32), old=True)
        take_dropped(home)
        assert remove_what_is_old(home).dropped == 1
    lying = sorted(path.name.partition(".")[0] for path in (settings.root / "drop").rglob("*.json"))
    assert lying == ["b", "c"]
