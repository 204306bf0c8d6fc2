"""The review desk over a real store: what is shown, decided, refused, approved, undone, and made a policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.local_records import edit_record, read_record
from holovitals_pipelines.fhir.rendered import differing, rendered, side_by_side
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.tables import sync_conflict, sync_conflict_field
from holovitals_pipelines.sync.policy import load_policy
from holovitals_pipelines.workbench.review_desk import PAGE, ReviewDesk
from holovitals_pipelines.workbench.review_widget import ReviewWidget
from tests.engine.toy_vendor import PATIENT, Bench

VALUES = ("1951", "1952", "555-0100", "Bronchitis", "Patient/p1")
"""What is health data in these tests."""


class Clinic(Bench):
    """The bench, and the home it works in."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.database)
        self.root = home.settings.root

    def differ(self, kind: str, identity: str, document: dict[str, Any], here: Any, there: Any) -> str:
        """Both sides change the same elements; the id of the conflict."""
        record_id = self.taken_in(kind, identity, document)
        self.edit(record_id, **here)
        self.vendor.change(kind, identity, **there)
        self.work()
        [found] = [one for one in self.conflicts(resource_type=kind) if one.record_id == record_id]
        return found.conflict_id

    def edit(self, record_id: str, **elements: Any) -> None:
        now = read_record(self.database, record_id)
        body = json.dumps({**json.loads(now.body), **elements}).encode()
        edit_record(self.database, record_id, body, seen_version=now.version, actor="dr")

    def asthma(self, identity: str, there: str = "Bronchitis") -> str:
        condition = {"subject": {"reference": "Patient/p1"}, "code": {"text": "Asthma"}}
        return self.differ(
            "Condition", identity, condition, {"code": {"text": "Asthma, mild"}}, {"code": {"text": there}}
        )

    def born(self) -> str:
        phone = PATIENT["telecom"][0]
        return self.differ(
            "Patient", "p1", PATIENT,
            {"birthDate": "1951-01-01", "telecom": [{**phone, "use": "work"}]},
            {"birthDate": "1952-02-02", "telecom": [{**phone, "use": "mobile"}]},
        )  # fmt: skip


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    with open_home(Settings(home=tmp_path)) as home:
        yield Clinic(home)


@pytest.fixture
def desk(clinic: Clinic) -> ReviewDesk:
    return ReviewDesk(Settings(home=clinic.root))


def refused(code: str) -> Any:
    return pytest.raises(HoloVitalsError, match=code.replace(".", r"\."))


# looking


def test_the_queue_names_what_waits_and_holds_no_value(clinic: Clinic, desk: ReviewDesk) -> None:
    grave, critical = clinic.asthma("c1"), clinic.born()
    page = desk.queue()
    assert [one["id"] for one in page["entries"]] == [critical, grave], "the worst first"
    assert page["entries"][0]["elements"] == ["birthDate", "telecom"] and page["after"] is None
    assert not any(value in json.dumps(page) for value in VALUES)
    assert desk.waiting()[["severity", "resource_type", "conflicts"]].values.tolist() == [
        ["CRITICAL", "Patient", 1],
        ["HIGH", "Condition", 1],
    ]
    assert "2 conflicts wait for a person, 1 of them critical" in repr(desk)


def test_a_long_queue_comes_in_pages_and_each_conflict_once(clinic: Clinic, desk: ReviewDesk) -> None:
    model = clinic.born()
    [row] = clinic.conflicts()
    names = [f"{number:04d}" for number in range(2 * PAGE)]
    with clinic.database.write() as transaction:
        copied = {name: getattr(row, name) for name in row.__slots__}
        more = [{**copied, "conflict_id": name, "link_id": name, "severity": "LOW"} for name in names]
        transaction.execute(sa.insert(sync_conflict), more)
        unit = transaction.execute(sa.select(sync_conflict_field).limit(1)).one()._mapping
        transaction.execute(sa.insert(sync_conflict_field), [{**unit, "conflict_id": name} for name in names])
    seen, after = [], None
    while (page := desk.queue(after=after))["entries"]:
        seen += [one["id"] for one in page["entries"]]
        after = page["after"]
        if after is None:
            break
    assert seen == [model, *names]


def test_a_conflict_is_shown_for_people_with_what_differs_marked(clinic: Clinic, desk: ReviewDesk) -> None:
    shown = desk.opened(clinic.born())
    birth, phone = shown["rows"]
    assert (birth["label"], birth["severity"], birth["plain"], birth["undecided"]) == (
        "birth date",
        "CRITICAL",
        True,
        True,
    )
    assert birth["cells"]["base"] == [("1 Jan 1950", False)]
    assert [text for text, differs in birth["cells"]["local"] if differs] == ["1", "Jan", "1951"]
    assert phone["label"] == "telecom: use" and birth["cells"]["proposal"] is None
    assert shown["rule"] and shown["policy"] and shown["localBy"] == "dr" and shown["twoPerson"]
    assert [one["action"] for one in shown["history"]] == ["hold"]


def test_json_is_given_on_demand_with_every_digit(clinic: Clinic, desk: ReviewDesk) -> None:
    observation = {"status": "preliminary", "code": {"text": "x"}, "valueQuantity": {"value": 5.5, "unit": "mg"}}
    clinic.vendor.put("Observation", "o1", observation)
    clinic.hear_of("Observation", "o1")
    clinic.work()
    record_id = clinic.record_id("Observation", "o1")
    now = read_record(clinic.database, record_id)
    body = now.body.replace(b"5.5", b"6.50")
    edit_record(clinic.database, record_id, body, seen_version=now.version, actor="dr")
    clinic.vendor.change("Observation", "o1", valueQuantity={"value": 9.25, "unit": "mg"})
    clinic.work()
    [found] = clinic.conflicts()
    told = desk.bodies(found.conflict_id)
    assert '"value": 6.50' in told["local"] and '"value": 9.25' in told["remote"] and "\n  " in told["local"]
    [row] = [row for row in desk.opened(found.conflict_id)["rows"] if row["number"] == 1]
    assert "6.50 mg" in "".join(text for text, _ in row["cells"]["local"])


# deciding


def test_a_decision_with_a_value_of_ones_own_counts_once_a_second_person_approves(
    clinic: Clinic, desk: ReviewDesk
) -> None:
    found = clinic.born()
    units = [row["unit"] for row in desk.opened(found)["rows"]]
    choices = {units[0]: Choice("value", '"1953-03-03"'), units[1]: Choice("local")}
    shown = desk.decide(found, "MANUAL", revision=1, actor="ann", reason="passport", choices=choices)
    assert shown["state"] == "waits for approval" and shown["decisionCode"]
    with refused("conflict.same_person"):
        desk.approve(found, revision=1, decision=shown["decisionCode"], actor="ANN")
    with refused("conflict.stale"):
        desk.approve(found, revision=1, decision="00000000", actor="bob")
    assert desk.approve(found, revision=1, decision=shown["decisionCode"], actor="bob")["state"] == "decided"
    clinic.work()
    assert clinic.vendor.document("Patient", "p1")["birthDate"] == "1953-03-03"
    row = desk.decided().iloc[0]
    assert (row["decided_by"], row["approved_by"], row["status"], row["written"]) == ("ann", "bob", "RESOLVED", "done")


def test_a_decision_on_values_that_changed_is_refused_and_changes_nothing(clinic: Clinic, desk: ReviewDesk) -> None:
    found = clinic.asthma("c1")
    clinic.vendor.change("Condition", "c1", code={"text": "Pneumonia"})
    clinic.hear_of("Condition", "c1")
    clinic.work()
    widget = ReviewWidget(desk)
    about = {"id": found, "revision": 1, "strategy": "REMOTE_WINS", "choices": {}, "actor": "ann", "reason": "x"}
    assert widget.answer({"id": 1, "ask": "decide", "with": about})["error"]["code"] == "conflict.stale"
    shown = desk.opened(found)
    assert (shown["revision"], shown["state"]) == (2, "open")
    assert widget.answer({"id": 2, "ask": "decide", "with": {**about, "revision": 2}})["answer"]["state"] == "decided"


@pytest.mark.parametrize(("actor", "reason", "code"), [("", "x", "actor.invalid"), ("ann", " ", "conflict.no_reason")])
def test_nobody_decides_without_a_name_or_a_reason(
    clinic: Clinic, desk: ReviewDesk, actor: str, reason: str, code: str
) -> None:
    with refused(code):
        desk.decide(clinic.asthma("c1"), "LOCAL_WINS", revision=1, actor=actor, reason=reason)
    with refused("actor.invalid"):
        desk.named("clinic")


def test_what_was_decided_is_undone_and_flows_out(clinic: Clinic, desk: ReviewDesk) -> None:
    found = clinic.asthma("c1")
    desk.decide(found, "LOCAL_WINS", revision=1, actor="ann", reason="x")
    with refused("revert.still_open"):
        desk.undo(found, actor="ann", reason="y")
    clinic.work()
    assert desk.undo(found, actor="ann", reason="y")["undone"]["version"] > 1
    clinic.work()
    assert clinic.vendor.document("Condition", "c1")["code"] == {"text": "Bronchitis"}
    assert [one["id"] for one in desk.queue("closed")["entries"]] == [found]


def test_a_decision_is_taken_back_while_it_waits_and_refused_in_words_once_it_is_applied(
    clinic: Clinic, desk: ReviewDesk
) -> None:
    found, widget = clinic.asthma("c1"), ReviewWidget(desk)

    def take_back(shown: dict[str, Any]) -> Any:
        about = {"id": found, "decision": shown["decisionCode"], "actor": "ann"}
        return widget.answer({"id": "q", "ask": "take back", "with": about})

    shown = desk.decide(found, "LOCAL_WINS", revision=1, actor="ann", reason="x")
    assert take_back(shown)["answer"]["state"] == "open"
    again = desk.decide(found, "LOCAL_WINS", revision=1, actor="ann", reason="x")
    clinic.work()
    told = take_back(again)["error"]
    assert told["code"] == "conflict.closed" and "conflicts revert" in told["remedy"]


# several at once


def test_like_conflicts_are_decided_each_under_its_own_revision(clinic: Clinic, desk: ReviewDesk) -> None:
    model, second, third = (clinic.asthma(name) for name in ("c1", "c2", "c3"))
    clinic.born()
    alike = {one["id"]: one["revision"] for one in desk.alike(model)}
    assert alike == {second: 1, third: 1}
    clinic.vendor.change("Condition", "c3", code={"text": "Pneumonia"})
    clinic.hear_of("Condition", "c3")
    clinic.work()
    sides = {row["unit"]: "remote" for row in desk.opened(model)["rows"] if row["number"]}
    done = desk.decide_alike(model, list(alike.items()), "MANUAL", sides, actor="ann", reason="registry")
    assert done["decided"] == [second]
    assert [(one["id"], one["code"]) for one in done["refused"]] == [(third, "conflict.stale")]
    assert [desk.opened(one)["state"] for one in (model, second, third)] == ["open", "decided", "open"]


def test_critical_conflicts_are_never_decided_with_others(clinic: Clinic, desk: ReviewDesk) -> None:
    model, critical = clinic.asthma("c1"), clinic.born()
    assert desk.alike(critical) == []
    done = desk.decide_alike(model, [(critical, 1)], "REMOTE_WINS", {}, actor="ann", reason="x")
    assert [one["code"] for one in done["refused"]] == ["conflict.not_alike"] and done["decided"] == []


def test_a_value_of_ones_own_is_for_one_conflict_only(clinic: Clinic, desk: ReviewDesk) -> None:
    model = clinic.asthma("c1")
    [unit] = [row["unit"] for row in desk.opened(model)["rows"] if row["number"]]
    with refused("conflict.not_shared"):
        desk.decide_alike(model, [], "MANUAL", {unit: "value"}, actor="ann", reason="x")
    with refused("policy.no_rule"):
        desk.proposed_rows(model, "MANUAL", {unit: "value"}, actor="ann")


# policies


def test_a_decision_becomes_a_policy_only_when_confirmed_and_then_decides(clinic: Clinic, desk: ReviewDesk) -> None:
    proposed = desk.proposed_rows(clinic.asthma("c1"), "REMOTE_WINS", {}, actor="ann")
    assert not proposed.file.exists()
    assert "REMOTE_WINS" in proposed.text and "ann" in proposed.text
    assert not any(value in proposed.text for value in VALUES)
    [found] = clinic.conflicts()
    added = desk.add_rows(found.conflict_id, "REMOTE_WINS", {}, actor="ann", code=proposed.code)
    policy = load_policy(added.file.read_text(), "policy.yml")
    assert policy.rows[0].name == added.rows[0]["name"] == "condition-code-remote-wins"
    clinic.under(policy)
    later = clinic.asthma("c2")
    [closed] = [one for one in clinic.conflicts() if one.conflict_id == later]
    assert (closed.status, closed.strategy) == ("RESOLVED", "REMOTE_WINS")


def test_a_policy_is_never_made_of_a_critical_conflict(clinic: Clinic, desk: ReviewDesk) -> None:
    with refused("policy.critical"):
        desk.proposed_rows(clinic.born(), "REMOTE_WINS", {}, actor="ann")


def test_rows_are_added_to_a_file_that_stays_as_it_was(clinic: Clinic, desk: ReviewDesk) -> None:
    found = clinic.asthma("c1")
    mine = (
        'version: "site-1"  # ours\nrows:\n- name: notes\n  match: {resource_type: Encounter, severity: LOW}\n'
        "  chain: [LOCAL_WINS]\n"
    )
    (clinic.root / "policy.yml").write_text(mine)
    proposed = desk.proposed_rows(found, "LAST_WRITE_WINS", {}, actor="ann")
    (clinic.root / "policy.yml").write_text(mine + "\n# somebody was here\n")
    with refused("policy.changed"):
        desk.add_rows(found, "LAST_WRITE_WINS", {}, actor="ann", code=proposed.code)
    (clinic.root / "policy.yml").write_text(mine)
    desk.add_rows(found, "LAST_WRITE_WINS", {}, actor="ann", code=proposed.code)
    text = (clinic.root / "policy.yml").read_text()
    assert text.startswith(mine)
    assert [row.name for row in load_policy(text, "policy.yml").rows][:2] == ["notes", "condition-code-last-write-wins"]


@pytest.mark.parametrize(
    ("mine", "code"),
    [
        ('version: "1"\nrows:\n  - name: mine\n    match: {severity: HIGH}\n    chain: [MANUAL]\n', "policy.overruled"),
        ('rows:\n  - {name: mine, match: {severity: LOW}, chain: [MANUAL]}\nversion: "1"\n', "policy.not_appended"),
        ('version: "1"\nrows: [{name: mine, match: {severity: LOW}, chain: [MANUAL]}]\n', "policy.not_appended"),
    ],
)
def test_a_file_in_which_the_rows_would_not_count_is_left_alone(
    clinic: Clinic, desk: ReviewDesk, mine: str, code: str
) -> None:
    found = clinic.asthma("c1")
    (clinic.root / "policy.yml").write_text(mine)
    with pytest.raises(ConfigurationError) as error:
        desk.proposed_rows(found, "REMOTE_WINS", {}, actor="ann")
    assert error.value.code == code
    assert (clinic.root / "policy.yml").read_text() == mine


# the widget


def test_an_answer_to_what_cannot_be_done_is_an_error_in_words(clinic: Clinic, desk: ReviewDesk) -> None:
    widget = ReviewWidget(desk)
    told = widget.answer({"id": "q", "ask": "open", "with": {"id": "nothing"}})
    assert told["id"] == "q" and told["error"]["code"] == "conflict.unknown" and told["error"]["remedy"]
    assert set(widget.get_state()) & {"entries", "conflict"} == set(), "nothing of the store is in the widget's state"


def test_a_home_that_is_not_there_is_not_created_by_looking(tmp_path: Path) -> None:
    desk = ReviewDesk(Settings(home=tmp_path / "nothing"))
    assert desk.queue()["entries"] == [] and "There is no store yet" in desk.queue()["nothing"]
    assert desk.waiting().empty and desk.decided().empty and "There is no store yet" in repr(desk)
    with refused("home.empty"):
        desk.opened("c0")
    assert not (tmp_path / "nothing").exists()


# values for people


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('"1951-02-03"', "3 Feb 1951"),
        ('"2026-11-22T17:57:00+01:00"', "22 Nov 2026, 17:57 +01:00"),
        ('"1951"', "1951"),
        ('[{"family":"Doe","given":["Ann","B"],"use":"official"}]', "Ann B Doe (official)"),
        ('{"coding":[{"code":"I10","display":"Hypertension"}],"text":"Hypertension"}', "Hypertension (I10)"),
        ('{"value":5.40,"unit":"mmol/L","comparator":"<"}', "<5.40 mmol/L"),
        ('{"reference":"Patient/e7ecbc0f04fd129d4e2a782e77d58d42"}', "Patient/e7ecbc0f…"),
        ('{"system":"phone","value":"555"}', "phone 555"),
        ('{"system":"urn:mrn","value":"7"}', "7 (urn:mrn)"),
        ('{"start":"2020-01-01"}', "from 1 Jan 2020"),
        ('{"line":["1 A St"],"city":"B","state":"NY","postalCode":"1"}', "1 A St, B, NY 1"),
        ('{"coding":"not a list","x":true}', "coding: not a list\nx: yes"),
        ('{"start":5}', "start: 5"),
        ("1.500", "1.500"),
        ("null", "nothing"),
    ],
)
def test_values_are_rendered_for_people(value: str, read: str) -> None:
    assert rendered(value) == read


def test_values_that_differ_never_look_the_same() -> None:
    shown = side_by_side({"base": None, "local": '{"system":"a","code":"x"}', "remote": '{"system":"b","code":"x"}'})
    assert shown["base"] is None and shown["local"] != shown["remote"]
    assert side_by_side({"local": '"1951-02-03"', "remote": '"3 Feb 1951"'}) == {
        "local": "1951-02-03",
        "remote": "3 Feb 1951",
    }


def test_what_differs_is_marked_word_by_word() -> None:
    assert differing("Asthma, mild", "Bronchitis, mild") == [("Asthma", True), (", mild", False)]
    assert differing("only here", None) == [("only here", True)]
