"""Each fault does what it says at each vendor where it applies; where it does not, the table says so with a reason.

Faults of messages (MLLP) are knobs of the dialect and not requests that go wrong: they have a table of their own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from holovitals_pipelines.sandbox.dialects import dialect_names
from holovitals_pipelines.sandbox.dialects.meditech import MeditechSettings
from holovitals_pipelines.sandbox.faults import FaultKind
from sandbox.clients import CLIENTS, Client, client_of
from sandbox.loopback import Loopback, serving
from sandbox.mllp_ends import Receiver, Site, adt

NO_PAGES = "Unity answers a list whole"
NO_TOKENS = "open in this test; its tokens are the SMART service's, tested with the keys below"
NO_EXPORT = "the vendor has no Bulk Data here"
NOT_HERE: Mapping[tuple[str, FaultKind], str] = {
    ("allscripts", FaultKind.REPEAT_ROWS): NO_PAGES,
    ("athenahealth", FaultKind.EXPIRE_SESSIONS): "pages are offsets, and there is no session beside the token",
    **{(name, FaultKind.REVOKE_TOKENS): NO_TOKENS for name in ("eclinicalworks", "fhir", "epic")},
    **{
        (name, kind): reason
        for name in ("allscripts", "athenahealth", "nextgen")
        for kind, reason in (
            (FaultKind.PARTIAL_BULK, NO_EXPORT),
            (FaultKind.ROTATE_KEYS, "its clients have a secret, not keys: turn the knob that holds it"),
        )
    },
}
"""What a fault cannot do at a vendor."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Loopback]:
    with serving(dialects=sorted(CLIENTS), patients=10) as running:
        yield running


@pytest.fixture
def client(sandbox: Loopback, dialect: str) -> Iterator[Client]:
    sandbox.admin("DELETE", "faults")
    yield client_of(sandbox, dialect)
    sandbox.admin("DELETE", "faults")


def test_every_dialect_has_a_client_in_this_table() -> None:
    assert set(dialect_names()) == set(CLIENTS)


def status(client: Client) -> None:
    client.fault("status", status=502)
    assert (client.listed().status_code, client.listed().status_code) == (502, 200)


def throttle(client: Client) -> None:
    client.fault("throttle", retry_after="7")
    answer = client.listed()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def latency(client: Client) -> None:
    client.fault("latency", seconds=0.05)
    started = time.perf_counter()
    assert client.rows(client.listed()) and time.perf_counter() - started >= 0.05


def drop(client: Client) -> None:
    before = client.version()
    client.fault("drop", write=True)
    with pytest.raises(httpx.TransportError):
        client.write()
    assert client.version() == before


def drop_after_commit(client: Client) -> None:
    before = client.version()
    client.fault("drop_after_commit", write=True)
    with pytest.raises(httpx.TransportError):
        client.write()
    assert client.version() == before + 1


def status_after_commit(client: Client) -> None:
    before = client.version()
    client.fault("status_after_commit", write=True)
    assert client.write().status_code == 500
    assert client.version() == before + 1


def edit_before_write(client: Client) -> None:
    before = client.version()
    client.fault("edit_before_write", write=True)
    answer = client.write()
    if client.names_versions:
        assert (answer.status_code, client.version()) == (409, before + 1), "somebody's edit, and ours is refused"
    else:
        assert client.version() == before + 2, "somebody's edit, and ours"


def cut(client: Client) -> None:
    client.fault("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        client.listed()


def truncated(client: Client) -> None:
    client.fault("truncated")
    with pytest.raises(ValueError):
        client.listed().json()


def html(client: Client) -> None:
    client.fault("html")
    answer = client.listed()
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")


def invalid_utf8(client: Client) -> None:
    client.fault("invalid_utf8")
    with pytest.raises(UnicodeDecodeError):
        client.listed().content.decode()


def odd_row(kind: str, **options: Any) -> Callable[[Client], None]:
    def check(client: Client) -> None:
        whole = client.rows(client.listed())
        client.fault(kind, **options)
        odd = client.rows(client.listed())
        assert [*odd[: len(whole)], len(odd)] == [*whole, len(whole) + 1], "one more, and the others as they were"

    return check


def schema_drift(client: Client) -> None:
    whole = client.rows(client.listed())
    client.fault("schema_drift")
    odd = client.rows(client.listed())
    assert "zzSandboxDrift" in str(odd[0]) and odd[1:] == whole[1:]


def expire_sessions(client: Client) -> None:
    before = client.second_page()
    assert client.rows(before)
    client.fault("expire_sessions", skip=client.requests_before_second_page)
    assert not client.answers(client.second_page())


def revoke_tokens(client: Client) -> None:
    client.fault("revoke_tokens")
    assert not client.answers(client.listed())


def repeat_rows(client: Client) -> None:
    first, second = client.rows(client.listed()), client.rows(client.second_page())
    client.fault("repeat_rows", skip=client.requests_before_second_page)
    assert client.rows(client.second_page()) == [first[-1], *second]


def edit_page(client: Client) -> None:
    whole = client.rows(client.edited())
    client.fault("edit_page", edit="delete")
    assert len(client.rows(client.edited())) == len(whole) - 1


def merge_patients(client: Client) -> None:
    retired, survivor = client.sandbox.ids(client.dialect)[-2:]
    assert client.shows(retired)
    client.fault("merge_patients", retired=retired, survivor=survivor)
    assert not client.shows(retired)


def clock_skew(client: Client) -> None:
    plain = client.listed().headers["date"]
    client.fault("clock_skew", seconds=86_400)
    assert client.listed().headers["date"] != plain
    assert client.listed().headers["date"][:16] == plain[:16]


def partial_bulk(client: Client) -> None:
    whole = client.exported()
    client.fault("partial_bulk", path=client.polls, skip=1)  # the first poll is told to wait
    partial = client.exported()
    assert len(partial["output"]) == len(whole["output"]) - 1
    [errors] = partial["error"]
    assert client.file(errors["url"]).json()["resourceType"] == "OperationOutcome"


CHECKS: Mapping[FaultKind, Callable[[Client], None]] = {
    FaultKind.LATENCY: latency,
    FaultKind.STATUS: status,
    FaultKind.THROTTLE: throttle,
    FaultKind.DROP: drop,
    FaultKind.DROP_AFTER_COMMIT: drop_after_commit,
    FaultKind.STATUS_AFTER_COMMIT: status_after_commit,
    FaultKind.CUT: cut,
    FaultKind.TRUNCATED: truncated,
    FaultKind.HTML: html,
    FaultKind.INVALID_UTF8: invalid_utf8,
    FaultKind.WRONG_TYPE: odd_row("wrong_type"),
    FaultKind.DUPLICATE_IDS: odd_row("duplicate_ids"),
    FaultKind.LONG_LINE: odd_row("long_line", bytes=5000),
    FaultKind.EXPIRE_SESSIONS: expire_sessions,
    FaultKind.REVOKE_TOKENS: revoke_tokens,
    FaultKind.REPEAT_ROWS: repeat_rows,
    FaultKind.EDIT_PAGE: edit_page,
    FaultKind.EDIT_BEFORE_WRITE: edit_before_write,
    FaultKind.MERGE_PATIENTS: merge_patients,
    FaultKind.CLOCK_SKEW: clock_skew,
    FaultKind.PARTIAL_BULK: partial_bulk,
    FaultKind.SCHEMA_DRIFT: schema_drift,
}
KEYS = FaultKind.ROTATE_KEYS
"""Tested with the SMART token service itself (`test_smart_backend`)."""


def test_every_fault_is_checked() -> None:
    assert set(CHECKS) | {KEYS} == set(FaultKind)


@pytest.mark.parametrize(
    ("dialect", "kind"), [(name, kind) for name in sorted(CLIENTS) for kind in CHECKS if (name, kind) not in NOT_HERE]
)
def test_the_fault_does_what_it_says(client: Client, kind: FaultKind) -> None:
    CHECKS[kind](client)


@pytest.mark.parametrize("dialect", ["allscripts"])
def test_a_fault_can_name_the_action_that_a_body_asks_for(client: Client) -> None:
    client.fault("status", path="*/GetPatient")
    assert client.listed().status_code == 200
    assert not client.shows(client.sandbox.ids("allscripts")[0])
    assert orjson.loads(client.listed().content)


# messages: what goes wrong on a line


@pytest.fixture
def site(sandbox: Loopback) -> Iterator[Site]:
    site = Site(sandbox)
    site.turn(resend_seconds=0.05, reconnect_seconds=0.01)
    yield site
    sandbox.admin("POST", "meditech/feed", json={})
    sandbox.sites["meditech"].turn({name: getattr(MeditechSettings(), name) for name in MLLP})


def news(site: Site, code: str | None = "AA") -> list[bytes]:
    """What a receiver gets who is told two edits, and who answers the first of them so."""
    receiver = Receiver(lambda message, number: code if number == 1 else "AA")
    site.feed(receiver)
    for gender in ("male", "other"):
        site.edit("Patient", site.sandbox.ids("meditech")[0], gender=gender)
    site.sent_all()
    return receiver.frames


def say(site: Site, control: str, gender: str, patience: float = 5.0) -> tuple[str, str]:
    """(what an update that is sent is answered, what the vendor holds after it); no answer is empty."""
    patient = site.held("Patient", site.sandbox.ids("meditech")[0])
    address = urlsplit(site.sandbox.admin("GET", "health")["base_urls"]["meditech"])
    with socket.create_connection((address.hostname, address.port), timeout=patience) as line:
        line.sendall(b"\x0b" + adt(patient, control=control, f8=gender[0].upper()) + b"\x1c\r")
        try:
            answered = line.recv(65_536).partition(b"MSA|")[2][:2].decode()
        except TimeoutError:
            answered = ""
    return answered, site.held("Patient", patient["id"])["gender"]


def duplicates(site: Site) -> None:
    site.turn(duplicates=1)
    first, again, second = news(site)
    assert first == again != second


def lost_acks(site: Site) -> None:
    site.turn(lost_acks=1)
    first, again, second = news(site)
    assert first == again != second


def resend_seconds(site: Site) -> None:
    first, again, second = news(site, code=None)
    assert first == again != second, "what nobody answered comes again, and holds up what is behind it"


def attempts_on_error(site: Site) -> None:
    site.turn(attempts_on_error=1)
    assert len(news(site, code="AE")) == 2, "left behind after so many"


def piece_bytes(site: Site) -> None:
    site.turn(piece_bytes=7)
    assert [frame[:4] for frame in news(site)] == [b"MSH|"] * 2, "put together again"


def refuse(site: Site) -> None:
    _, before = say(site, "r-1", "female")
    site.turn(refuse="AR", refuse_error="203", refuse_times=1)
    assert say(site, "r-2", "male") == ("AR", before)
    assert say(site, "r-3", "male") == ("AA", "male")


def silent(site: Site) -> None:
    site.turn(silent=1)
    assert say(site, "s-1", "female", patience=0.1) == ("", "female"), "taken and not answered"
    assert say(site, "s-2", "male") == ("AA", "male")


def late_seconds(site: Site) -> None:
    site.turn(late_seconds=0.1)
    started = time.perf_counter()
    assert say(site, "l-1", "female") == ("AA", "female") and time.perf_counter() - started >= 0.1


MLLP: Mapping[str, Callable[[Site], None]] = {
    "duplicates": duplicates,
    "lost_acks": lost_acks,
    "resend_seconds": resend_seconds,
    "attempts_on_error": attempts_on_error,
    "piece_bytes": piece_bytes,
    "refuse": refuse,
    "refuse_error": refuse,
    "refuse_times": refuse,
    "silent": silent,
    "late_seconds": late_seconds,
}
NO_FAULTS_OF_MESSAGES = {
    "port", "zone", "orders", "reconnect_seconds", "client_id", "client_secret", "entitled", "requires_token",
    "token_seconds",
}  # fmt: skip
"""What else the dialect's knobs are for: the site's own ways, and FHIR's tokens."""


def test_every_fault_of_messages_is_checked() -> None:
    assert set(MLLP) | NO_FAULTS_OF_MESSAGES == {knob.name for knob in fields(MeditechSettings)}


@pytest.mark.parametrize("knob", sorted(set(MLLP) - {"refuse_error", "refuse_times"}))
def test_the_fault_of_messages_does_what_it_says(site: Site, knob: str) -> None:
    MLLP[knob](site)
