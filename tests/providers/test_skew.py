"""The vendor's clock against ours, from Dates that tell whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.providers.skew import ClockSkew

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def observed(skew: ClockSkew, *, off: float, sent: float, round_trip: float, written: float) -> None:
    """An answer of a server whose clock is `off`, which wrote its Date after the share `written` of the round trip."""
    sent_at = START + timedelta(seconds=sent)
    theirs = sent_at + timedelta(seconds=round_trip * written + off)
    received_at = sent_at + timedelta(seconds=round_trip)
    skew.observe(theirs.replace(microsecond=0), sent_at=sent_at, received_at=received_at)


def test_a_server_that_never_told_has_no_skew() -> None:
    assert ClockSkew().p99_seconds() == 0.0


@given(
    off=st.floats(-3600, 3600),
    samples=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30), st.floats(0, 1)), min_size=1, max_size=30),
)
def test_a14_no_more_skew_is_seen_than_there_is(off: float, samples: list[tuple[float, float, float]]) -> None:
    skew = ClockSkew()
    for sent, round_trip, written in samples:
        observed(skew, off=off, sent=sent, round_trip=round_trip, written=written)
    assert skew.p99_seconds() <= abs(off) + 1e-5


@given(off=st.floats(-3600, 3600))
def test_a14_many_quick_answers_show_the_skew_to_the_second(off: float) -> None:
    skew = ClockSkew()
    for step in range(50):
        observed(skew, off=off, sent=step * 0.37, round_trip=0.02, written=0.5)
    assert abs(off) - 1.1 <= skew.p99_seconds() <= abs(off) + 1e-5


def test_a_clock_that_was_set_right_is_believed_again() -> None:
    skew = ClockSkew()
    for step in range(20):
        observed(skew, off=600, sent=step, round_trip=0.1, written=0.5)
    assert skew.p99_seconds() > 590
    for step in range(1000):
        observed(skew, off=0, sent=step, round_trip=0.1, written=0.5)
    assert skew.p99_seconds() == 0.0
