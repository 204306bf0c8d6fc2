"""Every acceptance line of the sync kernel has a test that bears its number."""

from __future__ import annotations

import pytest

from tests.acceptance.lines import LINES, shown

Shown = dict[str, list[str]]


@pytest.fixture(scope="module")
def tests_by_line() -> Shown:
    return shown()


@pytest.mark.parametrize("number", LINES)
def test_the_line_is_shown_by_a_test_of_its_number(tests_by_line: Shown, number: str) -> None:
    assert tests_by_line.get(number), f"{number}: {LINES[number]}"


def test_no_test_bears_a_number_that_is_no_line(tests_by_line: Shown) -> None:
    last = 46
    assert {number for number in tests_by_line if not 1 <= int(number[1:]) <= last} == set()
