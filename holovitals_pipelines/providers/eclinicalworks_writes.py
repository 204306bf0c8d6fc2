"""eClinicalWorks' licensed write-back: the number in the body is the outcome, whatever HTTP says (vendors.md §8).

Law: only the status 1 is a success; a 2xx without a number is an unknown outcome; and what the vendor's guide lets be
repeated is repeated once.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from holovitals_pipelines.model.errors import ErrorAction, HoloVitalsError
from holovitals_pipelines.providers.answers import NO_TABLE, Answer, Meaning, VendorRule, rule_error
from holovitals_pipelines.providers.eclinicalworks_errors import SUCCESS, write_back_rule
from holovitals_pipelines.providers.exchange import outcome_unknown
from holovitals_pipelines.providers.refusals import R4_REFUSALS, Write, refused

_REVIEW = "review the practice's patients: the vendor takes the one that was changed for another"
_ESCALATE = "give the vendor's support the code and the time; it is sent again when either side changes"


class _Told(msgspec.Struct):
    status: int
    key: str | None = None
    id: int | str | None = None


class WriteBackJudge:
    """What the answers to one write mean, its repetition included."""

    def __init__(self, write: Write, *, may_repeat: bool = True) -> None:
        self._write = write
        self._may_repeat = may_repeat

    def __call__(self, answer: Answer, place: str) -> HoloVitalsError | None:
        told = _told(answer)
        if told is None:
            # A gateway's or the token's refusal: OperationOutcomes and statuses, as at any FHIR server.
            error = refused(answer, self._write, condition=False, table=R4_REFUSALS, codes=NO_TABLE, place=place)
            return error or outcome_unknown("the answer has no status number", place=place, status=answer.status)
        if told.status != SUCCESS:
            return self._error(write_back_rule(told.status, told.key or ""), told.status, answer, place)
        if answer.status >= 300:
            return outcome_unknown("HTTP says that it failed and the body that it did not", place=place)
        return None

    def _error(self, rule: VendorRule, code: int, answer: Answer, place: str) -> HoloVitalsError:
        if rule.meaning is Meaning.DUPLICATE and self._write is not Write.CREATE:
            rule = replace(rule, meaning=Meaning.PERMANENT, remedy=_REVIEW, action=ErrorAction.FIX_DATA)
        if rule.meaning is Meaning.TRANSIENT and not self._may_repeat:
            rule = replace(rule, meaning=Meaning.PERMANENT, message=f"{rule.message}, twice", remedy=_ESCALATE)
        self._may_repeat = False
        return rule_error(rule, place=place, status=answer.status, vendor_code=str(code))


def created_id(answer: Answer, resource_type: str) -> str | None:
    """The id of what a create made: in the body, or in a Location; None where neither says it.

    unverified: where the licensed documentation has it
    """
    told = _told(answer)
    if told is not None and told.id not in (None, ""):
        return str(told.id)
    located = re.search(rf"(?:^|/){resource_type}/([^/?#]+)/?\Z", answer.headers.get("location", ""))
    return located[1] if located else None


def _told(answer: Answer) -> _Told | None:
    try:
        return msgspec.json.decode(answer.body, type=_Told, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
