"""The link on which our messages are sent, against a vendor that answers by script."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.model.errors import (
    ConfigurationError,
    DuplicateError,
    HoloVitalsError,
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
)
from holovitals_pipelines.providers.hl7v2.framing import framed
from holovitals_pipelines.providers.hl7v2.listener import Listener
from holovitals_pipelines.providers.hl7v2.sender import Acknowledged, Sender
from providers.loopback import FastClock

from .wires import Client, Keeper, Vendor, message, on_one_port, vendor

Script = Callable[[Vendor, int, Client], Awaitable[None]]
BOTH = "|||AL|AL"


async def accepts(at: Vendor, number: int, end: Client) -> None:
    await end.send(at.says("AA"))


def sent(
    script: Script,
    *messages: bytes,
    seconds: float = 5.0,
    repeated: bool = False,
    clock: FastClock | None = None,
) -> tuple[Sequence[Acknowledged | HoloVitalsError], Vendor, Sender]:
    """What each of the messages, sent one after the other, came to."""

    async def story() -> tuple[Sequence[Acknowledged | HoloVitalsError], Vendor, Sender]:
        outcomes: list[Acknowledged | HoloVitalsError] = []
        settings = Hl7v2Settings(ack_timeout_seconds=seconds)
        used = (clock or FastClock()).as_clock()
        async with vendor(script) as at, Sender("127.0.0.1", at.port, settings, clock=used) as sender:
            for one in messages:
                try:
                    outcomes.append(await sender.send(one, repeated=repeated))
                except HoloVitalsError as error:
                    outcomes.append(error)
        return outcomes, at, sender

    return asyncio.run(story())


def refused(error: str | None, *, code: str = "AE", words: str = "", repeated: bool = False) -> tuple[object, int]:
    """What a vendor that always refuses in this way makes of a message, and how often it was sent."""

    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(at.says(code, error=error, words=words))

    (outcome,), at, _ = sent(script, message(1), repeated=repeated)
    return outcome, len(at.got)


def test_messages_go_in_order_over_one_connection_each_with_its_own_answer() -> None:
    outcomes, at, _ = sent(accepts, message(1), message(2), message(3))
    assert outcomes == [Acknowledged("AA", "1"), Acknowledged("AA", "2"), Acknowledged("AA", "3")]
    assert at.got == [message(1), message(2), message(3)]
    assert at.connections == 1


def test_only_one_message_is_in_flight_however_many_ask() -> None:
    async def story() -> None:
        waiting = 0

        async def script(at: Vendor, number: int, end: Client) -> None:
            nonlocal waiting
            waiting += 1
            assert waiting == 1
            await asyncio.sleep(0.002)
            waiting -= 1
            await end.send(at.says("AA"))

        async with vendor(script) as at, Sender("127.0.0.1", at.port, Hl7v2Settings()) as sender:
            await asyncio.gather(*(sender.send(message(number)) for number in range(8)))
        assert at.got == [message(number) for number in range(8)]

    asyncio.run(story())


@pytest.mark.parametrize("code", ["206", "207"])
def test_a_locked_record_and_an_internal_error_are_tried_again(code: str) -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(at.says("AE", error=code) if number < 3 else at.says("AA"))

    clock = FastClock()
    outcomes, at, _ = sent(script, message(1), clock=clock)
    assert outcomes == [Acknowledged("AA", "1", attempts=3)]
    assert at.got == [message(1)] * 3
    assert clock.slept == [0.5, 1.0]


@pytest.mark.parametrize(
    ("error", "code", "kind", "told", "times"),
    [
        ("206", "AE", TransientError, "hl7.locked", 5),
        ("207", "AR", TransientError, "hl7.internal", 5),
        ("207", "CE", TransientError, "hl7.internal", 5),
        ("100", "AE", PermanentError, "hl7.refused", 1),
        ("101", "AR", PermanentError, "hl7.refused", 1),
        ("103", "CR", PermanentError, "hl7.refused", 1),
        ("200", "AR", NotPermittedError, "hl7.unsupported", 1),
        ("201", "AE", NotPermittedError, "hl7.unsupported", 1),
        ("202", "AR", ConfigurationError, "hl7.processing_id", 1),
        ("203", "AR", ConfigurationError, "hl7.version", 1),
        ("204", "AE", NotFoundError, "hl7.unknown_key", 1),
        ("205", "AE", DuplicateError, "hl7.duplicate", 1),
        (None, "AE", PermanentError, "hl7.refused", 3),
        (None, "AR", PermanentError, "hl7.refused", 1),
        ("Z99", "CE", PermanentError, "hl7.refused", 3),
    ],
)
def test_a_refusal_is_the_error_its_code_stands_for(
    error: str | None, code: str, kind: type[HoloVitalsError], told: str, times: int
) -> None:
    outcome, tried = refused(error, code=code)
    assert type(outcome) is kind and isinstance(outcome, HoloVitalsError)
    assert (outcome.code, tried) == (told, times)
    assert not isinstance(outcome, OutcomeUnknownError)
    assert getattr(outcome, "vendor_code", error) == (error if error != "Z99" else None)


@pytest.mark.parametrize(
    ("error", "action"),
    [("103", "fix data"), ("200", "not permitted"), ("205", "duplicate"), ("206", "wait"), ("207", "retry")],
)
def test_the_remedy_begins_with_what_is_to_be_done(error: str, action: str) -> None:
    outcome, _ = refused(error)
    assert isinstance(outcome, HoloVitalsError) and outcome.remedy.startswith(f"[{action}] ")


def test_a_refusal_keeps_the_vendors_words_but_no_values() -> None:
    outcome, _ = refused("103", words="Table value 'ALPHA' (M417) not found for field PID-8, Smith")
    assert "AE 103, table value not found at PID-8" in str(outcome)
    assert "Table value … not found for field PID-8 …" in str(outcome)
    assert not any(value in str(outcome) for value in ("ALPHA", "417", "Smith"))


def test_a_duplicate_is_success_only_where_it_was_sent_before() -> None:
    assert refused("205", repeated=True)[0] == Acknowledged("AE", "1", already_applied=True)

    async def locked_then_known(at: Vendor, number: int, end: Client) -> None:
        await end.send(at.says("AE", error="207" if number == 1 else "205"))

    assert sent(locked_then_known, message(1))[0] == [Acknowledged("AE", "1", attempts=2, already_applied=True)]


def test_silence_means_that_the_outcome_is_unknown_and_the_next_message_has_a_new_connection() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        if number > 1:
            await end.send(at.says("AA"))

    (first, second), at, _ = sent(script, message(1), message(2), seconds=0.5)
    assert isinstance(first, OutcomeUnknownError) and first.code == "write.outcome_unknown"
    assert second == Acknowledged("AA", "2")
    assert (at.got, at.connections) == ([message(1), message(2)], 2)


def test_a_connection_closed_before_the_answer_leaves_the_outcome_unknown() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        end.writer.close()

    (outcome,), at, _ = sent(script, message(1))
    assert isinstance(outcome, OutcomeUnknownError) and at.got == [message(1)]


def test_a_connection_the_vendor_closed_in_between_is_made_again() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(at.says("AA"))
        end.writer.close()

    async def story() -> None:
        async with vendor(script) as at, Sender("127.0.0.1", at.port, Hl7v2Settings()) as sender:
            await sender.send(message(1))
            await asyncio.sleep(0.02)
            assert await sender.send(message(2)) == Acknowledged("AA", "2")
            assert at.connections == 2

    asyncio.run(story())


def test_late_answers_to_earlier_messages_and_other_noise_are_passed_over() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        if number == 2:
            await end.send(at.says("AE", of=0, error="103") + b"\r\nnoise" + framed(message("ADT")) + framed(b"???"))
        await end.send(at.says("AA") * number)

    outcomes, _, sender = sent(script, message(1), message(2), message(3))
    assert outcomes == [Acknowledged("AA", "1"), Acknowledged("AA", "2"), Acknowledged("AA", "3")]
    assert sender.unmatched == 4


def test_a_refusal_without_an_id_is_of_the_message_in_flight() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(framed(b"MSH|^~\\&|V|V|||1||ACK|1|P|2.4\rMSA|AR|\r"))

    (outcome,), _, _ = sent(script, message(1))
    assert isinstance(outcome, PermanentError)


def test_acceptance_without_an_id_proves_nothing() -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(framed(b"MSH|^~\\&|V|V|||1||ACK|1|P|2.4\rMSA|AA|\r"))

    (outcome,), _, _ = sent(script, message(1), seconds=0.5)
    assert isinstance(outcome, OutcomeUnknownError)


@pytest.mark.parametrize(
    ("asked", "said", "outcome"),
    [
        (BOTH, ["CA", "AA"], "AA"),
        (BOTH, ["AA"], "AA"),
        (BOTH, ["CA", "AR"], PermanentError),
        (BOTH, ["CR"], PermanentError),
        (BOTH, ["CA"], OutcomeUnknownError),
        ("|||AL|NE", ["CA"], "CA"),
        ("|||AL|NE", ["AA"], "AA"),
        ("|||NE|AL", ["AA"], "AA"),
        ("|||NE|SU", ["CA"], OutcomeUnknownError),
        ("", ["CA"], "CA"),
    ],
)
def test_the_answer_that_was_asked_for_is_waited_for(
    asked: str, said: list[str], outcome: str | type[HoloVitalsError]
) -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        for code in said:
            await end.send(at.says(code, error="103" if code.endswith("R") else None))
            await asyncio.sleep(0)

    (came,), _, _ = sent(script, message(1, more=asked), seconds=0.5 if outcome is OutcomeUnknownError else 5.0)
    assert came.code == outcome if isinstance(outcome, str) else type(came) is outcome


@pytest.mark.parametrize(
    ("asked", "sign", "outcome"),
    [
        ("", b"\x06", OutcomeUnknownError),
        ("|||AL|NE", b"\x06", "CA"),
        ("|||AL|NE", framed(b"\x06"), "CA"),
        ("", b"\x15", TransientError),
        ("", framed(b"\x15"), TransientError),
    ],
)
def test_the_commit_signs_of_mllp_release_2_are_understood(
    asked: str, sign: bytes, outcome: str | type[HoloVitalsError]
) -> None:
    async def script(at: Vendor, number: int, end: Client) -> None:
        await end.send(sign)

    (came,), _, _ = sent(script, message(1, more=asked), seconds=0.5 if outcome is OutcomeUnknownError else 5.0)
    assert came.code == outcome if isinstance(outcome, str) else type(came) is outcome


def test_a_vendor_that_cannot_be_reached_may_be_tried_later() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TransientError) as caught:
        asyncio.run(Sender("127.0.0.1", port, Hl7v2Settings()).send(message(1)))
    assert caught.value.code == "hl7.unreachable" and type(caught.value) is TransientError


@pytest.mark.parametrize(
    ("body", "code"), [(message("", more=""), "hl7.no_control_id"), (message(1, more="|||ER|NE"), "hl7.ack_mode")]
)
def test_a_message_whose_answer_could_prove_nothing_is_not_sent(body: bytes, code: str) -> None:
    (outcome,), at, _ = sent(accepts, body)
    assert isinstance(outcome, HoloVitalsError) and outcome.code == code
    assert at.connections == 0


@pytest.mark.parametrize("url", ["http://h:1", "mllp://h", "mllps://:4", "mllp://h:70000"])
def test_a_url_that_names_no_port_is_told_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sender.to(url, Hl7v2Settings())
    assert caught.value.code == "hl7.base_url"


@pytest.mark.parametrize("more", ["", "|||AL|NE", "|||NE|AL", BOTH])
def test_our_sender_and_our_listener_understand_each_other(more: str) -> None:
    async def story() -> None:
        keeper = Keeper()
        async with (
            Listener(on_one_port(), keeper) as listener,
            Sender.to(f"mllp://127.0.0.1:{listener.ports['feed']}", Hl7v2Settings()) as sender,
        ):
            for number in range(3):
                told = await sender.send(message(number, more=more))
                assert told.code == ("CA" if more == "|||AL|NE" else "AA")
        assert keeper.ids == ["0", "1", "2"]

    asyncio.run(story())
