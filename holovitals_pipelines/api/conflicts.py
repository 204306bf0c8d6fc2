"""Conflicts over HTTP: list, look at, decide, approve as a second person, take back, undo, statistics.

Law: a decision names the revision that was looked at, unless the conflict has only ever had one.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from holovitals_pipelines.api.documented import documented, not_modified
from holovitals_pipelines.api.preconditions import (
    IfMatch,
    IfNoneMatch,
    is_known,
    quoted,
    seen_tag,
    unchanged,
)
from holovitals_pipelines.api.problems import ApiError
from holovitals_pipelines.api.security import (
    CAN_APPROVE,
    CAN_READ,
    CAN_RESOLVE,
    Approver,
    Reader,
    Resolver,
)
from holovitals_pipelines.api.shapes.base import Limit, Name, PageOf, Text
from holovitals_pipelines.api.shapes.conflicts import (
    Approval,
    ConflictDetail,
    ConflictEntry,
    ConflictNumbers,
    Decided,
    Decision,
    Undoing,
    Undone,
    Withdrawal,
)
from holovitals_pipelines.api.state import OpenHome
from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.engine.conflict_statistics import conflict_statistics
from holovitals_pipelines.engine.conflict_view import ShownConflict, decision_code, matching_conflicts, show_conflict
from holovitals_pipelines.engine.job_requests import connection_of
from holovitals_pipelines.engine.revert import revert_conflict
from holovitals_pipelines.engine.review import (
    approve_conflict,
    decide_conflict,
    mark_reviewed,
    withdraw_decision,
)
from holovitals_pipelines.fhir.exact import read_document
from holovitals_pipelines.model.paging import cursor_of, place_of
from holovitals_pipelines.model.vocabulary import ConflictSeverity, ConflictStatus, ResolutionStrategy
from holovitals_pipelines.store.conflicts import OPEN
from holovitals_pipelines.sync.verdicts import as_json

routes = APIRouter(tags=["conflicts"])

_KIND = "conflicts"
_BY_UNIT = (ResolutionStrategy.MANUAL, ResolutionStrategy.MERGE)
ConflictPath = Annotated[Text, Path(alias="conflictId", max_length=64, examples=["conflict-789"])]


async def _raw_body(request: Request) -> bytes:
    """As it came: `resolvedValue` is read from it digit by digit."""
    return await request.body()


@routes.get("/api/sync/conflicts", **documented(CAN_READ, 404))
def list_conflicts(
    home: OpenHome,
    caller: Reader,
    connection: Annotated[Name | None, Query(examples=["clinic"])] = None,
    resource_type: Annotated[Name | None, Query(alias="resourceType", examples=["Patient"])] = None,
    status: Annotated[
        list[ConflictStatus] | None, Query(description="repeatable; left out: those that are open")
    ] = None,
    severity: Annotated[list[ConflictSeverity] | None, Query(description="repeatable")] = None,
    patient: Annotated[Name | None, Query(description="as the record refers to it", examples=["Patient/123"])] = None,
    post_review: Annotated[
        bool, Query(alias="postReview", description="only automatic decisions that a person has yet to look at")
    ] = False,
    cursor: Annotated[Text | None, Query(max_length=1000)] = None,
    limit: Annotated[Limit, Query()] = 100,
) -> PageOf[ConflictEntry]:
    """The worst first, then the oldest. No value of anybody is in it."""
    if connection is not None:
        connection = connection_of(home, connection)
    statuses: list[str] | None = [one.value for one in status] if status else None if post_review else list(OPEN)
    found = matching_conflicts(
        home.database,
        connection=connection,
        resource_type=resource_type,
        statuses=statuses,
        severities=[one.value for one in severity] if severity else None,
        post_review="due" if post_review else None,
        patient=patient,
        limit=limit + 1,
        after=place_of(cursor, _KIND, str)[0] if cursor else None,
    )
    shown = found[:limit]
    return PageOf(
        items=[ConflictEntry.of(conflict, elements) for conflict, elements in shown],
        next=cursor_of(_KIND, shown[-1][0].conflict_id) if len(found) > limit else None,
    )


@routes.get("/api/sync/conflicts/statistics", **documented(CAN_READ, 404))
def statistics(
    home: OpenHome, caller: Reader, connection: Annotated[Name | None, Query(examples=["clinic"])] = None
) -> ConflictNumbers:
    """How many, how decided, how soon, and how often a decision did not last."""
    if connection is not None:
        connection = connection_of(home, connection)
    return ConflictNumbers.of(conflict_statistics(home.database, connection))


@routes.get(
    "/api/sync/conflicts/{conflictId}",
    response_model=ConflictDetail,
    **documented(CAN_READ, 404, answers=not_modified(), opens="conflictId"),
)
def show(
    conflict_id: ConflictPath,
    home: OpenHome,
    caller: Reader,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """Unit by unit: what both sides agreed on last, what each holds now, what is proposed. **Health data.**"""
    shown = show_conflict(home.database, conflict_id)
    if is_known(if_none_match, _tag(shown)):
        return unchanged(_tag(shown))
    response.headers["ETag"] = quoted(_tag(shown))
    return ConflictDetail.of_shown(shown)


@routes.post("/api/sync/conflicts", **documented(CAN_RESOLVE, 404, 409, 412, 428))
def resolve(
    decision: Decision,
    home: OpenHome,
    caller: Resolver,
    response: Response,
    raw: Annotated[bytes, Depends(_raw_body)],
    if_match: IfMatch = None,
) -> Decided:
    """Decide a conflict. The decision is applied with the next sync, to the values of the revision it was made on.

    Say the revision you have looked at, in the body or by If-Match. A conflict on who a patient is counts as decided
    once a second person has approved it.
    """
    shown = show_conflict(home.database, decision.conflict_id)
    decided = decide_conflict(
        home.database,
        decision.conflict_id,
        decision.strategy,
        revision=_revision_seen(shown, decision.revision, if_match),
        actor=caller.name,
        reason=decision.reason,
        choices=_choices(shown, decision, raw),
    )
    return _decided(home, decided.conflict_id, response)


@routes.post("/api/sync/conflicts/{conflictId}/approve", **documented(CAN_APPROVE, 404, 409, 412, 428))
def approve(
    conflict_id: ConflictPath,
    approval: Approval,
    home: OpenHome,
    caller: Approver,
    response: Response,
    if_match: IfMatch = None,
) -> Decided:
    """Agree, as a second person, to the decision that waits. Whoever decided cannot approve it too."""
    if approval.revision is None:
        seen_tag(if_match)
    shown = show_conflict(home.database, conflict_id)
    revision = _revision_seen(shown, approval.revision, if_match)
    decision = approval.decision or (decision_code(shown.conflict) if if_match is not None else None)
    approve_conflict(home.database, conflict_id, revision=revision, decision=decision, actor=caller.name)
    return _decided(home, conflict_id, response)


@routes.post("/api/sync/conflicts/{conflictId}/withdraw", **documented(CAN_RESOLVE, 404, 409))
def withdraw(
    conflict_id: ConflictPath, withdrawal: Withdrawal, home: OpenHome, caller: Resolver, response: Response
) -> ConflictEntry:
    """Take back a decision that is not applied yet: the conflict is open again. What was applied, revert undoes."""
    withdraw_decision(home.database, conflict_id, actor=caller.name, decision=withdrawal.decision)
    shown = show_conflict(home.database, conflict_id)
    response.headers["ETag"] = quoted(_tag(shown))
    return ConflictEntry.of(shown.conflict, sorted({unit.element or "" for unit in shown.open_units}))


@routes.post("/api/sync/conflicts/{conflictId}/reviewed", **documented(CAN_RESOLVE, 404, 409))
def reviewed(conflict_id: ConflictPath, home: OpenHome, caller: Resolver, response: Response) -> Decided:
    """Note that a person has looked at an automatic decision and lets it stand."""
    mark_reviewed(home.database, conflict_id, actor=caller.name)
    return _decided(home, conflict_id, response)


@routes.post("/api/sync/conflicts/{conflictId}/revert", **documented(CAN_RESOLVE, 404, 409))
def revert(conflict_id: ConflictPath, undoing: Undoing, home: OpenHome, caller: Resolver) -> Undone:
    """Undo what a decision made of the record: a new version, which flows out to the vendors."""
    undone = revert_conflict(home.database, conflict_id, actor=caller.name, reason=undoing.reason)
    record = undone.record
    return Undone(
        conflict_id=conflict_id, record_id=record.record_id, version=record.version, state=record.state, seq=undone.seq
    )


def _decided(home: OpenHome, conflict_id: str, response: Response) -> Decided:
    shown = show_conflict(home.database, conflict_id)
    response.headers["ETag"] = quoted(_tag(shown))
    return Decided.of_decided(shown.conflict, sorted({unit.element or "" for unit in shown.open_units}))


def _tag(shown: ShownConflict) -> str:
    """Changes with the values, with each decision on them, and when the conflict is closed."""
    conflict = shown.conflict
    state = decision_code(conflict) or ("open" if conflict.status in OPEN else conflict.status.lower())
    approved = "-approved" if conflict.approved_by else ""
    return f"{conflict.revision}-{state}{approved}"


def _revision_seen(shown: ShownConflict, revision: int | None, if_match: str | None) -> int:
    now = shown.conflict.revision
    if if_match is not None:
        if seen_tag(if_match) != _tag(shown):
            raise ApiError(
                "the conflict is not what it was when it was read",
                code="conflict.changed",
                place=f"conflict {shown.conflict.conflict_id}",
                remedy="look at it again, and decide on what it is now",
            )
        return now
    if revision is not None:
        return revision
    if now > 1 or shown.conflict.decision is not None:
        raise ApiError(
            "the conflict has had other values, or a decision, before: the call does not say which were seen",
            code="api.precondition_needed",
            place="revision",
            remedy="look at the conflict, and send its revision, or its ETag as If-Match",
        )
    return now


def _choices(shown: ShownConflict, decision: Decision, raw: bytes) -> dict[str, Choice]:
    if decision.choices is not None and decision.has_value:
        raise _unfit("choices and resolvedValue say the same thing twice", "send one of them")
    if decision.choices is not None:
        return {unit: Choice(one.side, one.value) for unit, one in decision.choices.items()}
    if not decision.has_value:
        return {}
    if decision.strategy not in _BY_UNIT:
        raise _unfit(f"{decision.strategy.value} takes no value", "choose MANUAL, or leave resolvedValue out")
    value = read_document(raw).get("resolvedValue")  # exact: the body's own digits
    units = [unit.unit for unit in shown.open_units]
    if len(units) == 1 and not (isinstance(value, dict) and set(value) == set(units)):
        return {units[0]: _own(value)}
    if isinstance(value, dict):
        return {unit: _own(one) for unit, one in value.items()}
    raise _unfit("resolvedValue has to be an object of values by unit", "name each unit in conflict, or use `choices`")


def _own(value: Any) -> Choice:
    return Choice("value", None if value is None else as_json(value))


def _unfit(message: str, remedy: str) -> ApiError:
    return ApiError(message, code="conflict.undecidable", place="resolvedValue", remedy=remedy)
