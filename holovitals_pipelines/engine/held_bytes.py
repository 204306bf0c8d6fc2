"""What is wrong with the bytes of a quarantined resource, judged as what they are: FHIR, or the form of their vendor.

Law: what a vendor sends in a form of its own is judged by what today's rules make of it, never as if it were FHIR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.engine.conversion import Conversions
from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.fhir.validation import Issue, explain
from holovitals_pipelines.model.vocabulary import ErrorSeverity, SourceFormat, Stage
from holovitals_pipelines.store.documents import get_document


@dataclass(frozen=True, slots=True)
class Judged:
    """`rule_set`: what makes FHIR R4 of them; None where they are that, or where no rule set takes them."""

    format: SourceFormat
    rule_set: str | None
    issues: tuple[Issue, ...]

    @property
    def sound(self) -> bool:
        return all(issue.severity is not ErrorSeverity.ERROR for issue in self.issues)


def judge_held(home: Home, transaction: sa.Connection, entry: sa.Row[Any]) -> Judged:
    """The bytes of a row of `quarantine`, by the rule sets and the rules of today."""
    body: bytes = get_document(transaction, bytes(entry.document_hash)) or b""
    connection = home.connections.get(entry.connection)
    if connection is None or entry.stage == Stage.WRITE_BACK.value:  # what was read before a write is FHIR R4 already
        return Judged(SourceFormat.FHIR_R4, None, explain(body, entry.resource_type))
    spoken = format_of(connection)
    conversion = Conversions(home.database, connection).inbound(entry.resource_type)
    if conversion is None:
        if spoken is SourceFormat.FHIR_R4:
            return Judged(spoken, None, explain(body, entry.resource_type))
        return Judged(spoken, None, (Issue(entry.path or "", entry.rule, entry.message, entry.remedy),))
    made = conversion.convert(body)
    if made.body is not None:
        return Judged(spoken, conversion.name, explain(made.body, entry.resource_type))
    refused = made.refused
    assert refused is not None
    return Judged(spoken, conversion.name, (Issue("", refused.code, refused.message, refused.remedy),))
