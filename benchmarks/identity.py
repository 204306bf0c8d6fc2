"""`python -m benchmarks.identity`: what matching finds among the sandbox's people at seven vendors, and what it costs.

Whom a record is of is known to the population alone: nothing of it is in the store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import orjson
import sqlalchemy as sa

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.identity.index import index_patients, trust_of
from holovitals_pipelines.engine.identity.matching import match_patients
from holovitals_pipelines.engine.identity.views import list_proposals
from holovitals_pipelines.fhir.canonical import HASH_VERSION, content_hash
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.sandbox.population.spelling import patients_as_spelled
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.agreements import link_id_of
from holovitals_pipelines.store.connections import remember_connections
from holovitals_pipelines.store.decided import LinkRow, RecordRow, add_records, put_links
from holovitals_pipelines.store.documents import put_documents
from holovitals_pipelines.store.tables import patient_member

VENDORS = [provider for provider in Provider if provider is not Provider.FHIR]
Pairs = set[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=2_400)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--share", type=float, default=0.3, help="of the records that are spelled otherwise")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_home(Settings(home=Path(folder))) as home:
        truth = _fill(home, given.people, given.seed, given.share)
        real = _pairs(truth)
        begun = time.process_time()
        index_patients(home.database, trust_of(home.settings))
        indexed = time.process_time()
        person = _persons(home)
        exact = _pairs(person)
        between = time.process_time()
        match_patients(home)
        matched = time.process_time()
        proposed = [(one.record_id, one.other_id) for one in list_proposals(home.database, limit=10_000_000)]
    right = [pair for pair in proposed if truth[pair[0]] == truth[pair[1]]]
    accepted = _pairs(_joined(person, right))
    print(f"{given.people:,} people, {len(truth):,} records, {len(real):,} pairs of one person")
    print(f"by identifiers: {_share(exact & real, real)} found, {_share(exact & real, exact)} right")
    print(f"proposals: {len(proposed):,}, {_share(right, proposed)} right")
    print(f"with the right ones accepted: {_share(accepted & real, real)} found")
    print(f"CPU: index {indexed - begun:.1f} s, match {matched - between:.1f} s")


def _share(part: Iterable[object], whole: Iterable[object]) -> str:
    return f"{len(list(part)) / max(len(list(whole)), 1):.2%}"


def _fill(home: Home, people: int, seed: int, share: float) -> dict[str, str]:
    """By record id, whom it is of."""
    now = datetime.now(UTC)
    truth: dict[str, str] = {}
    configured = [ConnectionConfig(name=one.value, provider=one, base_url="http://127.0.0.1:9/x") for one in VENDORS]
    with home.database.write() as transaction:
        remember_connections(transaction, configured)
        for vendor in VENDORS:
            documents, records, links = [], [], []
            for whom, body in patients_as_spelled(people, seed, vendor.value, share=share):
                remote_id = str(orjson.loads(body)["id"])
                record_id, address = link_id_of(vendor.value, "Patient", remote_id), content_hash(body)
                truth[record_id] = str(whom)
                documents.append((address, body))
                row = RecordRow(record_id, 1, "active", address, address, HASH_VERSION, vendor.value, now)
                records.append((row, "Patient", vendor.value))
                links.append(LinkRow(record_id, vendor.value, "Patient", remote_id, record_id, "active", "sync", now))
            put_documents(transaction, documents)
            add_records(transaction, records)
            put_links(transaction, links)
    return truth


def _persons(home: Home) -> dict[str, str]:
    with home.database.read() as transaction:
        rows = transaction.execute(sa.select(patient_member.c.record_id, patient_member.c.patient_key)).all()
    return dict(row.tuple() for row in rows)


def _pairs(person: Mapping[str, str]) -> Pairs:
    groups: dict[str, list[str]] = defaultdict(list)
    for record_id, key in sorted(person.items()):
        groups[key].append(record_id)
    return {pair for members in groups.values() for pair in combinations(members, 2)}


def _joined(person: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Who would be one person were these pairs accepted."""
    root = {key: key for key in person.values()}

    def find(key: str) -> str:
        while root[key] != key:
            key = root[key]
        return key

    for one, other in pairs:
        root[find(person[one])] = find(person[other])
    return {record_id: find(key) for record_id, key in person.items()}


if __name__ == "__main__":
    main()
