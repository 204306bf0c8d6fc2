"""What the complete models of fhir.resources say of a resource.

Law: for a few resources, never for a batch (7,000 a second, and 0.6 s to import). The models rewrite timestamps, so
nothing they build leaves this module.
"""

from __future__ import annotations

from typing import Any

from holovitals_pipelines.fhir.strict_json import diagnose
from holovitals_pipelines.fhir.validation.issues import Issue, issue, tidy, unreadable


def check_models(body: bytes, resource_type: str) -> tuple[Issue, ...]:
    """What fhir.resources alone finds (its R4B models: plain R4 has none; 18 types of R4 are not among them)."""
    import orjson
    import pydantic
    from fhir.resources.R4B import get_fhir_model_class

    try:
        model = get_fhir_model_class(resource_type)
    except (KeyError, ValueError):
        return (issue(resource_type, "explain.unavailable"),)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return (unreadable(diagnose(body), resource_type),)
    if not isinstance(document, dict) or document.get("resourceType") != resource_type:
        return (issue(resource_type, "structure.wrong_type"),)
    try:
        model.model_validate_json(body)
    except pydantic.ValidationError as refusal:
        errors = refusal.errors(include_input=False, include_url=False, include_context=False)
        return tidy(_one(resource_type, dict(error)) for error in errors)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        # The models stumble over some wrong shapes (an unknown contained type is a KeyError): still a verdict.
        return (issue(resource_type, "structure.other"),)
    return ()


_BY_TYPE = {
    "missing": "structure.required_missing",
    "model_field_validation.missing": "structure.required_missing",
    "extra_forbidden": "structure.unknown_element",
    "json_invalid": "structure.wrong_kind",
    "model_validation_format": "structure.wrong_kind",
}
_OF_VALUES = ("pattern_mismatch", "_parsing", "_from_float", "_than", "_than_equal", "too_long", "too_short")


def _one(resource_type: str, error: dict[str, Any]) -> Issue:
    kind = str(error["type"])
    message = str(error["msg"])
    path = _path(resource_type, error["loc"])
    rule = _BY_TYPE.get(kind)
    if rule is not None:
        return issue(path, rule)
    if kind.endswith("_parsing") and "outside expected range" in message:
        return issue(path, "date.impossible")
    if kind.endswith(_OF_VALUES) or "does not match spec regex" in message:
        return issue(path, "format.invalid")
    if kind == "list_type" and message.startswith("None is not allowed"):
        return issue(path, "structure.null")
    if kind.endswith("_type"):
        return issue(path, "structure.wrong_kind")
    if "Any of one field value is expected" in message:
        several = message.endswith("but got multiple!")
        return issue(path, "structure.several_choices" if several else "structure.required_missing")
    return issue(path, "structure.other")


def _path(resource_type: str, steps: tuple[str | int, ...]) -> str:
    if steps and steps[-1] == "root":
        steps = steps[:-1]
    return resource_type + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
