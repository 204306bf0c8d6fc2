"""Deliveries: what is kept before it is answered, what is refused, and what the inbox holds afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.webhooks.receiving import LARGEST_BODY, LATER, REFUSED, Answer, Receiver
from holovitals_pipelines.engine.webhooks.registration import (
    NewWebhook,
    delete_webhook,
    list_webhooks,
    register,
    rotate_secret,
)
from holovitals_pipelines.engine.webhooks.views import body_of, statistics
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.model.vocabulary import Provider, WebhookEvent
from holovitals_pipelines.store.tables import webhook_config, webhook_log
from tests.engine.webhooks.senders import AT, ENDPOINT, SECRET, Sender, event, hexadecimal, in_base64, sender

VECTORS = Path(__file__).parents[4] / "shared" / "data" / "webhook-vectors"


def answers(home: Home, *deliveries: tuple[str | None, bytes, dict[str, str]]) -> list[Answer]:
    async def all_at_once() -> list[Answer]:
        receiver = Receiver(home)
        return list(await asyncio.gather(*(receiver.receive(t, h, b, AT) for t, b, h in deliveries)))

    return asyncio.run(all_at_once())


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"x-webhook-signature": hexadecimal(secret, body)}


# what is kept


def test_a_delivery_is_kept_byte_for_byte_with_its_history(opened: Home, clinic: Sender) -> None:
    body = json.dumps(event(1), indent=3).encode() + b" \n"
    assert clinic.deliver(body) == 202
    kept = clinic.event("e1")
    assert (kept.status, kept.key_id, kept.times_received, kept.webhook_id) == (
        "RECEIVED", "current", 1, clinic.webhook_id,
    )  # fmt: skip
    assert body_of(opened, kept.log_id) == body
    assert [(line["kind"], line["status"]) for line in kept.history] == [("received", "RECEIVED")]


def test_a24_an_event_that_comes_again_is_answered_2xx_and_kept_once(opened: Home, clinic: Sender) -> None:
    assert [clinic.deliver(event(1)) for _ in range(3)] == [202, 202, 202]
    assert clinic.event("e1").times_received == 3
    assert statistics(opened)["total"] == 1 and statistics(opened)["repeated"] == 2


def test_a24_the_same_event_many_times_in_one_commit_is_one(opened: Home, clinic: Sender) -> None:
    body = json.dumps(event(1)).encode()
    assert {one.status for one in answers(opened, *[(clinic.token, body, signed(body))] * 20)} == {202}
    assert clinic.event("e1").times_received == 20 and clinic.statuses() == {"e1": "RECEIVED"}


def test_another_body_under_a_known_id_raises_the_alarm_and_is_kept_beside_it(opened: Home, clinic: Sender) -> None:
    clinic.deliver(event(1))
    assert clinic.deliver(event(1) | {"resourceId": "o2"}) == clinic.deliver(event(1) | {"resourceId": "o2"}) == 202
    first, other = sorted(clinic.statuses(), key=len)
    assert first == "e1" and other.startswith("e1~")
    assert clinic.event("e1").altered == 2 and clinic.event(other).times_received == 2
    assert b'"o1"' in body_of(opened, clinic.event("e1").log_id)
    assert b'"o2"' in body_of(opened, clinic.event(other).log_id)


@pytest.mark.parametrize("body", [b"\xff\xfe\x00not utf-8", b'{"id": "e1", "type"', b"plain words", b"[" * 2000, b"1"])
def test_what_is_vouched_for_and_cannot_be_read_is_kept_all_the_same(opened: Home, clinic: Sender, body: bytes) -> None:
    assert clinic.deliver(body) == 202
    [event_id] = clinic.statuses()
    assert body_of(opened, clinic.event(event_id).log_id) == body


def test_a_delivery_with_several_events_is_one_row_for_each(opened: Home, clinic: Sender) -> None:
    assert clinic.deliver(json.dumps([event(1), event(2)]).encode()) == 202
    assert clinic.deliver(json.dumps([event(2), event(3)]).encode()) == 202
    assert set(clinic.statuses()) == {"e1", "e2", "e3"}
    assert clinic.event("e2").times_received == 2 and clinic.event("e2").altered == 0


def test_two_deliveries_without_id_and_body_are_two_pieces_of_news(opened: Home, clinic: Sender) -> None:
    assert [clinic.deliver(b""), clinic.deliver(b"")] == [202, 202]
    assert len(clinic.statuses()) == 2


def test_ids_that_are_too_long_or_odd_are_known_by_their_hash(opened: Home, clinic: Sender) -> None:
    for odd in ("x" * 5000, "a\nb", "é"):
        assert clinic.deliver(event(1) | {"id": odd}) == 202
        assert clinic.deliver(event(1) | {"id": odd}) == 202
    assert len(clinic.statuses()) == 3


# what is refused


def test_whatever_is_wrong_the_refusal_is_the_same(opened: Home, clinic: Sender) -> None:
    body = json.dumps(event(1)).encode()
    gone = sender(opened)
    delete_webhook(opened, gone.webhook_id, "somebody")
    found = answers(
        opened,
        (clinic.token, body, signed(body, "wrong")),
        (clinic.token, body, {}),
        (clinic.token, body + b" ", signed(body)),
        ("no-such-token", body, signed(body)),
        ("\udcff", body, signed(body)),
        (gone.token, body, signed(body)),
        (None, body, signed(body)),
    )
    assert set(map(id, found)) == {id(REFUSED)} and REFUSED.status == 401
    assert clinic.statuses() == {}


def test_a_forged_delivery_among_good_ones_is_refused_alone(opened: Home, clinic: Sender) -> None:
    bodies = [json.dumps(event(number)).encode() for number in range(3)]
    found = answers(opened, *((clinic.token, b, signed(b, "x" if i == 1 else SECRET)) for i, b in enumerate(bodies)))
    assert [one.status for one in found] == [202, 401, 202]
    assert set(clinic.statuses()) == {"e0", "e2"}


def test_the_largest_body_is_taken_and_one_byte_more_is_not(opened: Home, clinic: Sender) -> None:
    assert clinic.deliver(b" " * LARGEST_BODY) == 202
    assert clinic.deliver(b" " * (LARGEST_BODY + 1)) == 413
    assert len(clinic.statuses()) == 1


def test_custom_headers_have_to_be_there_with_their_values(opened: Home) -> None:
    strict = sender(opened, custom_headers={"X-Client-Id": "abc"})
    assert [strict.deliver(event(1)), strict.deliver(event(1), **{"x-client-id": "abd"})] == [401, 401]
    assert strict.deliver(event(1), **{"x-client-id": "abc"}) == 202


def test_neither_secret_nor_body_nor_token_gets_into_the_log(
    opened: Home, clinic: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps(event(1) | {"patientId": "marker-4711"}).encode()
    answers(opened, (clinic.token, body, signed(body)), (clinic.token, body, signed(body, "wrong")))
    said = caplog.text
    assert "signature.mismatch" in said
    assert not any(one in said for one in ("marker-4711", SECRET, clinic.token, signed(body)["x-webhook-signature"]))


# addresses without a token


def test_a_delivery_to_the_plain_address_is_found_by_its_signature(opened: Home) -> None:
    plain = "https://holovitals.example/api/sync/webhooks/receive"
    first = register(opened, NewWebhook("clinic", plain, secret=SECRET), "somebody")
    second = register(opened, NewWebhook("ecw", plain, secret="another-secret-of-twenty-four"), "somebody")
    body = json.dumps(event(1)).encode()
    ours = {"x-server-signature": in_base64("another-secret-of-twenty-four", body)}
    assert [one.status for one in answers(opened, (None, body, signed(body)), (None, body, ours))] == [202, 202]
    with opened.database.read() as transaction:
        rows = transaction.execute(sa.select(webhook_log.c.source, webhook_log.c.webhook_id)).all()
    assert {tuple(row) for row in rows} == {
        ("clinic", first.webhook.webhook_id), ("ecw", second.webhook.webhook_id),
    }  # fmt: skip


def test_a_webhook_with_an_address_of_its_own_is_not_found_without_it(opened: Home, clinic: Sender) -> None:
    body = json.dumps(event(1)).encode()
    assert answers(opened, (None, body, signed(body))) == [REFUSED]


# registering


def test_the_request_of_the_vocabulary_is_taken_and_warned_of(opened: Home) -> None:
    new = NewWebhook(
        "clinic",
        "https://holovitals.example/api/sync/webhooks/receive",
        (WebhookEvent.PATIENT_UPDATED, WebhookEvent.OBSERVATION_CREATED),
        secret="your-webhook-secret",
        provider=Provider.FHIR,
    )
    registered = register(opened, new, "somebody")
    told = registered.as_json()
    assert (told["retryAttempts"], told["retryDelay"], told["timeout"]) == (3, 2000, 30000)
    assert (told["signatureHeader"], told["signatureAlgorithm"]) == ("x-webhook-signature", "sha256")
    assert told["events"] == ["PATIENT_UPDATED", "OBSERVATION_CREATED"]
    assert any("shorter than 24 bytes" in warning for warning in told["warnings"])
    assert "secret" not in told and "your-webhook-secret" not in json.dumps(told) + repr(registered)


def test_a_secret_that_was_left_out_is_made_and_shown_once(opened: Home) -> None:
    registered = register(opened, NewWebhook("clinic", ENDPOINT), "somebody")
    assert registered.secret is not None and len(registered.secret) >= 43 and registered.warnings == ()
    assert registered.secret not in json.dumps([one.as_json() for one in list_webhooks(opened)])
    assert registered.secret not in repr(registered)
    body = json.dumps(event(1)).encode()
    token = registered.receive_path.rsplit("/", 1)[1]
    assert [one.status for one in answers(opened, (token, body, signed(body, registered.secret)))] == [202]


def test_neither_secret_nor_token_is_in_the_store(opened: Home, clinic: Sender) -> None:
    strict = sender(opened, custom_headers={"X-Client-Id": "client-4711"})
    with opened.database.read() as transaction:
        held = repr(transaction.execute(sa.select(webhook_config)).all())
    assert not any(one in held for one in (SECRET, clinic.token, strict.token, "client-4711"))
    key_file = opened.settings.resolved_secret_key_file
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_after_a_rotation_both_secrets_count_and_later_only_the_new_one(opened: Home, clinic: Sender) -> None:
    rotated = rotate_secret(opened, clinic.webhook_id, "somebody", now=AT, overlap=timedelta(hours=1))
    assert rotated.secret is not None
    body = json.dumps(event(1)).encode()

    def status(secret: str, **later: float) -> int:
        at = AT + timedelta(**later)
        return asyncio.run(Receiver(opened).receive(clinic.token, signed(body, secret), body, at)).status

    assert [status(SECRET), status(rotated.secret)] == [202, 202]
    assert clinic.event("e1").key_id == "previous"
    assert [status(SECRET, hours=1), status(rotated.secret, hours=1)] == [401, 202]


@pytest.mark.parametrize(
    "unfit",
    [
        {"endpoint": "ftp://x/y"},
        {"endpoint": "https://user:secret@x/y"},
        {"secret": " "},
        {"retry_attempts": -1},
        {"timeout_ms": 1},
        {"custom_headers": {"bad header": "x"}},
        {"provider": Provider.EPIC},
        {"connection": "nobody"},
    ],
)
def test_a_webhook_that_does_not_fit_is_refused(opened: Home, unfit: dict[str, object]) -> None:
    given: dict[str, object] = {"connection": "clinic", "endpoint": ENDPOINT} | unfit
    with pytest.raises(ConfigurationError):
        register(opened, NewWebhook(**given), "somebody")  # type: ignore[arg-type]
    assert list_webhooks(opened) == []


def test_with_a_lost_key_senders_are_told_to_come_again_and_we_are_told_why(opened: Home, clinic: Sender) -> None:
    key_file = opened.settings.resolved_secret_key_file
    key = key_file.read_bytes()
    key_file.unlink()
    assert clinic.deliver(event(1)) == LATER.status == 503
    with pytest.raises(StoreError) as refused:
        register(opened, NewWebhook("clinic", ENDPOINT), "somebody")
    assert refused.value.code == "secret.key_lost"
    key_file.write_bytes(key)
    assert clinic.deliver(event(1)) == 202


# vendors


def test_athenahealths_example_is_kept_under_the_id_of_its_audit_event(opened: Home) -> None:
    if not VECTORS.is_dir():
        pytest.skip(f"the reference data is not there: {VECTORS}")
    [vector] = json.loads((VECTORS / "athenahealth.json").read_bytes())
    registered = register(opened, NewWebhook("athena", ENDPOINT, secret=vector["secret"]), "somebody")
    body = (VECTORS / vector["body_file"]).read_bytes()
    token = registered.receive_path.rsplit("/", 1)[1]
    assert [one.status for one in answers(opened, (token, body, {"x-hub-signature": vector["value"]}))] == [202]
    found = Sender(opened, token, registered.webhook.webhook_id).event("ead73c9e-ab6e-4db5-9b73-1f73cb243682")
    assert body_of(opened, found.log_id) == body
