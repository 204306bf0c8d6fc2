"""Conflicts over HTTP: what was seen is what is decided, two persons where it takes two, and everything reversible."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from holovitals_pipelines.store.tables import sync_conflict, sync_conflict_field
from tests.api.service import Service, is_problem

RESOLVE = "/api/sync/conflicts"


def decide(api: Service, conflict_id: str, role: str = "resolver", **said: Any) -> Any:
    body = {"conflictId": conflict_id, "strategy": "LOCAL_WINS", "reason": "asked the patient", **said}
    return api.call("POST", RESOLVE, role, json=body)


def named_as_written(api: Service, conflict_id: str) -> None:
    """The vocabulary's example has an id of its own, and a remote side that was written later."""
    now = datetime.now(UTC)
    with api.home.database.write() as transaction:
        transaction.execute(sa.text("PRAGMA defer_foreign_keys = on"))
        for table in (sync_conflict, sync_conflict_field):
            named = table.update().where(table.c.conflict_id == conflict_id)
            transaction.execute(named.values(conflict_id="conflict-789"))
        written = sync_conflict.update().where(sync_conflict.c.conflict_id == "conflict-789")
        times = {"local_updated": now - timedelta(hours=2), "remote_updated": now - timedelta(hours=1)}
        transaction.execute(written.values(**times))


def test_the_vocabularys_request_works_as_written(api: Service) -> None:
    named_as_written(api, api.grave("written"))
    request = '{"conflictId":"conflict-789","strategy":"LAST_WRITE_WINS","reason":"Remote data is more recent"}'
    decided = api.call("POST", RESOLVE, "resolver", content=request, headers={"Content-Type": "application/json"})
    assert decided.status_code == 200, decided.text
    assert decided.json()["decidedBy"] == "a-resolver" and decided.json()["appliedAtNextSync"] is True
    [row] = api.get("/api/sync/conflicts/conflict-789")["rows"]
    assert row["chosenSide"] == "remote"


def test_the_list_is_narrowed_and_tells_no_value(api: Service) -> None:
    critical, grave = api.in_conflict("c1"), api.grave("c2")
    answer = api.call("GET", f"{RESOLVE}?limit=1000")
    ids = [one["conflictId"] for one in answer.json()["items"]]
    assert ids.index(critical) < ids.index(grave), "the worst first"
    assert not any(value in answer.text for value in ("1951", "1952", "Asthma", "Patient/p1"))
    only = api.get(f"{RESOLVE}?severity=CRITICAL&severity=LOW&limit=1000")["items"]
    assert critical in [o["conflictId"] for o in only] and grave not in [o["conflictId"] for o in only]
    assert api.get(f"{RESOLVE}?status=IGNORED")["items"] == []
    assert api.get(f"{RESOLVE}?resourceType=Medication")["items"] == []
    assert api.get(f"{RESOLVE}?connection=conn-123")["items"] == []
    is_problem(api.call("GET", f"{RESOLVE}?connection=nowhere"), 404, "settings.connection_unknown")
    is_problem(api.call("GET", f"{RESOLVE}?severity=SECRET"), 422, "api.invalid")


def test_pages_of_conflicts_follow_each_other_while_others_are_decided(api: Service) -> None:
    for number in range(3):
        api.grave(f"paged{number}")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 1, "resourceType": "Condition", "status": ["DETECTED", "PENDING_REVIEW"]}
    while True:
        page = api.get(RESOLVE, params=query)
        seen += [one["conflictId"] for one in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
        assert decide(api, seen[-1], revision=1).status_code == 200
    assert len(seen) == len(set(seen)) >= 3


def test_a_decision_is_made_approved_by_a_second_person_and_applied(api: Service) -> None:
    conflict_id = api.in_conflict("two")
    shown = api.call("GET", f"{RESOLVE}/{conflict_id}")
    [row] = [one for one in shown.json()["rows"] if one["undecided"]]
    assert (row["local"], row["remote"], row["base"]) == ('"1951-01-01"', '"1952-02-02"', '"1950-01-01"')
    decided = api.call(
        "POST",
        RESOLVE,
        "everything",
        json={"conflictId": conflict_id, "strategy": "MANUAL", "reason": "passport", "resolvedValue": "1953-03-03"},
        headers={"If-Match": shown.headers["etag"]},
    )
    assert decided.status_code == 200 and decided.json()["appliedAtNextSync"] is False, decided.text
    approve = f"{RESOLVE}/{conflict_id}/approve"
    is_problem(api.call("POST", approve, "everything", json={"revision": 1}), 409, "conflict.same_person")
    is_problem(api.call("POST", approve, "approver", json={}), 428, "api.precondition_needed")
    is_problem(
        api.call("POST", approve, "approver", json={}, headers={"If-Match": shown.headers["etag"]}),
        412,
        "conflict.changed",
    )
    is_problem(
        api.call("POST", approve, "approver", json={"revision": 1, "decision": "00000000"}), 409, "conflict.stale"
    )
    approved = api.call("POST", approve, "approver", json={}, headers={"If-Match": decided.headers["etag"]})
    assert approved.status_code == 200 and approved.json()["approvedBy"] == "a-approver", approved.text
    api.bench.work()
    assert api.bench.vendor.document("Patient", "two")["birthDate"] == "1953-03-03"
    told = api.get(f"{RESOLVE}/{conflict_id}")
    assert told["status"] == "RESOLVED"
    assert [(h["action"], h["actor"]) for h in told["history"]][1:3] == [
        ("decide", "an-all"),
        ("approve", "a-approver"),
    ]
    is_problem(decide(api, conflict_id, revision=1), 409, "conflict.closed")


def test_a_decision_is_taken_back_until_it_is_applied(api: Service) -> None:
    conflict_id = api.grave("withdrawn")
    withdraw = f"{RESOLVE}/{conflict_id}/withdraw"
    is_problem(api.call("POST", withdraw, "resolver", json={}), 409, "conflict.not_decided")
    code = decide(api, conflict_id, revision=1).json()["decision"]
    is_problem(api.call("POST", withdraw, "resolver", json={"decision": "00000000"}), 409, "conflict.stale")
    is_problem(api.call("POST", withdraw, "viewer", json={}), 403, "api.role_missing")
    taken = api.call("POST", withdraw, "resolver", json={"decision": code})
    assert taken.status_code == 200 and taken.json()["decision"] is None, taken.text
    assert decide(api, conflict_id, revision=1).status_code == 200
    api.bench.work()
    is_problem(api.call("POST", withdraw, "resolver", json={}), 409, "conflict.closed")


def test_a_decision_on_values_nobody_saw_is_refused(api: Service) -> None:
    conflict_id = api.grave("stale")
    is_problem(decide(api, conflict_id, revision=7), 409, "conflict.stale")
    etag = api.call("GET", f"{RESOLVE}/{conflict_id}").headers["etag"]
    api.edit(api.get(f"{RESOLVE}/{conflict_id}")["recordId"], code={"text": "Asthma, grave"})
    api.bench.work()
    now = api.get(f"{RESOLVE}/{conflict_id}")
    assert now["revision"] > 1
    is_problem(decide(api, conflict_id), 428, "api.precondition_needed")
    body = {"conflictId": conflict_id, "strategy": "LOCAL_WINS", "reason": "x"}
    is_problem(api.call("POST", RESOLVE, "resolver", json=body, headers={"If-Match": etag}), 412, "conflict.changed")
    assert decide(api, conflict_id, revision=now["revision"]).status_code == 200


def test_units_are_chosen_one_by_one_and_mistakes_say_what_is_missing(api: Service) -> None:
    conflict_id = api.grave("units")
    [row] = [one for one in api.get(f"{RESOLVE}/{conflict_id}")["rows"] if one["undecided"]]
    is_problem(decide(api, conflict_id, strategy="MANUAL"), 422, "conflict.undecidable")
    is_problem(decide(api, conflict_id, resolvedValue="SECRET"), 422, "conflict.undecidable")
    both = {"strategy": "MANUAL", "resolvedValue": "x", "choices": {row["unit"]: {"side": "local"}}}
    is_problem(decide(api, conflict_id, **both), 422, "conflict.undecidable")
    is_problem(decide(api, conflict_id, strategy="CUSTOM"), 422, "conflict.undecidable")
    is_problem(decide(api, conflict_id, reason=" "), 422, "api.invalid")
    is_problem(decide(api, "nothing"), 404, "conflict.unknown")
    wrong = is_problem(decide(api, conflict_id, strategy="SECRET"), 422, "api.invalid")
    assert wrong["errors"][0]["field"] == "body.strategy" and "SECRET" not in json.dumps(wrong)
    chosen = decide(api, conflict_id, strategy="MANUAL", choices={row["unit"]: {"side": "remote"}})
    assert chosen.status_code == 200, chosen.text
    is_problem(decide(api, conflict_id), 428, "api.precondition_needed")


def test_what_was_decided_is_undone_as_a_new_version(api: Service) -> None:
    conflict_id = api.grave("undone")
    assert decide(api, conflict_id, strategy="REMOTE_WINS").status_code == 200
    api.bench.work()
    shown = api.get(f"{RESOLVE}/{conflict_id}")
    assert shown["status"] == "RESOLVED"
    undone = api.call("POST", f"{RESOLVE}/{conflict_id}/revert", "resolver", json={"reason": "wrong chart"})
    assert undone.status_code == 200, undone.text
    body = api.call("GET", f"/api/records/Condition/{shown['recordId']}").json()
    assert body["code"]["text"] == "Asthma, mild"
    is_problem(api.call("POST", f"{RESOLVE}/{conflict_id}/reviewed", "resolver"), 409, "conflict.not_due")


def test_statistics_count_each_conflict_once(api: Service) -> None:
    before = api.get(f"{RESOLVE}/statistics")
    api.grave("counted")
    after = api.get(f"{RESOLVE}/statistics?connection=clinic")
    assert after["total"] == before["total"] + 1 and after["open"] == before["open"] + 1
    assert sum(group["count"] for group in after["groups"]) == after["total"]
