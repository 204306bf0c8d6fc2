"""docs/conflicts.md: its examples run, and it describes exactly the keys, strategies and resolvers there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.sync.escalators import Escalators
from holovitals_pipelines.sync.matrix_file import Rule
from holovitals_pipelines.sync.policy import Policy, default_policy, load_policy
from holovitals_pipelines.sync.policy_file import FileMatch, FileOption, FileRow
from holovitals_pipelines.sync.resolvers import shipped_resolvers
from holovitals_pipelines.sync.severity import load_matrix, rule_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "conflicts.md").read_text(encoding="utf-8")
SHIPPED = (ROOT / "holovitals_pipelines" / "sync" / "severity.yml").read_text(encoding="utf-8")


def example(first_line: str) -> str:
    (found,) = re.findall(rf"```yaml\n{first_line}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def table(header: str) -> list[str]:
    """The code names in the first column of the table whose first heading is `header`, in every such table."""
    found: list[str] = []
    for rows in re.findall(rf"^\| {header} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for row in rows.splitlines():
            found += re.findall(r"`([^`]+)`", row.split("|")[1])
    return found


def test_the_example_of_a_rule_can_be_added_to_the_matrix() -> None:
    matrix = load_matrix(SHIPPED.replace("rules:\n", f"rules:\n{example('# a rule')}", 1), "severity.yml")
    directive = {"category": [{"coding": [{"code": "advance-directive"}]}]}
    assert rule_of(matrix, "DocumentReference", "content", directive)[0] == "house-advance-directives"
    assert rule_of(matrix, "DocumentReference", "content", {})[0] == "document-content"


def test_the_example_of_a_policy_loads() -> None:
    policy = load_policy(example("# policy"), "policy.yml")
    own = policy.rows[: -len(default_policy().rows)]
    assert [row.name for row in own] == ["registration-owns-contacts", "newest-encounter-details", "problems"]


def test_the_example_of_a_resolver_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "conflicts.md", "exec"), names)
    policy = names["policy"]
    assert isinstance(policy, Policy) and policy.rows[0].chain[0].resolver == "longer_text@1"


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("type", list(ConflictType)),
        ("severity", list(ConflictSeverity)),
        ("strategy", list(ResolutionStrategy)),
        ("merge option", list(get_args(FileOption.model_fields["option"].annotation))),
        ("key", [*Rule.model_fields, *FileRow.model_fields]),
        ("escalator", list(Escalators.model_fields)),
        ("resolver", list(shipped_resolvers().names())),
    ],
)
def test_the_tables_name_everything_there_is(header: str, names: list[str]) -> None:
    assert sorted(table(header)) == sorted(str(name) for name in names)


def test_the_page_names_every_key_of_a_match() -> None:
    (line,) = re.findall(r"^\| `match` \|(.*)\|$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == set(FileMatch.model_fields)
