"""Documents from flat rows: what the row holds and nothing else, and nothing that excludes anything else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.fhir.exact import Number, read_document, write_document
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.assembly import Assembly, ListTargets
from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.fields import FieldReader
from holovitals_pipelines.transform.path_text import PathError
from holovitals_pipelines.transform.rule_set import SourceField
from holovitals_pipelines.transform.targets import Keyed, Member, Position, parse_target

T = ColumnType


def assembled(row: dict[str, Any], *, resource_type: str | None = None, **lists: ListTargets) -> str:
    """The document of a row of strings whose columns are called like their targets."""
    assembly = Assembly(resource_type, {path: (path, T.STRING) for path in row}, lists)
    return write_document(assembly.document(row)).decode()


def test_a_target_is_members_positions_and_keys() -> None:
    assert parse_target("name[0].`first-name`").steps == (Member("name"), Position(0), Member("first-name"))
    assert parse_target("extension[url='urn:a'].valueString").steps == (
        Member("extension"),
        Keyed("url", "urn:a"),
        Member("valueString"),
    )


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("name[*].family", "path.no_target", 5), ("name[].family", "path.no_target", 5), ("*", "path.no_target", 0),
        ("name.first()", "path.no_target", 5), ("%record.id", "path.no_target", 0), ("", "path.malformed", 0),
        ("name.", "path.malformed", 5), ("[0]", "path.malformed", 0), ("name[-1]", "path.malformed", 5),
        ("first-name", "path.malformed", 5), ("a b", "path.malformed", 2), ("a[url=x]", "path.malformed", 6),
        ("a[url='']", "path.malformed", 6), ("a[0", "path.malformed", 3), ("a.``", "path.malformed", 2),
        ("a['x']", "path.malformed", 2),
    ],
)  # fmt: skip
def test_what_does_not_mean_one_place_is_no_target(text: str, code: str, position: int) -> None:
    with pytest.raises(PathError) as refused:
        Assembly(None, {"a": (text, T.STRING)})
    assert (refused.value.code, refused.value.position) == (code, position)


def test_nothing_is_left_where_there_is_no_value() -> None:
    row = {"id": None, "name[0].family": None, "name[0].given[0]": None, "contact.name.text": None}
    assert assembled(row) == "{}"
    assert assembled(row, resource_type="Patient") == '{"resourceType":"Patient"}'
    assert assembled({**row, "name[0].given[0]": "A"}) == '{"name":[{"given":["A"]}]}'


def test_positions_close_up_and_stand_in_their_order() -> None:
    assert assembled({"line[7]": "c", "line[1]": None, "line[2]": "b", "line[0]": "a"}) == '{"line":["a","b","c"]}'
    assert assembled({"rows[0][1]": "b", "rows[0][0]": "a", "rows[1][0]": "c"}) == '{"rows":[["a","b"],["c"]]}'


def test_type_id_and_meta_come_first_then_the_order_of_the_targets() -> None:
    row = {"gender": "x", "meta.source": "s", "name[0].use": "u", "id": "1", "active": "y", "name[0].family": "f"}
    assert assembled(row, resource_type="Patient") == (
        '{"resourceType":"Patient","id":"1","meta":{"source":"s"},"gender":"x",'
        '"name":[{"use":"u","family":"f"}],"active":"y"}'
    )


def test_a_leading_type_name_is_no_member() -> None:
    assert assembled({"Patient.id": "1"}, resource_type="Patient") == '{"resourceType":"Patient","id":"1"}'
    assert assembled({"Patient.id": "1"}) == '{"Patient":{"id":"1"}}'


def test_an_item_with_a_key_is_made_once_and_only_with_a_value() -> None:
    race, code = "extension[url='urn:race'].extension[url='text'].valueString", "extension[url='urn:c'].valueCode"
    version = "extension[url='urn:race'].id"
    assert assembled({race: "x", code: None, version: "1"}) == (
        '{"extension":[{"url":"urn:race","extension":[{"url":"text","valueString":"x"}],"id":"1"}]}'
    )
    assert assembled({"extension[0].url": "urn:first", code: "c"}) == (
        '{"extension":[{"url":"urn:first"},{"url":"urn:c","valueCode":"c"}]}'
    )


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (T.STRING, "7", '"7"'), (T.INTEGER, 7, "7"), (T.BOOLEAN, False, "false"), (T.DATETIME, "2024-02", '"2024-02"'),
        (T.DATE, date(987, 1, 2), '"0987-01-02"'),
        (T.NUMBER, "7.40", "7.40"), (T.NUMBER, "1E5", "1E5"), (T.NUMBER, "-0", "-0"), (T.NUMBER, "7", "7"),
        (T.NUMBER, "12345678901234567890.5", "12345678901234567890.5"), (T.NUMBER, "9" * 40, "9" * 40),
        (T.DECIMAL, Decimal("7.400000000"), "7.4"), (T.DECIMAL, Decimal("100.000000000"), "100"),
        (T.DECIMAL, Decimal("0E-9"), "0"), (T.DECIMAL, Decimal("-0.000000001"), "-0.000000001"),
        (T.DECIMAL, Decimal("1E+5"), "100000"), (T.DECIMAL, Decimal("-9999999999999999999"), "-9999999999999999999"),
        (T.JSON, '{"b":1.0,"a":[null,{}]}', '{"b":1.0,"a":[null,{}]}'), (T.JSON, '"x"', '"x"'), (T.JSON, "0", "0"),
    ],
)  # fmt: skip
def test_values_become_json_with_every_digit_that_counts(kind: ColumnType, value: Any, text: str) -> None:
    document = Assembly(None, {"column": ("a", kind)}).document({"column": value})
    body = write_document(document)
    assert body.decode() == f'{{"a":{text}}}'
    assert document == read_document(body), "as if it had been read"


@pytest.mark.parametrize("text", ["null", "{}", "[]"])
def test_empty_json_is_left_out(text: str) -> None:
    assert Assembly(None, {"a": ("a.b", T.JSON)}).document({"a": text}) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("name[0].family", "name[0].family"), ("name", "name[0].family"), ("name[0]", "name[0].family"),
        ("name.family", "name[0].given"), ("contact", "contact.name"), ("id", "id.value"), ("a[url='x']", "b"),
        ("a[url='x'].url", "b"), ("resourceType", "b"), ("name", "`name`"), ("a[url='x'].b", "a[url='x'].b"),
        ("a[url='x'].b", "a.b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_targets_that_exclude_each_other_are_refused_with_both_names(one: str, other: str, turned: bool) -> None:
    first, second = (other, one) if turned else (one, other)
    with pytest.raises(ConfigurationError) as refused:
        Assembly("Patient", {"first": (first, T.STRING), "second": (second, T.STRING)})
    assert refused.value.code == "target.conflict"
    named = [f"target {text!r}" for text in (first, second) if text != "b"]
    assert all(text in refused.value.message for text in named)


def test_the_rows_of_groups_are_added_after_fixed_items_in_the_order_of_the_groups() -> None:
    assembly = Assembly(
        "Patient",
        {"mobile": ("telecom[0].value", T.STRING), "fax": ("telecom[system='fax'].value", T.STRING)},
        {
            "phones": ListTargets("telecom", {"number": ("value", T.STRING), "rank": ("rank", T.INTEGER)}),
            "codes": ListTargets("maritalStatus.coding", {"code": ("code", T.STRING)}),
            "mails": ListTargets("telecom", {"address": ("value", T.STRING)}),
        },
    )
    phones = [{"number": "1", "rank": 1}, {"number": None, "rank": None}, {"number": "2", "rank": None}]
    items: dict[str, list[dict[str, Any]]] = {"mails": [{"address": "a@b"}], "phones": phones}
    assert assembly.document({"mobile": "0", "fax": "f"}, items) == {
        "resourceType": "Patient",
        "telecom": [
            {"value": "0"},
            {"system": "fax", "value": "f"},
            {"value": "1", "rank": 1},
            {"value": "2"},
            {"value": "a@b"},
        ],
    }
    assert assembly.document({"mobile": None, "fax": None}) == {"resourceType": "Patient"}


@pytest.mark.parametrize("target", ["telecom", "telecom.value"])
def test_a_list_of_a_group_excludes_what_is_no_list(target: str) -> None:
    with pytest.raises(ConfigurationError, match="the list 'telecom' of group 'phones' and target 'telecom"):
        Assembly(None, {"a": (target, T.JSON)}, {"phones": ListTargets("telecom", {"value": ("value", T.STRING)})})


def test_a_group_s_own_targets_are_checked_too() -> None:
    targets = {"a": ("value", T.STRING), "b": ("value.x", T.STRING)}
    with pytest.raises(ConfigurationError, match=r"target 'value\.x' of group 'phones' and target 'value' of group"):
        Assembly(None, {}, {"phones": ListTargets("telecom", targets)})


def test_two_documents_share_nothing() -> None:
    assembly = Assembly("Patient", {"a": ("name", T.JSON)}, {"g": ListTargets("b", {"c": ("c", T.STRING)})})
    one = assembly.document({"a": '[{"x":1}]'}, {"g": [{"c": "1"}]})
    one["name"][0]["x"], one["b"][0]["c"] = 2, "2"
    other = assembly.document({"a": '[{"x":1}]'}, {"g": [{"c": "1"}]})
    assert other == {"resourceType": "Patient", "name": [{"x": 1}], "b": [{"c": "1"}]}


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(lambda text: not text.isspace())
numbers = st.one_of(
    st.sampled_from(["7.40", "1E5", "12345678901234567890.5", "-0", "-0.0", "1e-7", "18446744073709551616"]).map(
        Number
    ),
    st.integers(-(2**63), 2**64 - 1),
)
moments = st.sampled_from(["2024", "2024-02-29", "2024-02-29T10:00:00.5+01:00"])
days = st.dates(date(1, 1, 1)).map(str)
decimals = st.sampled_from([Number("7.4"), Number("-0.000000001"), 100000, Number("9999999999999999999.5")])
json_values = st.lists(st.fixed_dictionaries({"x": numbers, "y": st.none() | texts}), min_size=1, max_size=2)
PLACES: dict[str, tuple[ColumnType, st.SearchStrategy[Any]]] = {
    "id": (T.STRING, texts),
    "meta.lastUpdated": (T.DATETIME, moments),
    "active": (T.BOOLEAN, st.booleans()),
    "birthDate": (T.DATE, days),
    "multipleBirthInteger": (T.INTEGER, st.integers(-(2**63), 2**63 - 1)),
    "contact.name.family": (T.STRING, texts),
    "contact.name.`given-name`": (T.STRING, texts),
    "weight.value": (T.NUMBER, numbers),
    "height.value": (T.DECIMAL, decimals),
    "address": (T.JSON, json_values),
    "contact.note": (T.JSON, json_values),
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents with values at any of PLACES, in their order."""
    document: dict[str, Any] = {"resourceType": "Patient"}
    for path, (_, values) in PLACES.items():
        if draw(st.booleans()):
            *parents, last = path.replace("`", "").split(".")
            place = document
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = draw(values)
    return document


READER = FieldReader({path: SourceField(path=path, type=kind) for path, (kind, _) in PLACES.items()})
ASSEMBLY = Assembly("Patient", {path: (path, kind) for path, (kind, _) in PLACES.items()})


@settings(max_examples=300, deadline=None)
@given(documents())
def test_what_is_read_and_assembled_again_is_the_same_document(document: dict[str, Any]) -> None:
    before = write_document(document)
    row, problems = READER.read(document)
    assert problems == []
    assert ASSEMBLY.document(row) == document
    again = read_document(write_document(ASSEMBLY.document(row)))
    assert again == document and write_document(document) == before


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"system": texts}, optional={"value": texts, "rank": st.integers(1, 9)}), max_size=4)
)
def test_the_items_of_a_list_survive_item_by_item(items: list[dict[str, Any]]) -> None:
    kinds = {"system": T.STRING, "value": T.STRING, "rank": T.INTEGER}
    reader = FieldReader({name: SourceField(path=name, type=kind) for name, kind in kinds.items()})
    group = ListTargets("telecom", {name: (name, kind) for name, kind in kinds.items()})
    rows = [reader.read(item)[0] for item in items]
    made = Assembly(None, {}, {"telecom": group}).document({}, {"telecom": rows})
    assert made == ({"telecom": items} if items else {})
