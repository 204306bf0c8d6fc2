"""`holovitals patients`: lists without values, one side by side, decisions bound to what was seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holovitals_pipelines.cli.patients_commands import patients_app
from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.settings import Settings
from tests.cli.conftest import declare
from tests.cli.test_conflicts import explained
from tests.engine.identity_bench import PROVIDERS, Persons, ann

VALUES = ("Okafor", "1961", "219-44", "219441234", "p0")
WHY = ("--reason", "looked at both", "--actor", "steward")


class Patients:
    def __init__(self, home: Path) -> None:
        self._home = home

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(patients_app, arguments, env={"HOLOVITALS_HOME": str(self._home)})

    def json(self, *arguments: str) -> Any:
        ended = self(*arguments, "--json")
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout)


@pytest.fixture
def patients(home: Path, monkeypatch: pytest.MonkeyPatch) -> Patients:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)
    declare(
        home,
        *(
            {"name": name, "provider": provider.value, "base_url": "http://127.0.0.1:9/x"}
            for name, provider in PROVIDERS.items()
        ),
    )
    return Patients(home)


@pytest.fixture
def persons(home: Path) -> Iterator[Persons]:
    """Ann at two vendors, joined; at a third her gender is another one, at a fourth she has no number."""
    with open_home(Settings(home=home)) as opened:
        made = Persons(opened.database)
        made.take_in(
            [("epic", "p0", ann()), ("cerner", "p1", ann()), ("athena", "p2", ann(gender="male")),
             ("clinic", "p3", ann(None))]
        )  # fmt: skip
        yield made


def test_matching_lists_persons_and_proposals_without_a_value(patients: Patients, persons: Persons) -> None:
    matched = patients.json("match", "--exact-only")
    assert (matched["records"], matched["persons"], matched["joined"], matched["openProposals"]) == (4, 3, 2, 1)
    for arguments in (("list",), ("proposals",), ("list", "--connection", "epic"), ("match", "--exact-only")):
        for shown in (patients(*arguments), patients(*arguments, "--json")):
            assert shown.exit_code == 0, shown.output
            assert not any(value in shown.output for value in VALUES)
    first = patients.json("list")[0]
    assert (first["records"], first["connections"], first["how"]) == (2, ["cerner", "epic"], ["exact"])
    assert patients.json("list", "--several") == []
    [proposal] = patients.json("proposals")
    assert proposal["grounds"] == "identifier_conflict" and proposal["compared"]["gender"] == "different"


def test_one_is_shown_with_its_values_and_decided_on_what_was_seen(patients: Patients, persons: Persons) -> None:
    patients("match", "--exact-only")
    [proposal] = patients.json("proposals")
    name = proposal["proposalId"][:8]
    shown = patients("show", name)
    assert shown.exit_code == 0 and shown.stdout.count("Okafor") == 3 and "--revision" in shown.stdout
    revision = patients.json("show", name)["revision"]
    assert revision in shown.stdout

    explained(patients("accept", name, "--revision", "0" * 12, *WHY), "proposal.stale")
    accepted = patients.json("accept", name, "--revision", revision, *WHY)
    explained(patients("reject", name, "--revision", revision, *WHY), "proposal.closed")
    person = patients.json("show", "Patient/p2")
    assert person["patientKey"] == accepted["patientKey"]
    assert {one["remoteId"] for one in person["ids"]} == {"p0", "p1", "p2"}
    assert {one["how"] for one in person["records"]} == {"manual"}
    assert "looked at both" in patients("show", accepted["patientKey"][:10]).stdout


def test_persons_are_linked_and_unlinked_by_any_of_their_names(patients: Patients, persons: Persons) -> None:
    patients("match", "--exact-only")
    before = persons.memberships()
    apart = patients.json("unlink", "Patient/p1", *WHY)["patientKey"]
    assert len(patients.json("list")) == 4
    linked = patients.json("link", "Patient/p0", apart[:10], *WHY)
    assert persons.memberships() == before and linked["patientKey"] == before[persons_record(patients, "p0")][0]
    assert patients("link", "Patient/p0", "Patient/p3", *WHY).exit_code == 0
    explained(patients("link", "Patient/p0", "Patient/p3", *WHY), "person.same")
    explained(patients("unlink", "Patient/p2", *WHY), "person.alone")
    explained(patients("show", "nobody"), "person.unknown")
    assert patients("unlink", "Patient/p3").exit_code == 2, "a decision needs a reason"


def persons_record(patients: Patients, remote_id: str) -> str:
    shown = patients.json("show", f"Patient/{remote_id}")
    connection = next(one["connection"] for one in shown["ids"] if one["remoteId"] == remote_id)
    return next(one["recordId"] for one in shown["records"] if one["connection"] == connection)
