"""The example of docs/hl7v2.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "hl7v2.md"


def test_the_example_of_both_ends_says_what_came_and_that_it_was_taken(capsys: pytest.CaptureFixture[str]) -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Receiving and sending")[1]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    arrived, answered = capsys.readouterr().out.splitlines()
    assert arrived == "feed ADT^A08 56 bytes"
    assert answered.startswith("Acknowledged(code='AA', control_id='9000121'")
