"""The explaining tier: what the complete models of fhir.resources and the fast tier together say about one resource.

Law: outbound resources pass it before they are sent, refused ones get its words; never a batch.
"""

from __future__ import annotations

from holovitals_pipelines.fhir.validation.issues import Issue, tidy
from holovitals_pipelines.fhir.validation.models import check_models
from holovitals_pipelines.fhir.validation.structure import check_structure


def explain(body: bytes, resource_type: str) -> tuple[Issue, ...]:
    """Everything both tiers find; where they speak of the same element, the fast tier's words."""
    fast = check_structure(body, resource_type)
    if any(found.path == resource_type and found.rule.startswith(("json.", "structure.")) for found in fast):
        return fast
    return tidy([*fast, *check_models(body, resource_type)])
