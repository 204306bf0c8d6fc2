"""What the contract has to know of a vendor: how to connect, what to read in pages, what to write, and by which paths
faults find those requests. An author of an adapter declares one of these in `vendors.py` and is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

Resource = dict[str, Any]
TOUCHED = "urn:contract:touched"
"""Stands in a record that was edited at the vendor."""


def renamed(patient: Resource) -> None:
    """A change that every vendor who takes patients can store."""
    patient["name"][0]["family"] = "Contractname"


WRITING = (
    "test_what_was_written_is_read_back_as_declared_and_the_next_pass_writes_nothing",
    "test_an_edit_of_somebody_else_in_between_is_detected_and_neither_side_is_lost",
    "test_edits_of_the_same_on_both_sides_are_a_conflict_and_overwrite_nothing_unseen",
    "test_a_write_whose_answer_is_lost_happens_once_and_is_never_sent_again_blindly",
)
"""The claims that a read-only vendor cannot make."""


@dataclass(frozen=True)
class VendorUnderTest:
    """One vendor. Paths are globs over the sandbox's path templates, as its request log shows them."""

    provider: str
    paged_type: str
    """A type that is read in several requests."""
    paged_path: str
    """Those requests."""
    held_as: str
    """The FHIR type under which the sandbox keeps the paged type."""
    interface: str = ""
    """Which one of the vendor's, where it has several under contract."""
    by_messages: bool = False
    """It tells of changes by HL7 v2 messages and takes them so: faults are of messages (`messages.py`)."""
    other_types: tuple[str, ...] = ()
    """Read beside patients and the paged type."""
    lists_patients: bool = True
    """Whether the connection is told the patients; else the vendor tells them."""
    overlap: timedelta = timedelta(seconds=130)
    """What the engine takes off a watermark (`read.overlap_seconds`)."""
    connection: Mapping[str, Any] = field(default_factory=dict)
    """Beside name, provider and base_url: `auth`, `vendor`, …"""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """By environment variable."""
    base: str = ""
    """The sandbox's name of the base URL, where the vendor has several."""
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    """Knobs of the dialect that make pages small, where the connection's `page_size` does not."""
    touched: Callable[[], Mapping[str, Any]] = dict
    """Members that an edit of a record of the paged type sets, so that the vendor's way to find changes sees it."""
    mark: str = TOUCHED
    """What shows in a native record that it was edited so."""
    expiry: str = "revoke_tokens"
    """The fault that ends a client's session in the middle."""
    written_type: str = "Patient"
    change: Callable[[Resource], None] = renamed
    keeps: Callable[[Resource], Any] = lambda patient: patient["name"][0]["family"].strip().title()
    """What of a resource shows that the change has arrived, on either side."""
    write_path: str = "Patient/{id}"
    write_method: str = "PUT"
    native_body: bytes | None = None
    """The change as the adapter takes it, where the vendor has a form of its own."""
    read_path: str = "Patient/{id}"
    read_method: str = "GET"
    """The request by which the engine looks at the record before it writes."""
    guarded: bool = False
    """Whether the vendor refuses a write on top of a version the writer never saw; else the engine reads, compares,
    writes and reads, and that is what is tested."""
    between: tuple[str, Any] = ("birthDate", "1951-02-03")
    """An edit of somebody else between our decision and our write: (element, value)."""
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    """Claims that cannot hold at this vendor, by the test's name, with the reason; each is listed when skipped."""

    def __str__(self) -> str:
        return "_".join(filter(None, (self.provider, self.interface)))
