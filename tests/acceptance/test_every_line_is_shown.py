"""Every acceptance line of the sync kernel has a test that bears its number."""

from __future__ import annotations

import pytest

from tests.acceptance.lines import LINES, shown

SHOWN = shown()


@pytest.mark.parametrize("number", LINES)
def test_the_line_is_shown_by_a_test_of_its_number(number: str) -> None:
    assert SHOWN.get(number), f"{number}: {LINES[number]}"


def test_no_test_bears_a_number_that_is_no_line() -> None:
    last = 46
    assert {number for number in SHOWN if not 1 <= int(number[1:]) <= last} == set()
