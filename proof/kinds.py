"""The kinds of vendor that schedules run against.

Law: each kind breaks one comfortable assumption; together they cover what docs/adapters.md says of real vendors.
"""

from __future__ import annotations

from collections.abc import Callable

from holovitals_pipelines.model.writing import Concurrency, UnitWrite
from proof.documents import Document
from proof.vendors import Kind

PLAIN = ("maritalStatus", "bodySite", "statusReason")
"""An ordinary element of each type."""


def _lower(value: object) -> object:
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, list):
        return [_lower(item) for item in value]
    if isinstance(value, dict):
        return {name: _lower(item) for name, item in value.items()}
    return value


def lower_and_drop(lowered: tuple[str, ...], dropped: tuple[str, ...]) -> Callable[[Document], Document]:
    def stores(document: Document) -> Document:
        return {
            name: _lower(value) if name in lowered else value for name, value in document.items() if name not in dropped
        }

    return stores


LOSSY = lower_and_drop(("address", "note", "dosageInstruction"), PLAIN)
FIXED = dict.fromkeys(PLAIN, UnitWrite.IMMUTABLE)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("faithful", "stores what it is sent; ETags; keeps identifiers"),
        Kind("lossy, declared", "drops an element, lower-cases others; the adapter says so", stores=LOSSY),
        Kind("lossy, undeclared", "the same, unknown to the adapter", stores=LOSSY, declared=False),
        Kind(
            "immutable, declared",
            "an element cannot be changed through the API; the adapter says so",
            fixed=frozenset(PLAIN),
            elements=FIXED,
        ),
        Kind(
            "immutable, undeclared",
            "the same, unknown to the adapter: 200, and nothing changed",
            fixed=frozenset(PLAIN),
        ),
        Kind("read-only", "takes nothing at all", writes=False, creates=False, deletes=False),
        Kind("create-only", "takes creates, and no change of what is there", writes=False, deletes=False),
        Kind(
            "append-only list",
            "telecom and notes can be added to, never changed",
            elements={"telecom": UnitWrite.APPEND_ONLY, "note": UnitWrite.APPEND_ONLY},
        ),
        Kind("without ETags", "no version and no condition", concurrency=Concurrency.NONE, conditional_create=False),
        Kind(
            "without ETags, raced",
            "the same, and its people write between our look and our write",
            concurrency=Concurrency.NONE,
            conditional_create=False,
            window=True,
        ),
        Kind("versions only", "shows versions, checks none", concurrency=Concurrency.VERSION),
        Kind("slow", "answers seldom, and carries out what we have given up", lost_answers=0.15, late=0.25),
        Kind("numbering", "adds an identifier of its own to what is created", numbers_its_own=True),
        Kind(
            "forgetting our identifier",
            "keeps business identifiers only, refuses a second resource with one of them",
            keeps_identifiers=False,
            conditional_create=False,
            refuses_duplicates=True,
        ),
    )
}

STAR = (
    "faithful",
    "lossy, declared",
    "immutable, declared",
    "read-only",
    "append-only list",
    "numbering",
    "lossy, declared",
)
"""Seven vendors around one store, no two neighbours alike."""


def keeping(*elements: str) -> Callable[[Document], Document]:
    """A vendor that keeps a few elements only, besides what every resource must have."""
    kept = {"resourceType", "identifier", "status", "intent", "code", "category", "generalPractitioner", "subject"}
    kept |= {"id", "meta", "medicationCodeableConcept", *elements}

    def stores(document: Document) -> Document:
        return {name: value for name, value in document.items() if name in kept}

    return stores


STAR: tuple[Kind, ...] = (
    KINDS["faithful"],
    KINDS["lossy, declared"],
    Kind("drops names and notes", "drops what people write freely", stores=lower_and_drop((), ("name", "note"))),
    Kind("lower-cases telecom", "changes letter case of what names an item", stores=lower_and_drop(("telecom",), ())),
    KINDS["numbering"],
    Kind("keeps little", "keeps birth dates, values and doses only",
         stores=keeping("birthDate", "valueQuantity", "interpretation", "dosageInstruction")),
    KINDS["forgetting our identifier"],
)  # fmt: skip
"""One record at seven vendors, each keeping something else of it (sync-protocol.md §2.5)."""
