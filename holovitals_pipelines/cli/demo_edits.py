"""The demo's edits: at the vendors, here, and on both sides at once; remembered from demo to demo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.local_records import edit_record, record_of
from holovitals_pipelines.sandbox.process import RunningSandbox
from holovitals_pipelines.store.agreements import remote_ids


class EditsAtVendors:
    """Edits made behind the API's back, as a clinician would; kept in a file for the next sandbox to repeat."""

    def __init__(self, running: RunningSandbox, journal: Path) -> None:
        self._running = running
        self._journal = journal

    def repeat_earlier(self) -> None:
        if self._journal.exists():
            for line in self._journal.read_text(encoding="utf-8").splitlines():
                edit = json.loads(line)
                if edit["vendor"] in self._running.base_urls:
                    self._put(edit["vendor"], edit["body"])

    def read(self, vendor: str, resource_type: str, identity: str) -> dict[str, Any]:
        answer = httpx.get(self._address(vendor, resource_type, identity), trust_env=False)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def write(self, vendor: str, body: dict[str, Any]) -> None:
        self._put(vendor, body)
        with self._journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps({"vendor": vendor, "body": body}) + "\n")

    def _put(self, vendor: str, body: dict[str, Any]) -> None:
        address = self._address(vendor, body["resourceType"], body["id"])
        httpx.put(address, content=json.dumps(body), trust_env=False).raise_for_status()

    def _address(self, vendor: str, resource_type: str, identity: str) -> str:
        return f"{self._running.admin_url}/{vendor}/{resource_type}/{identity}"


def edit_both_sides(home: Home, edits: EditsAtVendors, vendors: Sequence[str]) -> Iterator[str]:
    """Edit three patients a vendor: one there, one here, one on both sides. Yields what was done, in words."""
    for vendor in vendors:
        with home.database.read() as transaction:
            there, here, both = sorted(remote_ids(transaction, vendor, "Patient"))[:3]
        edits.write(vendor, _renamed(edits.read(vendor, "Patient", there), "Remote"))
        yield f"{vendor}: a clinician changes a patient's name at the vendor"
        _edit_here(home, vendor, here, "Local")
        yield f"{vendor}: someone changes another patient's name here"
        edits.write(vendor, _renamed(edits.read(vendor, "Patient", both), "Remote"))
        _edit_here(home, vendor, both, "Local")
        yield f"{vendor}: a third patient's name is changed on both sides, differently"


def _edit_here(home: Home, vendor: str, identity: str, mark: str) -> None:
    stored = record_of(home, vendor, "Patient", identity)
    body = json.dumps(_renamed(json.loads(stored.body), mark)).encode()
    edit_record(home.database, stored.record_id, body, seen_version=stored.version, actor="demo")


def _renamed(patient: dict[str, Any], mark: str) -> dict[str, Any]:
    """The patient with another family name each time: Doe → Doe-Remote1 → Doe-Remote2."""
    family = patient["name"][0]["family"]
    stem, _, number = family.partition(f"-{mark}")
    changed = [{**patient["name"][0], "family": f"{stem}-{mark}{int(number or 0) + 1}"}, *patient["name"][1:]]
    return {**patient, "name": changed}
