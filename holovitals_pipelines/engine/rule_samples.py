"""What rule sets are tried on: records of a file, in whatever they are written, or as a connection landed them.

Law: nothing here calls a vendor, and a file that cannot be read is named, never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.fhir.exact import read_document, read_value
from holovitals_pipelines.fhir.strict_json import MalformedResource
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Dataset, SourceFormat, Stage
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.store.parts import newest_job_with, parts_of
from holovitals_pipelines.store.tables import landing_part, sync_job
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.rule_set import RuleSet
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.sources import documents_of
from holovitals_pipelines.transform.tables import shipped_tables

_LINES = (".ndjson", ".jsonl")


def open_rule_set(file: Path) -> RuleSetReady:
    """The rule set of a file, with the functions and tables we ship. Raises ConfigurationError with file and line."""
    return read_rule_set(read_text(file), str(file), shipped_functions(), shipped_tables())


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        why = error.strerror or "the system refused"
    remedy = "check the path and who may read the file"
    raise ConfigurationError(why, code="rules.unreadable", place=str(file), remedy=remedy)


def read_text(file: Path) -> str:
    """A file of people's. Raises ConfigurationError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        why, remedy = error.strerror or "the system refused", "check the path and who may read the file"
    except UnicodeDecodeError:
        why, remedy = "the file is not written in UTF-8", "save it in UTF-8"
    raise ConfigurationError(why, code="rules.unreadable", place=str(file), remedy=remedy)


@dataclass(frozen=True, slots=True)
class Sample:
    number: int
    """The line of a file of lines; otherwise the place among the records, from 1."""
    document: Document


@dataclass(frozen=True, slots=True)
class Samples:
    records: tuple[Sample, ...]
    unreadable: int = 0
    """Readings of an extract, before the last record taken, that are no JSON object; a sync quarantines them."""


_NOT_JSON = (SourceFormat.HL7_V2, SourceFormat.CDA, SourceFormat.CUSTOM_XML)


def samples_of_file(file: Path, limit: int, rules: RuleSet | None = None) -> Samples:
    """The first records of a file: one a line in .ndjson and .jsonl, otherwise one object or a list of objects.

    For rules over HL7 v2, C-CDA or XML the file is written in that: each thing of the rules' type that it speaks of.
    """
    found: list[Sample] = []
    if rules is not None and rules.source_format in _NOT_JSON and file.suffix not in (".json", *_LINES):
        read = partial(documents_of, source_format=rules.source_format, resource_type=rules.resource_type)
        documents = _parsed(read, _bytes_of(file), str(file))
        return Samples(tuple(Sample(number, one) for number, one in enumerate(documents[:limit], start=1)))
    if file.suffix not in _LINES:
        value = _parsed(read_value, read_text(file), str(file))
        records = value if isinstance(value, list) else [value]
        for number, record in enumerate(records[:limit], start=1):
            if not isinstance(record, dict):
                raise _wrong_input(f"record {number} is no JSON object", str(file))
            found.append(Sample(number, record))
        return Samples(tuple(found))
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            found.append(Sample(number, _parsed(read_document, line.encode(), f"{file}:{number}")))
        if len(found) == limit:
            break
    return Samples(tuple(found))


def _parsed(read: Callable[[Any], Any], written: str | bytes, place: str) -> Any:
    try:
        return read(written)
    except MalformedResource as error:
        message = error.message
    raise _wrong_input(message, place)


def _wrong_input(message: str, place: str) -> ConfigurationError:
    remedy = "give records as JSON: an object, a list of objects, or one object a line in a file named .ndjson"
    return ConfigurationError(message, code="rules.input", place=place, remedy=remedy)


def samples_of_connection(home: Home, connection: str, resource_type: str, limit: int) -> Samples:
    """The first records of the newest finished extract of the type that brought any. The vendor is not called."""
    home.connection(connection)
    brought = sa.exists().where(
        landing_part.c.job_id == sync_job.c.job_id,
        landing_part.c.dataset == Dataset.EXTRACT.value,
        landing_part.c.resource_type == resource_type,
    )
    with home.database.read() as transaction:
        job_id = newest_job_with(transaction, connection, resource_type, Stage.EXTRACT, brought)
        parts = parts_of(transaction, job_id, Dataset.EXTRACT, resource_type) if job_id is not None else []
    if not parts:
        raise ConfigurationError(
            "nothing of this type has been landed yet",
            code="rules.no_extract",
            place=f"connection {connection}, {resource_type}",
            remedy=f"read it first (holovitals sync {connection} --full), or give a file with --input",
        )
    found: list[Sample] = []
    unreadable = 0
    for body in _bodies(home, [part.path for part in parts]):
        try:
            found.append(Sample(len(found) + 1, read_document(body)))
        except MalformedResource:
            unreadable += 1
        if len(found) == limit:
            break
    return Samples(tuple(found), unreadable)


def _bodies(home: Home, paths: Sequence[str]) -> Iterator[bytes]:
    """What was read; deletions have no body."""
    for batch in home.landing.open_parts(paths, columns=["body"]):
        yield from (body for body in batch.column("body").to_pylist() if body is not None)
