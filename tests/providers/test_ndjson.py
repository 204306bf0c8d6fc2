"""Splitting a stream into lines, against the whole-file answer, however the stream is cut."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holovitals_pipelines.providers.ndjson import LONGEST_KEPT_LINE, Damaged, Inflater, Lines, LineSplitter


def split(chunks: list[bytes], *, limit: int = 1 << 20, page_bytes: int = 64) -> list[Lines]:
    splitter = LineSplitter(limit=limit, page_bytes=page_bytes)
    batches = [lines for chunk in chunks if (lines := splitter.feed(chunk)) is not None]
    last, tail = splitter.finish()
    if last is not None:
        batches.append(last)
    if tail.strip():
        batches.append(splitter.last_line(tail))
    return batches


def chopped(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [*chunks, data]


LINES = st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b".").replace(b"\r", b".")), max_size=40)


@given(LINES, st.lists(st.integers(1, 50), max_size=60), st.sampled_from([b"\n", b"\r\n"]), st.integers(1, 200))
def test_however_a_file_is_cut_its_lines_and_their_numbers_are_the_same(
    lines: list[bytes], sizes: list[int], end: bytes, page_bytes: int
) -> None:
    lines = [line.removeprefix(b"\xef\xbb\xbf") for line in lines]
    data = b"".join(line + end for line in lines)
    batches = split(chopped(data, sizes), page_bytes=page_bytes)
    found = [(number, body) for batch in batches for number, body in zip(batch.numbers, batch.bodies, strict=True)]
    assert found == [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if batches:
        assert batches[-1].offset == len(data)


@given(LINES, st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200))
def test_reading_goes_on_from_any_batch_as_if_never_interrupted(
    lines: list[bytes], sizes: list[int], page_bytes: int
) -> None:
    data = b"".join(b"{" + line + b"}\n" for line in lines)
    batches = split(chopped(data, sizes), page_bytes=page_bytes)
    whole = [(n, body) for batch in batches for n, body in zip(batch.numbers, batch.bodies, strict=True)]
    for index, batch in enumerate(batches):
        again = LineSplitter(limit=1 << 20, offset=batch.offset, line=batch.next_line)
        again.feed(data[batch.offset :])
        rest, tail = again.finish()
        assert tail == b""
        before = sum(len(earlier.bodies) for earlier in batches[: index + 1])
        found = [] if rest is None else list(zip(rest.numbers, rest.bodies, strict=True))
        assert found == whole[before:]


def test_a_line_over_the_limit_is_told_apart_with_its_bytes_and_the_rest_goes_on() -> None:
    long = b"x" * 500
    batches = split([b"{1}\n" + long[:200], long[200:] + b"\n{3}\n"], limit=100)
    assert [body for batch in batches for body in batch.bodies] == [b"{1}", b"{3}"]
    assert [number for batch in batches for number in batch.numbers] == [1, 3]
    [line] = [line for batch in batches for line in batch.long]
    assert (line.number, line.kept, line.size) == (2, long, 500)


def test_a_line_without_end_is_held_only_up_to_a_bound() -> None:
    chunk = b"y" * (1 << 20)
    splitter = LineSplitter(limit=1 << 20)
    assert splitter.feed(b"{1}\n" + chunk * 4) is not None
    tracemalloc.start()
    for _ in range(4 * LONGEST_KEPT_LINE // len(chunk)):
        assert splitter.feed(chunk) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    splitter.feed(b"\n{3}\n")
    lines, tail = splitter.finish()
    assert peak < 5 * LONGEST_KEPT_LINE
    assert lines is not None
    assert tail == b""
    [long] = lines.long
    assert (long.number, long.kept) == (2, b"y" * LONGEST_KEPT_LINE)
    assert long.size > LONGEST_KEPT_LINE
    assert (list(lines.bodies), list(lines.numbers)) == ([b"{3}"], [3])
    assert lines.offset == splitter.received


def test_a_byte_order_mark_belongs_to_no_line() -> None:
    [batch] = split([b"\xef\xbb\xbf{1}\n{2}\n"])
    assert list(batch.bodies) == [b"{1}", b"{2}"]


@pytest.mark.parametrize("declared", [True, False])
def test_gzip_is_undone_whether_declared_or_stored_so(declared: bool) -> None:
    packed = gzip.compress(b"{1}\n") + gzip.compress(b"{2}\n")
    inflater = Inflater(declared=declared)
    pieces = [piece for start in range(0, len(packed), 7) for piece in inflater.feed(packed[start : start + 7])]
    inflater.finish()
    assert b"".join(pieces) == b"{1}\n{2}\n"
    assert inflater.compressed


def test_a_gzip_stream_cut_short_is_noticed() -> None:
    inflater = Inflater(declared=True)
    list(inflater.feed(gzip.compress(b"{1}\n" * 1000)[:-12]))
    with pytest.raises(Damaged):
        inflater.finish()


def test_what_is_not_compressed_passes_unchanged() -> None:
    inflater = Inflater(declared=False)
    assert b"".join(inflater.feed(b"{1}\n")) == b"{1}\n"
    inflater.finish()
    assert not inflater.compressed
