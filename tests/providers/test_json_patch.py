"""JSON Patches as we make them: they lead exactly to what is wanted, test what they change, and name what they may."""

from __future__ import annotations

import json as plain_json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.fhir.exact import Number, exactly_equal, read_value
from holovitals_pipelines.model.errors import PermanentError, VersionConflictError
from holovitals_pipelines.model.writing import Concurrency, Present, Written
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.json_patch import (
    ANYTHING,
    Checks,
    Operation,
    PatchRules,
    not_offered,
    patch,
    write_patch,
)

from .loopback import FastClock, Handler, Server, at_desk, capability, connection, json, outcome, serving

IDS = PatchRules(Checks.IDS)

_names = st.sampled_from(["id", "name", "given", "a/b", "m~n", "text", "meta", ""])
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([Number("1.0"), Number("1.00"), Number("-0"), "", "x", "y", "1.0"]),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_names, inner, max_size=4)),
    max_leaves=12,
)
_items = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from("abcdef"), "value": st.integers(0, 3)}),
    max_size=5,
    unique_by=lambda item: item["id"],
)
_documents = st.dictionaries(_names, _values, max_size=5)
_resources = st.fixed_dictionaries({"telecom": _items, "name": st.lists(_values, max_size=3)})
_pairs = st.one_of(st.tuples(_documents, _documents), st.tuples(_resources, _resources))


def applied(operations: list[Operation], document: Any) -> Any:
    """By somebody else's reading of RFC 6902."""
    return jsonpatch.apply_patch(document, [operation.as_json() for operation in operations])


@given(_pairs, st.sampled_from([ANYTHING, IDS]))
def test_a_patch_makes_exactly_what_is_wanted_of_what_is_there(pair: tuple[Any, Any], rules: PatchRules) -> None:
    current, wanted = pair
    assert exactly_equal(applied(patch(current, wanted, rules), current), wanted)


@given(_pairs)
def test_there_is_a_patch_only_where_something_differs(pair: tuple[Any, Any]) -> None:
    current, wanted = pair
    assert (patch(current, wanted) == []) is exactly_equal(current, wanted)


@given(_pairs)
def test_whatever_is_replaced_or_removed_was_tested_for_its_old_value_just_before(pair: tuple[Any, Any]) -> None:
    current, wanted = pair
    operations = patch(current, wanted)
    for before, operation in zip([None, *operations], operations, strict=False):
        if operation.op in ("replace", "remove"):
            assert before is not None
            assert (before.op, before.path) == ("test", operation.path)


@given(_pairs)
def test_a_patch_is_refused_whole_where_somebody_changed_what_it_changes(pair: tuple[Any, Any]) -> None:
    current, wanted = pair
    tests = [operation for operation in patch(current, wanted) if operation.op == "test"]
    if tests and tests[0].path:
        name = tests[0].path.split("/")[1].replace("~1", "/").replace("~0", "~")
        elsewhere = {**current, name: "somebody else's"}
        with pytest.raises(
            (jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict, jsonpatch.JsonPointerException)
        ):
            applied(patch(current, wanted), elsewhere)


@given(_pairs)
def test_a_written_patch_reads_back_with_every_digit(pair: tuple[Any, Any]) -> None:
    operations = patch(*pair)
    assert exactly_equal(read_value(write_patch(operations).decode()), [one.as_json() for one in operations])


def person(*phones: tuple[str, str], family: str = "A") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"id": "n1", "family": family}],
        "telecom": [{"id": identity, "value": value} for identity, value in phones],
    }


def shown(operations: list[Operation]) -> list[tuple[str, str]]:
    return [(operation.op, operation.path) for operation in operations]


def test_items_with_ids_are_tested_by_them_and_go_from_the_last_to_the_first() -> None:
    before = person(("t1", "1"), ("t2", "2"), ("t3", "3"))
    after = person(("t3", "9"), family="B")
    after["telecom"].append({"value": "new"})
    operations = patch(before, after, IDS)
    assert shown(operations) == [
        ("test", "/name/0/id"),
        ("replace", "/name/0/family"),
        ("test", "/telecom/2/id"),
        ("replace", "/telecom/2/value"),
        ("test", "/telecom/1/id"),
        ("remove", "/telecom/1"),
        ("test", "/telecom/0/id"),
        ("remove", "/telecom/0"),
        ("add", "/telecom/-"),
    ]
    assert [operation.template for operation in operations][:4] == [
        "/name/{index}/id",
        "/name/{index}/family",
        "/telecom/{index}/id",
        "/telecom/{index}/value",
    ]


def test_items_that_change_places_are_replaced_as_a_list() -> None:
    before, after = person(("t1", "1"), ("t2", "2")), person(("t2", "2"), ("t1", "1"))
    assert shown(patch(before, after, IDS)) == [("replace", "/telecom")]


OFFERED = PatchRules(
    Checks.IDS,
    {
        "/gender": frozenset({"replace"}),
        "/slot": frozenset({"add"}),
        "/telecom/-": frozenset({"add"}),
        "/telecom/{index}/id": frozenset({"test"}),
        "/telecom/{index}": frozenset({"remove"}),
    },
)


@pytest.mark.parametrize(
    ("before", "after", "operations", "refused"),
    [
        ({"gender": "male"}, {"gender": "female"}, [("replace", "/gender")], None),
        ({}, {"gender": "female"}, [("replace", "/gender")], None),
        ({"gender": "male"}, {}, [("remove", "/gender")], "/gender"),
        ({"slot": [1]}, {"slot": [2]}, [("add", "/slot")], None),
        ({"telecom": []}, {"telecom": [{"value": "1"}]}, [("add", "/telecom/-")], None),
        ({}, {"telecom": [{"value": "1"}]}, [("add", "/telecom")], "/telecom"),
        ({"telecom": [{"value": "1"}]}, {"telecom": []}, [("remove", "/telecom/0")], "/telecom/{index}"),
        (
            {"telecom": [{"id": "t", "value": "1"}]},
            {"telecom": []},
            [("test", "/telecom/0/id"), ("remove", "/telecom/0")],
            None,
        ),
        ({"photo": "x"}, {"photo": "y"}, [("replace", "/photo")], "/photo"),
    ],
)
def test_what_a_vendor_does_not_offer_is_named_by_its_template(
    before: Any, after: Any, operations: list[tuple[str, str]], refused: str | None
) -> None:
    made = patch(before, after, OFFERED)
    assert shown(made) == operations
    assert not_offered(made, OFFERED) == refused
    assert not_offered(made, ANYTHING) is None


# any FHIR server that patches and does not update


class Patching:
    """A FHIR server with one Patient, which it lets be patched only; `versions` says whether it has any."""

    def __init__(self, *, versions: bool) -> None:
        self.versions = versions
        self.patient: dict[str, Any] = {
            "resourceType": "Patient",
            "id": "p1",
            "text": {"status": "generated", "div": "<div>A</div>"},
            "name": [{"family": "A"}],
            "gender": "male",
        }
        self.version = 3
        self.before_patch: Any = None

    def shown(self) -> dict[str, Any]:
        return {**self.patient, **({"meta": {"versionId": str(self.version)}} if self.versions else {})}

    def answer(self) -> Response:
        headers = {"etag": f'W/"{self.version}"'} if self.versions else {}
        return json(self.shown(), headers=headers)

    async def at_patient(self, request: Request) -> Response:
        if request.method == "GET":
            return self.answer()
        if self.before_patch is not None:
            self.before_patch()
        if self.versions and request.headers.get("if-match") != f'W/"{self.version}"':
            return json(outcome(code="conflict"), 412)
        try:
            patched = jsonpatch.apply_patch(self.shown(), plain_json.loads(await request.body()))
        except jsonpatch.JsonPatchTestFailed:
            return json(outcome(code="conflict"), 422)
        self.patient = {name: value for name, value in patched.items() if name != "meta"}
        self.version += 1
        return self.answer()

    def serve(self, formats: list[str]) -> Any:
        statement = capability({"Patient": ["_lastUpdated"]}, writes=["patch"], versioning="versioned-update")
        if not self.versions:
            del statement["rest"][0]["resource"][0]["versioning"]
        routes: dict[str, Handler] = {
            "/r4/metadata": lambda _: json({**statement, "patchFormat": formats}),
            "/r4/Patient/{id}": self.at_patient,
        }
        return serving(routes, methods=("GET", "PATCH"))


JSON_PATCH = ["application/json-patch+json"]


def at(server: Server, clock: FastClock, work: Any) -> Any:
    config = connection(f"{server.url}/r4", write={"enabled": True}, read={"max_retries": 0})
    return at_desk(config, work, clock=clock.as_clock())


async def renamed(adapter: Adapter, *, family: str = "B") -> Written:
    now = await adapter.read_current("Patient", "p1")
    assert isinstance(now, Present)
    document = {**plain_json.loads(now.body), "name": [{"family": family}]}
    del document["text"]
    return await adapter.update("Patient", "p1", plain_json.dumps(document).encode(), version=now.version)


@pytest.mark.parametrize("versions", [True, False])
def test_a_server_that_only_patches_is_written_by_patch(clock: FastClock, versions: bool) -> None:
    server = Patching(versions=versions)
    with server.serve(JSON_PATCH) as running:
        written = at(running, clock, renamed)
        [sent] = [request for request in running.seen if request.method == "PATCH"]
    assert server.patient["name"] == [{"family": "B"}]
    assert server.patient["text"]["div"] == "<div>A</div>", "the narrative is the vendor's own"
    assert plain_json.loads(sent.body) == [
        {"op": "test", "path": "/name/0/family", "value": "A"},
        {"op": "replace", "path": "/name/0/family", "value": "B"},
    ]
    assert sent.headers["content-type"] == JSON_PATCH[0]
    assert sent.headers.get("if-match") == ('W/"3"' if versions else None)
    assert written.stored is not None and plain_json.loads(written.stored)["name"] == [{"family": "B"}]


@pytest.mark.parametrize(
    ("formats", "update", "concurrency"),
    [(JSON_PATCH, True, Concurrency.ETAG), ([], False, Concurrency.NONE), (["xml"], False, Concurrency.NONE)],
)
def test_patches_are_offered_where_the_statement_names_json_patch(
    clock: FastClock, formats: list[str], update: bool, concurrency: Concurrency
) -> None:
    async def work(adapter: Adapter) -> Any:
        return adapter.write_capability("Patient")

    with Patching(versions=True).serve(formats) as running:
        capability_of = at(running, clock, work)
    assert (capability_of.update, capability_of.concurrency) == (update, concurrency)


def test_an_edit_in_between_is_not_patched_over_with_versions(clock: FastClock) -> None:
    server = Patching(versions=True)

    def edit() -> None:
        server.version += 1

    server.before_patch = edit
    with server.serve(JSON_PATCH) as running, pytest.raises(VersionConflictError):
        at(running, clock, renamed)
    assert server.patient["name"] == [{"family": "A"}]


def test_an_edit_in_between_is_not_patched_over_without_versions(clock: FastClock) -> None:
    server = Patching(versions=False)

    def edit() -> None:
        server.patient["name"] = [{"family": "C"}]

    server.before_patch = edit
    with server.serve(JSON_PATCH) as running, pytest.raises(PermanentError):
        at(running, clock, renamed)
    assert server.patient["name"] == [{"family": "C"}], "the old value was tested"
