"""Policy files: the first row that matches decides, the defaults catch the rest, a row that cannot work is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictType, ResolutionStrategy
from holovitals_pipelines.sync.policy import Policy, Row, default_policy, load_policy
from holovitals_pipelines.sync.resolvers import shipped_resolvers

OURS = """
version: "site-1"
rows:
  - name: billing-owns-addresses
    match: {connection: "epic_*", resource_type: Patient, unit: [address, telecom], type: UPDATE_UPDATE}
    chain: [REMOTE_WINS]
  - name: careful-problems
    match: {resource_type: [Condition, "Allergy*"], severity: [HIGH, MEDIUM]}
    chain: [{strategy: CUSTOM, resolver: cautious@1}, MERGE, MANUAL]
    tie: LOCAL_WINS
    merge:
      note: {option: concatenate, separator: "; "}
      "onset[x]": min
      "*": preferLocal
  - name: work-phones
    match: {unit: "telecom[phone|*]"}
    chain: [LAST_WRITE_WINS, MANUAL]
"""


def row(policy: Policy, **facts: Any) -> Row:
    asked = {
        "connection": "epic_main",
        "resource_type": "Patient",
        "unit": "birthDate",
        "conflict_type": ConflictType.UPDATE_UPDATE,
        "severity": ConflictSeverity.MEDIUM,
    }
    return policy.row_for(**asked | facts)


@pytest.fixture(scope="module")
def ours() -> Policy:
    return load_policy(OURS, "policy.yml")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"unit": "address[home].city+district+state+country+text"}, "billing-owns-addresses"),
        ({"unit": "telecom[phone|555].rank"}, "billing-owns-addresses"),
        ({"unit": "telecom[phone|555].rank", "connection": "cerner_main"}, "work-phones"),
        ({"unit": "telecom[email|a%2Eb].rank", "connection": "cerner_main"}, "default"),
        ({"unit": "telecom", "conflict_type": ConflictType.CREATE_CREATE}, "default"),
        ({"unit": "addressee"}, "default"),
        ({"resource_type": "AllergyIntolerance"}, "careful-problems"),
        ({"resource_type": "AllergyIntolerance", "severity": ConflictSeverity.LOW}, "default"),
        ({"resource_type": "AllergyIntolerance", "severity": ConflictSeverity.CRITICAL}, "default-critical"),
        ({"severity": ConflictSeverity.HIGH}, "default-high"),
        ({"unit": "*", "conflict_type": ConflictType.UPDATE_DELETE}, "default-content-beats-a-delete"),
    ],
)
def test_the_first_row_that_matches_decides(ours: Policy, facts: dict[str, Any], name: str) -> None:
    assert row(ours, **facts).name == name


@pytest.mark.parametrize(
    ("unit", "option"),
    [("note[1].text", "concatenate"), ("onset[x]", "min"), ("code", "preferLocal"), ("*", "preferLocal")],
)
def test_a_merge_step_carries_the_units_option(ours: Policy, unit: str, option: str) -> None:
    custom, merge, manual = row(ours, resource_type="Condition", unit=unit).chain
    assert (custom.resolver, custom.option) == ("cautious@1", None)
    assert (merge.strategy, merge.option, merge.separator) == (
        ResolutionStrategy.MERGE,
        option,
        "; " if option == "concatenate" else None,
    )
    assert manual.option is None


def test_every_conflict_meets_a_row() -> None:
    for kind, severity in product(ConflictType, ConflictSeverity):
        for unit in ("*", "birthDate", "value[x]"):
            assert row(default_policy(), conflict_type=kind, severity=severity, unit=unit, resource_type="Basic").chain


def test_the_shipped_rows_leave_critical_to_people_and_let_high_be_merged_only() -> None:
    def chain(**facts: Any) -> list[str]:
        return [step.strategy.value for step in row(default_policy(), **facts).chain]

    for kind in ConflictType:
        assert chain(conflict_type=kind, severity=ConflictSeverity.CRITICAL, unit="*") == ["MANUAL"]
    for kind in (ConflictType.UPDATE_UPDATE, ConflictType.CREATE_CREATE):
        assert chain(conflict_type=kind, severity=ConflictSeverity.HIGH) == ["MERGE", "MANUAL"]
        assert chain(conflict_type=kind, severity=ConflictSeverity.LOW) == ["MERGE", "REMOTE_WINS", "MANUAL"]
    for kind in (ConflictType.UPDATE_DELETE, ConflictType.DELETE_UPDATE):
        assert chain(conflict_type=kind, severity=ConflictSeverity.HIGH, unit="*") == ["MERGE", "MANUAL"]


def test_the_version_is_what_the_file_calls_itself_and_a_hash_of_its_text(ours: Policy) -> None:
    assert ours.version.startswith("site-1+")
    assert load_policy(OURS, "elsewhere.yml").version == ours.version
    assert load_policy(OURS.replace("tie: LOCAL_WINS", "tie: MANUAL"), "policy.yml").version != ours.version
    assert default_policy().version != ours.version


def one(line: str) -> str:
    return f'version: "1"\nrows:\n  - name: first\n    chain: [MANUAL]\n  - name: second\n    {line}\n'


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (one("match: {severity: [HIGH, CRITICAL]}\n    chain: [MERGE, MANUAL]"), 7, "decided by people"),
        (one("match: {severity: CRITICAL}\n    chain: [REMOTE_WINS]"), 7, "decided by people"),
        (one("match: {severity: CRITICAL}\n    chain: [{strategy: CUSTOM, resolver: cautious@1}]"), 7, "by people"),
        (one("chain: [MANUAL, REMOTE_WINS]"), 6, "never reached"),
        (one("chain: []"), 6, "at least 1 item"),
        (one("chain: [NEWEST_WINS]"), 6, "Input should be 'LAST_WRITE_WINS'"),
        (one("chain: [CUSTOM]"), 6, "name the resolver"),
        (
            one("chain:\n      - MERGE\n      - {strategy: CUSTOM, resolver: cautious@2}"),
            8,
            "'cautious@2' is registered",
        ),
        (one("chain: [{strategy: CUSTOM, resolver: 'os.system'}]"), 6, "no resolver 'os.system'"),
        (one("chain: [{strategy: CUSTOM, code: 'lambda view: 1'}]"), 6, "code: Extra inputs"),
        (one("chain: [{strategy: MERGE, resolver: cautious@1}]"), 6, "only CUSTOM and custom"),
        (one("chain: [REMOTE_WINS]\n    tie: LAST_WRITE_WINS"), 7, "tie: Input should be"),
        (one("chain: [REMOTE_WINS]\n    merge: {note: preferLocal}"), 7, "no MERGE step"),
        (one("chain: [MERGE]\n    merge:\n      a: max\n      note: concatenate"), 9, "names a separator"),
        (one("chain: [MERGE]\n    merge:\n      note: {option: custom}"), 8, "name the resolver"),
        (one("chain: [MERGE]\n    merge:\n      note: median"), 8, "option: Input should be"),
        (one("match: {resource_type: Pateint}\n    chain: [MANUAL]"), 6, "'Pateint' is no resource type"),
        (one("match: {vendor: epic}\n    chain: [MANUAL]"), 6, "vendor: Extra inputs"),
        (one("match: {severity: SEVERE}\n    chain: [MANUAL]"), 6, "severity"),
        (one("chain: [MANUAL]").replace("second", "first"), 5, "name of another row"),
        (one("chain: [MANUAL]").replace("second", "default-high"), 5, "name of another row"),
        (one("chain: [MANUAL").replace("rows", "rows"), 7, "not YAML"),
        ("rows: []\nversion: 1\n", 2, "version: Input should be a valid string"),
        ("- name: x\n", 1, "valid dictionary"),
    ],
)
def test_a_mistake_is_refused_with_file_and_line(text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_policy(text, "our/policy.yml")
    assert says in refused.value.message
    assert refused.value.place == f"our/policy.yml:{line}"
    assert refused.value.code == "policy.invalid" and refused.value.remedy


def test_a_row_may_name_a_resolver_that_was_registered_for_it() -> None:
    text = one("chain: [{strategy: CUSTOM, resolver: house_rules@3}]")
    registered = shipped_resolvers()
    registered.register("house_rules", 3, lambda view: view.unit.local)
    policy = load_policy(text, "policy.yml", resolvers=registered)
    assert [each.name for each in policy.rows][:2] == ["first", "second"]
    with pytest.raises(ConfigurationError, match="house_rules@3"):
        load_policy(text, "policy.yml")


def test_a_file_without_rows_is_the_defaults_under_another_name() -> None:
    assert load_policy('version: "none"\n', "policy.yml").rows == default_policy().rows
