"""MLLP frames: the same bytes give the same messages, however they are cut."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.providers.hl7v2.framing import CommitSign, Event, Frame, FrameReader, TooLong, framed

LIMIT = 64

bodies = st.binary(min_size=1, max_size=LIMIT).filter(
    lambda body: b"\x1c" not in body and b"\x0bMSH" not in body and body not in (b"\x06", b"\x15")
)
junk = st.binary(min_size=1, max_size=12).filter(lambda some: not set(some) & {0x0B, 0x06, 0x15})


@dataclass(frozen=True)
class Piece:
    """A part of a stream and what has to come of it."""

    sent: bytes
    events: tuple[Event, ...] = ()
    junk: int = 0
    cut: int = 0


pieces = st.one_of(
    bodies.map(lambda body: Piece(b"\x0b" + body + b"\x1c\r", (Frame(body),))),
    # A message like those there are, which another one may interrupt.
    bodies.map(lambda body: Piece(b"\x0bMSH" + body, junk=len(body) + 4, cut=1)).map(
        lambda cut: Piece(cut.sent + b"\x0bMSH|\x1c\r", (Frame(b"MSH|"),), cut.junk, 1)
    ),
    bodies.map(lambda body: Piece(b"\x0b" + body + b"\x1c\x0bMSH|\x1c\r", (Frame(body), Frame(b"MSH|")))),
    st.integers(LIMIT + 1, 3 * LIMIT).map(lambda n: Piece(framed(b"x" * n), (TooLong(b"x" * LIMIT, n),))),
    junk.map(lambda some: Piece(some, junk=len(some))),
    st.booleans().map(lambda stored: Piece(b"\x06" if stored else b"\x15", (CommitSign(stored),))),
    st.booleans().map(lambda stored: Piece(framed(b"\x06" if stored else b"\x15"), (CommitSign(stored),))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=8), st.data())
def test_any_cuts_of_any_stream_give_the_same_messages_and_hold_no_more_than_one(
    stream: list[Piece], data: st.DataObject
) -> None:
    sent = b"".join(piece.sent for piece in stream)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sent)), max_size=12)))
    frames = FrameReader(limit=LIMIT)
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        events += frames.feed(sent[start:end])
        assert frames.held_bytes <= LIMIT + 8
    frames.finish()
    assert events == [event for piece in stream for event in piece.events]
    assert frames.junk_bytes == sum(piece.junk for piece in stream)
    assert frames.cut_frames == sum(piece.cut for piece in stream)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_no_bytes_at_all_break_the_reader_and_cuts_change_nothing(sent: bytes, data: st.DataObject) -> None:
    whole, cut = FrameReader(limit=LIMIT), FrameReader(limit=LIMIT)
    at = data.draw(st.integers(0, len(sent)))
    assert cut.feed(sent[:at]) + cut.feed(sent[at:]) == whole.feed(sent)
    assert (cut.junk_bytes, cut.cut_frames) == (whole.junk_bytes, whole.cut_frames)


def test_every_single_byte_read_gives_the_same_as_one_read() -> None:
    sent = (
        b"noise\r\n"
        + framed(b"MSH|a\r")
        + b"\r\n"
        + framed(b"MSH|" + b"x" * 100)
        + framed(b"MSH|b\x1c\x0bx\rPID")
        + b"\x15"
    )
    whole, bytewise = FrameReader(limit=50), FrameReader(limit=50)
    events = whole.feed(sent)
    assert [event for byte in sent for event in bytewise.feed(bytes([byte]))] == events
    assert [type(event) for event in events] == [Frame, TooLong, Frame, CommitSign]
    assert bytewise.junk_bytes == whole.junk_bytes == 9


def test_a_vertical_tab_within_a_text_is_text() -> None:
    body = b"MSH|^~\\&|A\rNTE|1||first line\x0bsecond line\r"
    assert FrameReader(limit=200).feed(framed(body)) == [Frame(body)]


def test_a_stream_that_ends_within_a_frame_is_counted_as_cut() -> None:
    frames = FrameReader(limit=100)
    assert frames.feed(framed(b"MSH|1") + b"\x0bMSH|2") == [Frame(b"MSH|1")]
    assert frames.inside_a_frame
    frames.finish()
    assert (frames.cut_frames, frames.junk_bytes) == (1, 6)


def test_a_message_of_sixteen_megabytes_in_small_reads_costs_no_square_of_its_length() -> None:
    body = b"MSH|" + b"x" * (16 * 1024 * 1024 - 4)
    sent = framed(body)
    frames = FrameReader(limit=len(body))
    found = [event for at in range(0, len(sent), 65_536) for event in frames.feed(sent[at : at + 65_536])]
    assert found == [Frame(body)]


@pytest.mark.parametrize("body", [b"MSH|\x1c\r", b"MSH|\r\x0bMSH|", b"MSH|\x1c"])
def test_what_no_receiver_could_take_apart_is_not_framed(body: bytes) -> None:
    with pytest.raises(MalformedResource) as caught:
        framed(body)
    assert caught.value.code == "mllp.unframeable"


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 2, LIMIT + 3, 3 * LIMIT])
@pytest.mark.parametrize("end", [b"\x1c\r", b"\x1c"])
@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_the_limit_is_the_same_for_every_cut_also_where_the_end_has_no_carriage_return(
    size: int, end: bytes, step: int
) -> None:
    body = b"MSH|" + b"x" * (size - 4)
    sent = b"\x0b" + body + end + framed(b"MSH|next")
    frames = FrameReader(limit=LIMIT)
    found = [event for at in range(0, len(sent), step) for event in frames.feed(sent[at : at + step])]
    assert found == [Frame(body) if size <= LIMIT else TooLong(body[:LIMIT], size), Frame(b"MSH|next")]
    assert (frames.junk_bytes, frames.cut_frames) == (0, 0)
