"""The remote ids of what a CDA document says: its own root and extension where a FHIR id can hold them, else a hash.

Law: the same statement has the same id in every document, whatever the order; what is made new for each export (ids of
places in the narrative) is no part of a hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from holovitals_pipelines.fhir.exact import write_value
from holovitals_pipelines.model.writing import Document
from holovitals_pipelines.transform.shipped_functions import sha256_id

_FHIR_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NO_OWN: Final = frozenset({"2.16.840.1.113883.4.1", "2.16.840.1.113883.4.6"})
"""Numbers of the social security and of providers: they name persons, not records."""
_OF_THE_EXPORT: Final = frozenset({"reference", "ID", "id"})


def id_of(ids: Iterable[Document]) -> str | None:
    """The first of an element's ids that says enough; one with an extension is preferred. None where none does."""
    named = [one for one in ids if one.get("root") and one["root"] not in _NO_OWN and "nullFlavor" not in one]
    chosen = next((one for one in named if one.get("extension")), named[0] if named else None)
    return None if chosen is None else _written(chosen["root"], chosen.get("extension"))


def hash_of(*parts: Any) -> str:
    """An id made of what is said, for a statement that has none."""
    made = sha256_id(*(part if isinstance(part, str) else write_value(_lasting(part)) for part in parts))
    assert made is not None
    return made


def _written(root: str, extension: str | None) -> str:
    if _UUID.fullmatch(root):
        root = root.lower()
    plain = root if extension is None else f"{root}-{extension}"
    if _FHIR_ID.fullmatch(plain):
        return plain
    made = sha256_id(root, extension)
    assert made is not None
    return made


def _lasting(value: Any) -> Any:
    """Without what an export may make new: places in the narrative, and ids, of which the statement itself has none."""
    if type(value) is list:
        return [_lasting(item) for item in value]
    if type(value) is not dict:
        return value
    return {name: _lasting(inner) for name, inner in value.items() if name not in _OF_THE_EXPORT}
