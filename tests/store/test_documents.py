from __future__ import annotations

import gzip
import random
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
import zstandard

from holovitals_pipelines.fhir.canonical import content_hash
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.store import documents
from holovitals_pipelines.store.bulk import insert_rows
from holovitals_pipelines.store.database import Database
from holovitals_pipelines.store.documents import get_document, get_documents, pack, put_documents, unpack
from holovitals_pipelines.store.tables import document

OBSERVATION = (
    b'{"resourceType":"Observation","id":"o1","meta":{"versionId":"7"},"status":"final","code":{"coding":[{"system":'
    b'"http://loinc.org","code":"8302-2","display":"Body Height"}]},"subject":{"reference":"Patient/p1"},'
    b'"valueQuantity":{"value":1.800,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}'
)
BODIES = [
    OBSERVATION,
    b'{"resourceType" : "Patient",\r\n  "decimal": 1.00000000000000000000, "text": "\xc3\xbc\xf0\x9f\x92\x8a \\u0000"}',
    b"",
    b"\x00\xff not JSON at all, kept for quarantine",
    random.Random(1).randbytes(3_000_000),
    b"a" * 10_000_000,
]


def addressed(bodies: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(content_hash(body), body) for body in bodies]


def test_bodies_come_back_byte_for_byte(database: Database) -> None:
    with database.write() as transaction:
        assert put_documents(transaction, addressed(BODIES)) == len(BODIES)
    with database.read() as transaction:
        assert get_documents(transaction, map(content_hash, BODIES)) == dict(addressed(BODIES))
        assert get_document(transaction, content_hash(OBSERVATION)) == OBSERVATION


def test_a_body_is_stored_once_whoever_brings_it(database: Database) -> None:
    with database.write() as transaction:
        assert put_documents(transaction, addressed([OBSERVATION, OBSERVATION, b"{}"])) == 2
    with database.write() as transaction:
        assert put_documents(transaction, addressed([OBSERVATION])) == 0
        assert transaction.execute(sa.select(sa.func.count()).select_from(document)).scalar() == 2


def test_a_document_that_is_not_there_is_named_by_its_address(database: Database) -> None:
    with pytest.raises(StoreError) as raised, database.read() as transaction:
        get_document(transaction, b"\xab" * 16)
    assert raised.value.code == "store.document_missing"
    assert "ab" * 16 in raised.value.place


@pytest.mark.parametrize(
    "frame",
    [
        pack(OBSERVATION.replace(b"1.800", b"1.801")),  # a whole frame of other bytes
        pack(OBSERVATION)[:-3],
        pack(OBSERVATION)[:40] + b"\x00\x00\x00\x00" + pack(OBSERVATION)[44:],
        OBSERVATION,
        b"",
        zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(b"x" * 1000)).compress(b"y"),
    ],
    ids=["other bytes", "cut short", "overwritten", "not a frame", "empty", "another dictionary"],
)
def test_a_damaged_document_is_detected(database: Database, frame: bytes) -> None:
    row = (content_hash(OBSERVATION), len(OBSERVATION), frame)
    with database.write() as transaction:
        insert_rows(transaction, document, ("document_hash", "size", "body"), [row])
    with pytest.raises(StoreError) as raised, database.read() as transaction:
        get_document(transaction, content_hash(OBSERVATION))
    assert raised.value.code == "store.document_damaged"
    assert "8302-2" not in str(raised.value)


def test_packing_is_safe_in_many_threads() -> None:
    bodies = [OBSERVATION.replace(b"o1", b"o%d" % number) for number in range(2_000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda body: unpack(pack(body)), bodies)) == bodies


def test_frames_of_every_dictionary_ever_shipped_can_be_read() -> None:
    """A frame names its dictionary: one that is changed or lost makes stored bodies unreadable."""
    folder = Path(documents.__file__).parent / "dictionaries"
    shipped = sorted(folder.glob("fhir-*.zdict"))
    origin = (folder / "ORIGIN.md").read_text()
    for path in shipped:
        assert sha256(path.read_bytes()).hexdigest() in origin
    written_in_2026 = bytes.fromhex("28b52ffd21011a65000010227d023ccd2b80101d0910")
    assert unpack(written_in_2026) == b'{"resourceType":"Patient"}'
    assert zstandard.get_frame_parameters(pack(OBSERVATION)).dict_id == documents.CURRENT_DICTIONARY


def test_the_shared_dictionary_is_worth_its_keep() -> None:
    alone = zstandard.ZstdCompressor(level=documents.LEVEL).compress(OBSERVATION)
    assert len(pack(OBSERVATION)) < 0.6 * len(alone)


def test_the_reference_export_comes_back_byte_for_byte(
    sqlite_database: Database, request: pytest.FixtureRequest
) -> None:
    """Real resources from ../shared/data/fhir-bulk-100, where that folder is present."""
    export = request.config.rootpath.parent / "shared" / "data" / "fhir-bulk-100" / "all.ndjson.gz"
    if not export.exists():
        pytest.skip("../shared/data/fhir-bulk-100 is not on this machine")
    with gzip.open(export) as lines:
        bodies = [line.rstrip(b"\n") for number, line in enumerate(lines) if number % 10 == 0]
    with sqlite_database.write() as transaction:
        put_documents(transaction, addressed(bodies))
    with sqlite_database.read() as transaction:
        found = get_documents(transaction, map(content_hash, bodies))
    assert [found[content_hash(body)] for body in bodies] == bodies
