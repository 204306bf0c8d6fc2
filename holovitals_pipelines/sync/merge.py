"""Field-level three-way merge of one resource against two shadows (sync-protocol.md §2.2, §4.2).

Law: the merge never picks. Where both sides changed a unit differently, the unit is a conflict and stays at its base.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from holovitals_pipelines.model.writing import READ_ONLY, Document, WriteCapability, unchanged
from holovitals_pipelines.sync.content import content_of, with_content
from holovitals_pipelines.sync.units import MISSING, Missing, Unit, UnitKind
from holovitals_pipelines.sync.walk import Walk, parts_apart

__all__ = ["MISSING", "Merged", "Missing", "Unit", "UnitKind", "merge"]


@dataclass(frozen=True, slots=True)
class Merged:
    local: Document
    """What local is to hold."""
    remote: Document
    """What the vendor is to hold: its own current document with our units in it, so unknown elements survive."""
    shadow_local: Document
    """Local's shadow after this decision: what is still to be pushed stays `changed` against it."""
    units: tuple[Unit, ...]
    """Every unit that is not simply unchanged and equal, in a deterministic order."""

    @property
    def conflicts(self) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.kind is UnitKind.CONFLICT)


def merge(
    resource_type: str,
    *,
    base_local: Document | None,
    base_remote: Document | None,
    local: Document,
    remote: Document,
    capability: WriteCapability = READ_ONLY,
    choices: Mapping[str, Any] | None = None,
) -> Merged:
    """Merge, unit by unit. `choices` gives conflicted units (by name) the value both sides are to hold.

    A base of None means agreed absent. No argument is changed, but the results share parts with them. Deterministic;
    symmetric in its conflicts. What is not content (`id`, narrative, `meta.versionId`, `lastUpdated` and `source`) is
    never a unit: each side keeps its own, and local's shadow keeps local's.
    """
    documents = (base_local or {}, base_remote or {}, local, remote)
    contents = [content_of(document) for document in documents]
    parts = parts_apart(resource_type, contents)
    if not parts:
        return Merged(dict(local), dict(remote), dict(local), ())
    objects = list(contents)
    if capability.project is not unchanged:
        objects += [content_of(capability.project(side)) if side else {} for side in (documents[0], local)]
    walk = Walk(capability, choices or {})
    merged_local, merged_remote, shadow = walk.members("", resource_type, None, parts, objects)
    merged = Merged(
        with_content(local, contents[2], merged_local),
        with_content(remote, contents[3], merged_remote),
        with_content(local, contents[2], shadow),
        tuple(sorted(walk.units, key=lambda unit: unit.name)),
    )
    if not walk.chose_anew or capability.project is unchanged:
        return merged
    # Whether the vendor already holds its form of a value that neither side had, shows once local holds it.
    settled = merge(
        resource_type,
        base_local=merged.shadow_local,
        base_remote=remote,
        local=merged.local,
        remote=remote,
        capability=capability,
    )
    return replace(merged, shadow_local=settled.shadow_local)
