"""The ports at which messages are taken, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from holovitals_pipelines.model.connection import Hl7v2Settings
from holovitals_pipelines.model.errors import ConfigurationError, StoreError
from holovitals_pipelines.providers.hl7v2.acknowledgement import ACCEPTED
from holovitals_pipelines.providers.hl7v2.framing import framed
from holovitals_pipelines.providers.hl7v2.header import read_header
from holovitals_pipelines.providers.hl7v2.link import Traffic
from holovitals_pipelines.providers.hl7v2.listener import Answer, Arrival, Listener

from .wires import SECONDS, Client, Keeper, client, message, on_one_port, until

LIMIT = 4096


def run(
    story: Callable[[Client, Keeper, Listener], Awaitable[None]],
    *,
    settings: Hl7v2Settings | None = None,
    answer: Answer | Callable[[Arrival], Answer] = ACCEPTED,
    stalled_seconds: float = 60.0,
) -> Traffic:
    """One client at one port; what the port has seen afterwards."""

    async def both() -> Traffic:
        keeper = Keeper(answer)
        at = settings or on_one_port(max_message_bytes=LIMIT)
        async with (
            Listener(at, keeper, stalled_seconds=stalled_seconds) as listener,
            client(listener.ports["feed"]) as end,
        ):
            await story(end, keeper, listener)
        return listener.traffic["feed"]

    return asyncio.run(both())


def test_a_message_is_handed_on_with_its_exact_bytes_and_acknowledged() -> None:
    body = b"\xef\xbb\xbf" + message(1, text="\xa0").replace(b"\r", b"\r\n")

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        told = await end.ask(body)
        assert (told.code, told.control_id) == ("AA", "1")
        (arrival,) = keeper.arrivals
        assert arrival == Arrival("feed", body, "127.0.0.1", read_header(body), None)

    assert run(story).messages == 1


def test_messages_cut_and_joined_at_will_with_junk_between_are_answered_in_order() -> None:
    sent = b"\r\n".join(framed(message(number)) for number in range(40)) + b"garbage\x06\x15"

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        for at in range(0, len(sent), 37):
            await end.send(sent[at : at + 37])
            await asyncio.sleep(0)
        assert [(await end.told()).control_id for _ in range(40)] == [str(number) for number in range(40)]
        assert keeper.ids == [str(number) for number in range(40)]

    traffic = run(story)
    assert (traffic.messages, traffic.answers["AA"]) == (40, 40)
    assert traffic.junk_bytes == 39 * 2 + len("garbage")
    assert traffic.commit_signs == 2


def test_no_answer_is_given_before_the_message_is_kept_and_nothing_more_is_taken() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        keeper.may_go_on.clear()
        await end.send(framed(message(1)) + framed(message(2)))
        await keeper.has_one.wait()
        answer = asyncio.create_task(end.answer())
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not answer.done() and keeper.arrivals == [] and listener.traffic["feed"].messages == 1
        keeper.may_go_on.set()
        assert await answer is not None
        assert (await end.told()).control_id == "2"

    run(story)


def test_connections_do_not_wait_for_one_another() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        keeper.may_go_on.clear()
        async with client(listener.ports["feed"]) as other:
            await end.send(framed(message(1)))
            await other.send(framed(message(2)))
            await until(lambda: listener.traffic["feed"].messages >= 2)
            keeper.may_go_on.set()
            assert {(await end.told()).control_id, (await other.told()).control_id} == {"1", "2"}

    assert run(story).connections == 2


def test_a_frame_without_a_header_is_handed_on_and_answered_as_it_is_told() -> None:
    def answer(arrival: Arrival) -> Answer:
        return Answer("AA") if arrival.header is not None else Answer("AR", ("100", "no MSH"))

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        told = await end.ask(b"no message at all")
        assert (told.code, told.control_id) == ("AR", "")
        assert [fault.code for fault in told.faults] == ["100"]
        assert (await end.ask(message(2))).code == "AA"
        poison = keeper.arrivals[0]
        assert (poison.body, poison.header) == (b"no message at all", None)
        assert poison.problem is not None and poison.problem.code == "hl7.malformed"

    assert run(story, answer=answer).unreadable == 1


def test_a_message_over_the_limit_is_refused_by_name_and_the_feed_goes_on() -> None:
    body = message(1, text="x" * LIMIT * 40)

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        told = await end.ask(body)
        assert (told.code, told.control_id) == ("AR", "1")
        assert (await end.ask(message(2))).code == "AA"
        head = keeper.arrivals[0]
        assert head.header is None and head.problem is not None and head.problem.code == "mllp.too_long"
        assert body.startswith(head.body) and len(head.body) <= LIMIT
        assert str(len(body)) in head.problem.message

    assert run(story).too_long == 1


def test_a_lost_connection_loses_only_the_frame_that_had_no_end() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        assert (await end.ask(message(1))).code == "AA"
        await end.send(framed(message(2))[:-1])
        end.writer.close()
        await until(lambda: bool(listener.traffic["feed"].cut_frames))
        async with client(listener.ports["feed"]) as again:
            assert (await again.ask(message(2))).code == "AA"
        assert keeper.ids == ["1", "2"]

    assert run(story).cut_frames == 1


def test_what_could_not_be_kept_gets_no_answer_and_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def answer(arrival: Arrival) -> Answer:
        raise StoreError("disk full of ALPHA", code="store.full")

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        await end.send(framed(message(1)))
        assert await end.answer() is None

    with caplog.at_level(logging.DEBUG):
        assert run(story, answer=answer).not_taken == 1
    assert "store.full" in caplog.text
    assert "ALPHA" not in caplog.text and "M417" not in caplog.text


def test_a_stop_finishes_and_answers_what_was_taken() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        keeper.may_go_on.clear()
        await end.send(framed(message(1)) + framed(message(2)))
        await keeper.has_one.wait()
        port = listener.ports["feed"]
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0)
        keeper.may_go_on.set()
        assert (await end.told()).control_id == "1"
        assert await end.answer() is None, "the second was never taken, so it stays the sender's"
        await stopping
        assert keeper.ids == ["1"]
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)

    run(story)


def test_a_stop_does_not_wait_for_idle_or_half_sent_connections() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        await end.send(framed(message(1))[:20])
        async with client(listener.ports["feed"]) as idle:
            await until(lambda: listener.traffic["feed"].connections >= 2)
            async with asyncio.timeout(SECONDS):
                await listener.stop()
            assert await end.answer() is None and await idle.answer() is None

    run(story)


def test_a_stop_gives_up_on_a_store_that_never_answers() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        keeper.may_go_on.clear()
        await end.send(framed(message(1)))
        await keeper.has_one.wait()
        await listener.stop(0.05)
        assert await end.answer() is None

    run(story)


def test_a_frame_that_does_not_go_on_is_given_up_but_a_quiet_link_is_not() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        async with client(listener.ports["feed"]) as half:
            await half.send(framed(message(1))[:20])
            assert await half.answer() is None
        assert (await end.ask(message(2))).code == "AA"

    assert run(story, stalled_seconds=0.05).stalled == 1


def test_unfinished_messages_of_many_connections_stay_within_bounds() -> None:
    limit = 256 * 1024

    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        ends = [await asyncio.open_connection("127.0.0.1", listener.ports["feed"]) for _ in range(12)]
        for _, writer in ends:
            writer.write(framed(message(1, text="x" * (limit - 500)))[:-1])
        await until(lambda: listener.traffic["feed"].turned_away >= 3)
        for _, writer in ends:
            writer.close()
        assert (await end.ask(message(2))).code == "AA"

    assert run(story, settings=on_one_port(max_message_bytes=limit)).turned_away >= 3


def test_there_are_only_so_many_connections() -> None:
    async def story() -> None:
        async with Listener(on_one_port(), Keeper(), most_connections=1) as listener:
            async with client(listener.ports["feed"]) as first:
                assert (await first.ask(message(1))).code == "AA"
                async with client(listener.ports["feed"]) as second:
                    assert await second.answer() is None
            assert listener.traffic["feed"].turned_away == 1

    asyncio.run(story())


def test_every_port_is_a_feed_of_its_own() -> None:
    settings = Hl7v2Settings.model_validate({"listen": [{"name": "adt", "port": 0}, {"name": "results", "port": 0}]})

    async def story() -> None:
        keeper = Keeper()
        async with Listener(settings, keeper) as listener:
            for feed in ("results", "adt"):
                async with client(listener.ports[feed]) as end:
                    await end.ask(message(feed))
        assert [(one.feed, one.header and one.header.control_id) for one in keeper.arrivals] == [
            ("results", "results"),
            ("adt", "adt"),
        ]

    asyncio.run(story())


def test_enhanced_mode_is_answered_twice_or_not_at_all_as_the_sender_chose() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        await end.send(framed(message(1, more="|||AL|AL")) + framed(message(2, more="|||NE|NE")) + framed(message(3)))
        said = [await end.told() for _ in range(3)]
        assert [(one.code, one.control_id) for one in said] == [("CA", "1"), ("AA", "1"), ("AA", "3")]

    run(story)


def test_a_port_that_another_has_is_told_in_words() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listener = Listener(Hl7v2Settings.model_validate({"listen": [{"port": port}]}), lambda _: None)  # type: ignore[arg-type,return-value]
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(listener.start())
    assert caught.value.code == "hl7.listen" and str(port) in caught.value.place


def test_ports_of_one_name_are_told_apart_before_anything_is_listened_to() -> None:
    settings = Hl7v2Settings.model_validate({"listen": [{"port": 0}, {"port": 0}]})
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(Listener(settings, Keeper()).start())
    assert caught.value.code == "hl7.listen_repeated"


def test_an_acknowledgement_is_kept_but_never_acknowledged() -> None:
    async def story(end: Client, keeper: Keeper, listener: Listener) -> None:
        await end.send(framed(b"MSH|^~\\&|V|F|||1||ACK^A31|5|P|2.4\rMSA|AA|77\r"))
        assert (await end.ask(message(2))).control_id == "2"
        assert keeper.ids == ["5", "2"]

    assert run(story).acknowledgements == 1
