"""Lookup tables: a key has one row, and what we ship is what its sources say."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.tables import (
    LookupTable,
    Tables,
    read_concept_map,
    read_csv_table,
    shipped_tables,
)
from holovitals_pipelines.transform.units import is_unit

SHIPPED = shipped_tables()


def read(text: str, key: str | None = None) -> LookupTable:
    return read_csv_table(text, "mine", "1", key, "mine.csv")


def refused(text: str, key: str | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as error:
        read(text, key)
    return error.value


def test_a_table_is_read_with_remarks_a_byte_order_mark_and_either_line_end() -> None:
    plain = "code,name\nA,one\nB,\n"
    table = read(plain)
    assert (table.key, table.columns) == ("code", ("code", "name"))
    assert table.rows == ({"code": "A", "name": "one"}, {"code": "B", "name": None})
    for text in ("\ufeff" + plain, plain.replace("\n", "\r\n"), "# where from\n#\n" + plain + "\n\n", plain.strip()):
        assert read(text) == table
    assert read(plain, "code").content_hash == table.content_hash
    assert read('name,code\n"a, ""b""\nc",A\n', "code").rows == ({"name": 'a, "b"\nc', "code": "A"},)


def test_a_key_that_is_there_twice_is_refused_with_its_lines() -> None:
    error = refused('# remark\ncode,name\nA,1\nB,"x\ny"\nA,2\nB,3\n')
    assert error.code == "tables.duplicate_key" and error.place == "mine.csv"
    assert "line 3 and line 6; line 4 and line 7" in error.message
    many = refused("code\n" + "A\n" + "\n".join(f"K{n}\nK{n}" for n in range(9)))
    assert "and 4 more" in many.message


@pytest.mark.parametrize("key", ["", " ", " A", "A\t"])
def test_a_key_that_is_empty_or_has_blanks_around_it_is_refused_with_its_line(key: str) -> None:
    error = refused(f"code,name\nA,1\n{key},2\n")
    assert error.code == "tables.empty_key" and "line 3" in error.message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "mine.csv"),
        ("code,name\n", "mine.csv"),
        ("code,name\nA\n", "mine.csv:2"),
        ("code,name\nA,1,2\n", "mine.csv:2"),
        ("code,code\nA,1\n", "mine.csv"),
        ("code,\nA,1\n", "mine.csv"),
        ('# x\ncode,name\nA,1\nB,"2', "mine.csv:4"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(text: str, place: str) -> None:
    assert refused(text).place == place


def test_a_key_or_a_name_that_is_none_is_refused() -> None:
    assert "'id'" in refused("code\nA\n", "id").message
    for name, version in [("Mine", "1"), ("mine", ""), ("mine", "1 2")]:
        with pytest.raises(ConfigurationError):
            LookupTable(name, version, "code", ("code",), ({"code": "A"},))
    with pytest.raises(ConfigurationError):
        LookupTable("mine", "1", "code", ("code",), ({"code": "A"}, {"code": "A"}))


def test_no_error_shows_a_key() -> None:
    for text in ("code\nSECRET\nSECRET\n", "code\n SECRET\n", 'code,name\nSECRET,"\n'):
        assert "SECRET" not in str(refused(text))


CELLS = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(CELLS.filter(bool), CELLS, min_size=1, max_size=8), st.randoms())
def test_the_hash_is_of_the_content_and_the_relation_holds_every_row(cells: dict[str, str], random: Any) -> None:
    rows = [{"code": key, "name": value or None} for key, value in cells.items()]
    table = LookupTable("mine", "1", "code", ("code", "name"), tuple(rows))
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert LookupTable("mine", "2", "code", ("code", "name"), tuple(shuffled)).content_hash == table.content_hash
    other = [rows[0] | {"name": (rows[0]["name"] or "") + "x"}, *rows[1:]]
    assert LookupTable("mine", "1", "code", ("code", "name"), tuple(other)).content_hash != table.content_hash
    assert table.to_arrow().to_pylist() == rows


def test_an_empty_column_is_text_too() -> None:
    table = LookupTable("mine", "1", "code", ("code", "name"), ({"code": "A", "name": None},))
    found = duckdb.from_arrow(table.to_arrow()).query("mine", "SELECT typeof(name) FROM mine")
    assert found.fetchall() == [("VARCHAR",)]


def concept_map(*elements: dict[str, Any]) -> dict[str, Any]:
    group = {"source": "urn:a", "target": "urn:b", "element": list(elements)}
    return {"resourceType": "ConceptMap", "id": "local-sex", "version": "2.1.0", "group": [group]}


def element(code: str, target: str | None, equivalence: str) -> dict[str, Any]:
    return {"code": code, "target": [({"code": target} if target else {}) | {"equivalence": equivalence}]}


MAP = concept_map(
    element("F", "female", "equal"),
    element("M", "male", "equivalent"),
    element("X", "other", "wider"),
    element("Q", None, "unmatched"),
)


def test_a_concept_map_gives_what_loses_nothing_and_more_only_when_asked() -> None:
    table = read_concept_map(MAP)
    assert table.full_name == "local_sex@2.1.0"
    assert {row["code"]: row["target"] for row in table.rows} == {"F": "female", "M": "male"}
    assert table.rows[0]["system"] == "urn:b"
    wider = read_concept_map(MAP, "sex", "3", equivalences={"equal", "equivalent", "wider"})
    assert [(row["code"], row["equivalence"]) for row in wider.rows] == [
        ("F", "equal"),
        ("M", "equivalent"),
        ("X", "wider"),
    ]


def test_a_concept_map_that_is_no_table_is_refused_with_its_place() -> None:
    both = {"code": "F", "target": [{"code": "f", "equivalence": "equal"}, {"code": "g", "equivalence": "equal"}]}
    newer = {"code": "F", "target": [{"code": "f", "relationship": "equivalent"}]}
    depends = {"code": "F", "target": [{"code": "f", "equivalence": "equal", "dependsOn": [{"property": "x"}]}]}
    for document, part in [
        (concept_map(both), "element[0]"),
        (concept_map(newer), "R5"),
        (concept_map(depends), "depends"),
        (concept_map(element("X", "other", "wider")), "no mapping"),
        ({"resourceType": "ValueSet"}, "no ConceptMap"),
    ]:
        with pytest.raises(ConfigurationError) as error:
            read_concept_map(document)
        assert part in str(error.value)


def test_tables_are_known_by_name_and_version() -> None:
    tables = Tables()
    tables.register(read("code\nA\n"))
    assert tables.get("mine@1").columns == ("code",)
    with pytest.raises(ConfigurationError) as unknown:
        tables.get("mine@2", "rules.yml:9")
    assert (unknown.value.code, unknown.value.place) == ("tables.unknown", "rules.yml:9")
    assert "mine@1" in unknown.value.remedy
    with pytest.raises(ConfigurationError):
        tables.register(read("code\nB\n"))


def cell(table: str, key: str, column: str) -> str | None:
    found = SHIPPED.get(table)
    return {row[found.key]: row[column] for row in found.rows}[key]


def test_the_shipped_tables_say_what_their_sources_say() -> None:
    assert len(SHIPPED.get("us_states@1").rows) == 56
    assert cell("us_states@1", "north carolina", "code") == "NC"
    assert cell("v2_administrative_sex@1", "F", "target") == "female"
    assert cell("v2_marital_status@1", "S", "display") == "Never Married"
    assert cell("v2_race@1", "2106-3", "display") == "White"
    assert cell("v2_allergen_type@1", "FA", "category") == "food"
    assert cell("v2_allergy_severity@1", "SV", "criticality") == "high"
    assert cell("vital_signs@1", "bmi", "code") == "39156-5"
    assert cell("unit_spellings@1", "lbs", "code") == "[lb_av]"


def test_every_shipped_unit_is_one_and_every_code_has_its_check_digit() -> None:
    units = [row["code"] for row in SHIPPED.get("unit_spellings@1").rows]
    units += [row["unit"] for row in SHIPPED.get("vital_signs@1").rows]
    assert [unit for unit in units if unit is None or not is_unit(unit)] == []
    codes = [row["code"] for name in ("vital_signs@1", "v2_race@1") for row in SHIPPED.get(name).rows]
    for code in codes:
        number, _, check = str(code).partition("-")
        doubled = "".join(str(int(digit) * (2 - place % 2)) for place, digit in enumerate(reversed(number)))
        assert -sum(map(int, doubled)) % 10 == int(check), code


def test_keys_that_people_write_are_in_lower_case() -> None:
    for name in ("us_states@1", "vital_signs@1", "unit_spellings@1"):
        table = SHIPPED.get(name)
        assert all(row[table.key] == str(row[table.key]).lower() for row in table.rows)


def test_every_shipped_table_names_its_source() -> None:
    folder = files("holovitals_pipelines.transform").joinpath("code_systems")
    for file in folder.iterdir():
        if file.name.endswith(".csv"):
            assert re.search(r"^# Source: \S+", file.read_text(encoding="utf-8"), re.MULTILINE), file.name


def test_a_shipped_table_is_what_it_was_when_it_was_named() -> None:
    """A change here needs a new version, and the old file stays."""
    hashes = {table.full_name: table.content_hash[:12] for table in SHIPPED}
    assert hashes == HASHES


HASHES = {
    "cda_systems@1": "824f87426a0f",
    "unit_spellings@1": "4b7b3cebd3c5",
    "us_states@1": "c15b6618a94f",
    "v2_administrative_sex@1": "0b0af5c4dd99",
    "v2_allergen_type@1": "65e628cbfdeb",
    "v2_allergy_severity@1": "96b749421b8e",
    "v2_coding_systems@1": "0ca0cb17e322",
    "v2_marital_status@1": "14918ed7cacc",
    "v2_race@1": "cd08540467d7",
    "vital_signs@1": "3da2293825b3",
}
