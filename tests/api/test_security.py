"""Who may call what; and that nothing of what is refused is told to anybody."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from holovitals_pipelines.engine.tokens import create_token, list_tokens, revoke_token
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.store import audit
from tests.api.service import FHIR, Service, is_problem

READERS = {"viewer", "operator", "resolver", "approver"}
_ = {"reason": "x", "strategy": "LOCAL_WINS", "conflictId": "none"}
CALLS = [
    ("GET", "/api/sync/jobs", None, READERS),
    ("GET", "/api/sync/jobs/none", None, READERS),
    ("POST", "/api/sync/jobs", {"type": "FULL_SYNC", "ehrConnectionId": "clinic"}, {"operator"}),
    ("DELETE", "/api/sync/jobs/none", None, {"operator"}),
    ("POST", "/api/sync/jobs/none/retry", None, {"operator"}),
    ("GET", "/api/sync/statistics", None, READERS),
    ("GET", "/api/sync/conflicts", None, READERS),
    ("GET", "/api/sync/conflicts/statistics", None, READERS),
    ("GET", "/api/sync/conflicts/none", None, READERS),
    ("POST", "/api/sync/conflicts", _, {"resolver"}),
    ("POST", "/api/sync/conflicts/none/approve", {"revision": 1}, {"approver"}),
    ("POST", "/api/sync/conflicts/none/reviewed", None, {"resolver"}),
    ("POST", "/api/sync/conflicts/none/withdraw", {}, {"resolver"}),
    ("POST", "/api/sync/conflicts/none/revert", {"reason": "x"}, {"resolver"}),
    ("GET", "/api/sync/webhooks", None, READERS),
    ("POST", "/api/sync/webhooks", {"ehrConnectionId": "none", "endpoint": "https://x"}, {"operator"}),
    ("GET", "/api/sync/webhooks/none", None, READERS),
    ("DELETE", "/api/sync/webhooks/none", None, {"operator"}),
    ("POST", "/api/sync/webhooks/none/rotate", {}, {"operator"}),
    ("POST", "/api/sync/webhooks/none/retry", None, {"operator"}),
    ("POST", "/api/sync/webhooks/replay", {}, {"operator"}),
    ("GET", "/api/sync/webhooks/events", None, READERS),
    ("GET", "/api/sync/webhooks/events/none", None, READERS),
    ("GET", "/api/sync/webhooks/statistics", None, READERS),
    ("GET", "/api/records", None, READERS),
    ("POST", "/api/records/Patient", {"resourceType": "Observation"}, {"operator"}),
    ("GET", "/api/records/Patient/none", None, READERS),
    ("PUT", "/api/records/Patient/none", {"resourceType": "Patient"}, {"operator"}),
    ("DELETE", "/api/records/Patient/none", None, {"operator"}),
    ("GET", "/api/records/Patient/none/history", None, READERS | {"auditor"}),
    ("GET", "/api/records/Patient/none/history/1", None, READERS),
    ("GET", "/api/records/Patient/none/links", None, READERS),
    ("GET", "/api/patients", None, READERS),
    ("GET", "/api/patients/none", None, READERS),
    ("GET", "/api/patients/none/chart", None, READERS),
    ("GET", "/api/patients/proposals", None, READERS),
    ("GET", "/api/patients/proposals/none", None, READERS),
    ("POST", "/api/patients/proposals/none/accept", {"revision": "x", "reason": "x"}, {"resolver"}),
    ("POST", "/api/patients/proposals/none/reject", {"revision": "x", "reason": "x"}, {"resolver"}),
    ("GET", "/api/dashboard", None, READERS),
    ("DELETE", "/api/session", None, READERS | {"auditor"}),
    ("GET", "/api/connections", None, READERS),
    ("GET", "/api/connections/none", None, READERS),
    ("POST", "/api/connections", {"name": "clinic", "declared": {}}, {"operator"}),
    ("PUT", "/api/connections/none", {"declared": {}}, {"operator"}),
    ("POST", "/api/connections/none/test", None, {"operator"}),
    ("GET", "/api/quarantine", None, READERS),
    ("GET", "/api/quarantine/1", None, READERS),
    ("POST", "/api/quarantine/1/release", None, {"operator"}),
    ("POST", "/api/quarantine/1/dismiss", {"reason": "a test"}, {"operator"}),
    ("GET", "/api/quality", None, READERS),
    (
        "POST",
        "/api/quality/accept",
        {"connection": "none", "resourceType": "Patient", "claim": "none", "reason": "a test"},
        {"operator"},
    ),
    ("GET", "/api/audit", None, {"auditor"}),
    ("GET", "/api/audit/access", None, {"auditor"}),
    ("GET", "/api/audit/tokens", None, {"auditor"}),
    ("GET", "/api/audit/999999", None, {"auditor"}),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), CALLS)
def test_every_call_asks_for_a_token_of_one_of_its_roles(
    api: Service, method: str, path: str, body: object, allowed: set[str]
) -> None:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": FHIR if path.startswith("/api/records") else "application/json", "If-Match": '"1"'}

    def status(role: str | None) -> int:
        return api.call(method, path, role, content=content, headers=headers).status_code

    assert status(None) == 401
    answers = {role.value: status(role.value) for role in Role}
    assert {role for role, code in answers.items() if code not in (401, 403)} == allowed, answers
    assert all(code < 500 for code in answers.values()), answers


def test_the_table_above_has_every_call_and_the_document_says_the_same(api: Service) -> None:
    documented: dict[tuple[str, str], set[str]] = {}
    for path, methods in api.get("/openapi.json", None)["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/api/") and "x-roles" in operation:
                documented[method.upper(), path] = set(operation["x-roles"])
    listed = {(method, _template(path, documented)): roles for method, path, _, roles in CALLS}
    assert listed == documented


def _template(path: str, documented: Iterable[tuple[str, str]]) -> str:
    """The documented path that a path is of; one without parameters before one with them."""
    parts = path.split("/")
    fitting = [
        other
        for _, other in documented
        if len(other.split("/")) == len(parts)
        and all(there in ("", here) or there[0] == "{" for here, there in zip(parts, other.split("/"), strict=True))
    ]
    return min(fitting, key=lambda other: other.count("{"))


def test_a_call_without_a_token_learns_how_to_get_one(api: Service) -> None:
    told = is_problem(api.call("GET", "/api/sync/jobs", None), 401, "api.token_missing")
    assert "holovitals tokens create" in told["remedy"]
    answer = api.http.get("/api/sync/jobs", headers={"Authorization": "Bearer hv_SECRETSECRET"})
    is_problem(answer, 401, "api.token_invalid")
    assert "SECRET" not in answer.text and answer.headers["www-authenticate"].startswith("Bearer")
    for header in ("Basic eDp5", "Bearer", "hv_x", "Bearer hv_x hv_y"):
        assert api.http.get("/api/sync/jobs", headers={"Authorization": header}).status_code == 401
    told = is_problem(api.call("GET", "/api/audit", "viewer"), 403, "api.role_missing")
    assert "auditor" in told["detail"]


def test_a_token_counts_until_it_expires_or_is_revoked(api: Service) -> None:
    database = api.home.database
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    short = create_token(database, "short", [Role.VIEWER], by="test", expires_at=soon)
    made = create_token(database, "for-a-while", [Role.VIEWER], by="ann")
    headers = {"Authorization": f"Bearer {made.secret}"}
    assert api.http.get("/api/sync/jobs", headers=headers).status_code == 200
    revoke_token(database, "for-a-while", by="ann")
    is_problem(api.http.get("/api/sync/jobs", headers=headers), 401, "api.token_invalid")
    assert not short.token.is_valid(soon) and short.token.is_valid(soon - timedelta(seconds=0.1))
    with pytest.raises(StoreError, match=r"token\.unknown"):
        revoke_token(database, "for-a-while", by="ann")
    with database.read() as transaction:
        told = [e for e in audit.entries(transaction, newest_first=True, limit=5) if e.action == "token_revoke"]
    assert told[0].actor == "ann" and told[0].detail is not None and told[0].detail["name"] == "for-a-while"


def test_a_token_is_kept_as_a_hash_and_names_are_told_apart(api: Service) -> None:
    made = create_token(api.home.database, "kept", [Role.VIEWER], by="test")
    [kept] = [one for one in list_tokens(api.home.database) if one.name == "kept"]
    assert made.secret.startswith("hv_") and len(made.secret) > 40 and made.secret not in str(kept)
    for name, code in (("KEPT", "token.name_taken"), ("clinic", "actor.invalid"), ("policy:x", "actor.invalid")):
        with pytest.raises(StoreError, match=code.replace(".", r"\.")):
            create_token(api.home.database, name, [Role.VIEWER], by="test")
    with pytest.raises(StoreError, match=r"token\.no_role"):
        create_token(api.home.database, "none", [], by="test")
    with pytest.raises(StoreError, match=r"token\.expired"):
        create_token(api.home.database, "late", [Role.VIEWER], by="test", expires_at=datetime.now(UTC))


def test_auditors_see_who_changed_what_and_who_looked(api: Service) -> None:
    record_id = api.patient("looked-at")
    assert api.call("GET", f"/api/records/Patient/{record_id}").status_code == 200
    assert api.call("GET", "/api/records/Patient/looked-at", "resolver").status_code == 200
    api.call("GET", "/api/records/Patient/never-there", "resolver")
    first = api.get(f"/api/audit/access?subject={record_id}&limit=1", "auditor")
    [entry] = first["items"]
    assert (entry["caller"], entry["status"], entry["call"]) == (
        "a-resolver", 200, "GET /api/records/{type}/{id}",
    )  # fmt: skip
    second = api.get("/api/audit/access", "auditor", params={"subject": record_id, "cursor": first["next"]})
    assert [one["caller"] for one in second["items"]] == ["a-viewer"] and second["next"] is None
    assert api.get("/api/audit/access?caller=a-resolver&limit=1", "auditor")["items"][0]["status"] == 404
    changes = api.get("/api/audit?action=token_create&limit=2", "auditor")
    assert len(changes["items"]) == 2 and changes["next"]
    seq = changes["items"][0]["seq"]
    assert api.get(f"/api/audit/{seq}", "auditor")["entryHash"] == changes["items"][0]["entryHash"]
    older = api.get("/api/audit", "auditor", params={"cursor": changes["next"], "limit": 1000})["items"]
    assert all(one["seq"] < changes["items"][1]["seq"] for one in older)
    tokens = api.get("/api/audit/tokens", "auditor")["items"]
    assert {"a-viewer", "an-all"} <= {one["name"] for one in tokens} and "hv_" not in json.dumps(tokens)


def test_answers_carry_headers_that_keep_browsers_and_caches_out(api: Service) -> None:
    answer = api.call("GET", "/api/records", headers={"Origin": "https://evil.example"})
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers and "server" not in answer.headers
