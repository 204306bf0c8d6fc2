"""Lookup tables that rules name by `name@version`: read from CSV or from a FHIR ConceptMap, and those we ship.

Law: a key has one row. A table in which a key is twice, or is missing, is refused with its lines, not read somehow.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Final

import pyarrow as pa

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.transform.registry import Registry

TableRow = Mapping[str, str | None]
"""Cells by column; None where a cell is empty."""

EXACT_EQUIVALENCES: Final = frozenset({"equal", "equivalent"})

_SHOWN: Final = 5


@dataclass(frozen=True)
class LookupTable:
    """Rows of text by a key that is unique and never empty. Keys are compared as they are, letter case and all."""

    name: str
    version: str
    key: str
    """The column that is looked in."""
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,60}@[0-9A-Za-z][0-9A-Za-z.-]{0,40}", self.full_name):
            raise _wrong("no name and version of a table", self.full_name, remedy="as in locations@2024-10 or sex@1")
        if self.key not in self.columns:
            raise _wrong(f"there is no column {self.key!r}", self.full_name, remedy=f"it has {', '.join(self.columns)}")
        places = [f"row {number}" for number in range(1, len(self.rows) + 1)]
        _check_keys([row[self.key] for row in self.rows], places, self.full_name)

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """Of what lookups can see: not of the order of rows."""
        rows = sorted([row[column] or "" for column in self.columns] for row in self.rows)
        content = json.dumps([self.key, self.columns, rows], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    def to_arrow(self) -> pa.Table:
        """Columns of strings; the relation that batches are joined with."""
        columns = [pa.array([row[column] for row in self.rows], pa.string()) for column in self.columns]
        return pa.table(columns, names=list(self.columns))


class Tables(Registry[LookupTable]):
    """Registered tables by `name@version`."""

    def __init__(self) -> None:
        super().__init__("table")


def read_csv_table(text: str, name: str, version: str, key: str | None = None, place: str = "") -> LookupTable:
    """A table from comma-separated text with a row of column names; lines before it that start with # are remarks.

    Without a `key` the first column is it. Raises ConfigurationError naming `place` and the lines.
    """
    place = place or f"{name}@{version}"
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    remarks = 0
    while remarks < len(lines) and lines[remarks].startswith("#"):
        remarks += 1
    reader = csv.reader(io.StringIO("".join(lines[remarks:]), newline=""), strict=True)
    records = list(_records(reader, remarks, place))
    if len(records) < 2:
        raise _wrong("a table needs a row of column names and rows", place)
    (_, header), *body = records
    _check_header(header, place)
    for line, cells in body:
        if len(cells) != len(header):
            raise _wrong(f"{len(cells)} cells where {len(header)} columns are named", f"{place}:{line}")
    rows = [dict(zip(header, (cell or None for cell in cells), strict=True)) for _, cells in body]
    key = header[0] if key is None else key
    if key in header:
        _check_keys([row[key] for row in rows], [f"line {line}" for line, _ in body], place)
    return LookupTable(name, version, key, tuple(header), tuple(rows))


def read_concept_map(
    document: Mapping[str, Any],
    name: str | None = None,
    version: str | None = None,
    *,
    equivalences: Collection[str] = EXACT_EQUIVALENCES,
) -> LookupTable:
    """A table from a ConceptMap of FHIR R4, with columns code, target, display, system and equivalence.

    Only mappings of the named equivalences are in it: by default those that lose nothing. Its key is the source's code,
    so groups of several source systems are refused where they share one. Raises ConfigurationError.
    """
    if document.get("resourceType") != "ConceptMap":
        raise _wrong("no ConceptMap", name or "document")
    id = document.get("id") or document.get("name") or ""
    name = name or re.sub(r"[^a-z0-9]+", "_", str(id).lower()).strip("_")
    version = version or str(document.get("version", "1"))
    found = [
        (place, row) for place, row in _mappings(document, f"{name}@{version}") if row["equivalence"] in equivalences
    ]
    if not found:
        raise _wrong(f"no mapping is {' or '.join(sorted(equivalences))}", f"{name}@{version}")
    _check_keys([row["code"] for _, row in found], [place for place, _ in found], f"{name}@{version}")
    columns = ("code", "target", "display", "system", "equivalence")
    return LookupTable(name, version, "code", columns, tuple(row for _, row in found))


def shipped_tables() -> Tables:
    """A new registry that holds ours (transform/code_systems); add your own to it."""
    tables = Tables()
    folder = files("holovitals_pipelines.transform").joinpath("code_systems")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        stem, _, suffix = file.name.rpartition(".")
        if suffix == "csv":
            name, _, version = stem.partition("@")
            tables.register(read_csv_table(file.read_text(encoding="utf-8"), name, version, place=file.name))
    return tables


def _records(reader: Any, remarks: int, place: str) -> Iterator[tuple[int, list[str]]]:
    """Records that hold anything, each with the line it starts on."""
    line = remarks + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _wrong(f"this is no CSV: {error}", f"{place}:{remarks + reader.line_num}") from None
        if cells is None:
            return
        if cells:
            yield line, cells
        line = remarks + reader.line_num + 1


def _check_header(header: Sequence[str], place: str) -> None:
    if not all(name.strip() == name and name for name in header) or len(set(header)) < len(header):
        raise _wrong("columns need names, each its own, without blanks around them", place)


def _check_keys(keys: Sequence[str | None], places: Sequence[str], place: str) -> None:
    """Names the rows, never the keys."""
    empty = [where for where, key in zip(places, keys, strict=True) if key is None or key != key.strip() or not key]
    if empty:
        raise _wrong(f"keys are empty or have blanks around them: {_some(empty)}", place, code="tables.empty_key")
    at = defaultdict(list)
    for where, key in zip(places, keys, strict=True):
        at[key].append(where)
    twice = [" and ".join(wheres) for wheres in at.values() if len(wheres) > 1]
    if twice:
        raise _wrong(f"keys are there more than once: {_some(twice)}", place, code="tables.duplicate_key")


def _some(places: Sequence[str]) -> str:
    more = f"; and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return "; ".join(places[:_SHOWN]) + more


def _mappings(document: Mapping[str, Any], place: str) -> Iterator[tuple[str, TableRow]]:
    for group_number, group in enumerate(_items(document, "group")):
        for number, element in enumerate(_items(group, "element")):
            where = f"group[{group_number}].element[{number}]"
            for target in _items(element, "target"):
                if "relationship" in target:
                    raise _wrong("`relationship` is R5's; R4 has `equivalence`", f"{place}: {where}")
                if target.get("dependsOn"):
                    raise _wrong("a mapping depends on other elements, which a table cannot say", f"{place}: {where}")
                if "code" in target:
                    yield where, _mapping(group, element, target)


def _mapping(group: Mapping[str, Any], element: Mapping[str, Any], target: Mapping[str, Any]) -> TableRow:
    return {
        "code": element.get("code"),
        "target": target["code"],
        "display": target.get("display"),
        "system": group.get("target"),
        "equivalence": target.get("equivalence"),
    }


def _items(holder: Mapping[str, Any], member: str) -> Iterable[Mapping[str, Any]]:
    items = holder.get(member, [])
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _wrong(message: str, place: str, *, code: str = "tables.unreadable", remedy: str = "") -> ConfigurationError:
    return ConfigurationError(message, code=code, place=place, remedy=remedy)
