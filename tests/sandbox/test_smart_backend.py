from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import JWKRegistry

from holovitals_pipelines.sandbox.credentials import DemoCredentials, demo_credentials
from sandbox.loopback import Loopback, serving

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> DemoCredentials:
    return demo_credentials(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def guarded(credentials: DemoCredentials) -> Iterator[Loopback]:
    with serving(smart=frozenset({"fhir", "epic"}), clients=credentials.clients, patients=5) as running:
        yield running


def assertion(path: Path, token_url: str, *, header: dict[str, Any] | None = None, **changed: Any) -> str:
    key = orjson.loads(path.read_bytes())
    now = int(time.time())
    claims = {"iss": "holovitals-demo", "sub": "holovitals-demo", "aud": token_url, "jti": str(uuid.uuid4())}
    claims |= {"exp": now + 240, "iat": now, "nbf": now, **changed}
    claims = {name: value for name, value in claims.items() if value is not None}
    head = {"alg": key["alg"], "kid": key["kid"], "typ": "JWT", **(header or {})}
    free = {name: value for name, value in key.items() if name not in ("alg", "use")}
    return jwt.encode(head, claims, JWKRegistry.import_key(free), algorithms=[head["alg"]])


def token_url(sandbox: Loopback, dialect: str) -> str:
    found = sandbox.get(dialect, ".well-known/smart-configuration").json()["token_endpoint"]
    assert isinstance(found, str)
    return found


def ask(sandbox: Loopback, dialect: str, signed: str, scope: str | None = "system/*.rs") -> httpx.Response:
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": signed}
    return sandbox.http.post(token_url(sandbox, dialect), data=form | ({"scope": scope} if scope else {}))


@pytest.mark.parametrize("dialect", ["fhir", "epic"])
@pytest.mark.parametrize("which", ["rsa_key", "ec_key"])
def test_a_signed_client_gets_in_with_either_key(
    guarded: Loopback, credentials: DemoCredentials, dialect: str, which: str
) -> None:
    path = f"Patient/{guarded.ids(dialect)[0]}"
    assert guarded.get(dialect, path).status_code == 401
    answer = ask(guarded, dialect, assertion(getattr(credentials, which), token_url(guarded, dialect)))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    token = answer.json()
    assert token["token_type"] == "bearer" and token["expires_in"] == {"fhir": 300, "epic": 3600}[dialect]
    allowed = {"Authorization": f"Bearer {token['access_token']}"}
    assert guarded.get(dialect, path, headers=allowed).status_code == 200
    assert guarded.get(dialect, path, headers={"Authorization": "Bearer x"}).status_code == 401
    log = guarded.admin("GET", f"requests?dialect={dialect}")
    assert [e["had_authorization"] for e in log if e["path"] == "Patient/{id}"][-3:] == [False, True, True]


def test_epic_answers_with_its_own_scope_words(guarded: Loopback, credentials: DemoCredentials) -> None:
    answer = ask(guarded, "epic", assertion(credentials.rsa_key, token_url(guarded, "epic")), scope=None)
    assert answer.status_code == 200 and {"Patient.read", "Patient.search"} <= set(answer.json()["scope"].split())


BAD: dict[str, dict[str, Any]] = {
    "an exp more than five minutes ahead": {"exp": 3600},
    "an exp that is past": {"exp": -10},
    "no exp": {"exp": None},
    "another audience": {"aud": "https://other.example/token"},
    "no jti": {"jti": None},
    "an iat in the future": {"iat": 200},
    "an nbf in the future": {"nbf": 200},
    "a jti of 152 characters": {"jti": "j" * 152},
    "an unknown client": {"iss": "someone", "sub": "someone"},
    "another subject": {"sub": "someone"},
}
"""Times are seconds from when the test runs."""


@pytest.mark.parametrize("flaw", BAD)
def test_epic_refuses_an_assertion_with(guarded: Loopback, credentials: DemoCredentials, flaw: str) -> None:
    now = int(time.time())
    claims = {name: now + value if type(value) is int else value for name, value in BAD[flaw].items()}
    refused = ask(guarded, "epic", assertion(credentials.rsa_key, token_url(guarded, "epic"), **claims))
    assert refused.status_code == 400
    assert refused.json() == {"error": "invalid_client", "error_description": None}


@pytest.mark.parametrize("dialect", ["fhir", "epic"])
def test_an_assertion_is_good_for_one_use(guarded: Loopback, credentials: DemoCredentials, dialect: str) -> None:
    signed = assertion(credentials.rsa_key, token_url(guarded, dialect))
    assert [ask(guarded, dialect, signed).status_code for _ in range(2)] == [200, 400]


def test_unknown_keys_and_algorithms_are_refused(
    guarded: Loopback, credentials: DemoCredentials, tmp_path: Path
) -> None:
    url = token_url(guarded, "fhir")
    assert ask(guarded, "fhir", assertion(credentials.rsa_key, url, header={"kid": "other"})).status_code == 400
    assert ask(guarded, "fhir", assertion(credentials.rsa_key, url, header={"alg": "RS512"})).status_code == 400
    stranger = demo_credentials(tmp_path)
    assert ask(guarded, "fhir", assertion(stranger.rsa_key, url)).status_code == 400, "another key under the same kid"
    assert ask(guarded, "fhir", "not.a.jwt").status_code == 400
    unsigned = "eyJhbGciOiJub25lIn0.e30."
    assert ask(guarded, "fhir", unsigned).status_code == 400


def test_epic_takes_ec_keys_only_from_a_key_set_url(credentials: DemoCredentials, tmp_path: Path) -> None:
    clients = orjson.loads(credentials.clients.read_bytes())
    clients["holovitals-demo"]["by_url"] = False
    for key in clients["holovitals-demo"]["keys"]:
        del key["alg"]
    static = tmp_path / "clients.json"
    static.write_bytes(orjson.dumps(clients))
    with serving(smart=frozenset({"epic"}), clients=static, patients=2) as sandbox:
        url = token_url(sandbox, "epic")
        assert ask(sandbox, "epic", assertion(credentials.ec_key, url)).status_code == 400
        for algorithm in ("RS256", "RS384", "RS512"):
            signed = assertion(credentials.rsa_key, url, header={"alg": algorithm})
            assert ask(sandbox, "epic", signed).status_code == 200, algorithm


def test_scopes_bound_what_a_token_may_do(guarded: Loopback, credentials: DemoCredentials) -> None:
    answer = ask(
        guarded,
        "fhir",
        assertion(credentials.rsa_key, token_url(guarded, "fhir")),
        "system/Patient.read system/X.sr openid",
    )
    assert answer.json()["scope"] == "system/Patient.read", "letters out of order and other contexts are not granted"
    allowed = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert guarded.get("fhir", "Patient", headers=allowed).status_code == 200
    assert guarded.get("fhir", "Observation", headers=allowed).status_code == 403
    patient = f"{guarded.url('fhir')}/Patient/{guarded.ids('fhir')[0]}"
    assert guarded.http.delete(patient, headers=allowed).status_code == 403
    no_scope = ask(guarded, "fhir", assertion(credentials.rsa_key, token_url(guarded, "fhir")), None)
    assert no_scope.json()["error"] == "invalid_scope"


def test_a_token_ends_with_its_time_by_the_vendors_clock(credentials: DemoCredentials) -> None:
    with serving(smart=frozenset({"epic"}), clients=credentials.clients, patients=5) as sandbox:
        answer = ask(sandbox, "epic", assertion(credentials.rsa_key, token_url(sandbox, "epic")))
        allowed = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        path = f"Patient/{sandbox.ids('epic')[0]}"
        assert sandbox.get("epic", path, headers=allowed).status_code == 200
        sandbox.admin("POST", "clock", json={"shift_seconds": 3601})
        assert sandbox.get("epic", path, headers=allowed).status_code == 401
        refused = ask(sandbox, "epic", assertion(credentials.rsa_key, token_url(sandbox, "epic")))
        assert refused.status_code == 400, "a skewed clock kills assertions"


def test_private_keys_are_for_their_owner_only(credentials: DemoCredentials) -> None:
    for path in (credentials.rsa_key, credentials.ec_key):
        assert path.stat().st_mode & 0o077 == 0
    public = orjson.loads(credentials.clients.read_bytes())["holovitals-demo"]["keys"]
    assert all("d" not in key for key in public) and {key["kty"] for key in public} == {"RSA", "EC"}
    again = demo_credentials(credentials.clients.parent)
    assert again == credentials and orjson.loads(again.clients.read_bytes())["holovitals-demo"]["keys"] == public


def test_open_metadata_needs_no_token(guarded: Loopback) -> None:
    for dialect in ("fhir", "epic"):
        assert guarded.get(dialect, "metadata").status_code == 200
    assert guarded.get("epic", "Condition?patient=x").status_code == 401


def test_a_token_revoked_in_mid_scan_gives_401_until_a_new_one_is_fetched(
    guarded: Loopback, credentials: DemoCredentials
) -> None:
    def allowed() -> dict[str, str]:
        answer = ask(guarded, "fhir", assertion(credentials.rsa_key, token_url(guarded, "fhir")))
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    first_token = allowed()
    guarded.fault(kind="revoke_tokens", dialect="fhir", path="Observation", skip=1)
    first = guarded.get("fhir", "Observation?_count=5", headers=first_token).json()
    link = next(each["url"] for each in first["link"] if each["relation"] == "next")
    assert [guarded.http.get(link, headers=first_token).status_code for _ in range(2)] == [401, 401]
    assert guarded.http.get(link, headers=allowed()).status_code == 200, "the search session outlives the token"


def test_a_key_that_was_rotated_away_signs_nothing_any_more_and_the_other_still_does(
    credentials: DemoCredentials,
) -> None:
    with serving(smart=frozenset({"fhir"}), clients=credentials.clients, dialects=("fhir",), patients=2) as sandbox:
        url = token_url(sandbox, "fhir")
        token = ask(sandbox, "fhir", assertion(credentials.rsa_key, url)).json()["access_token"]
        allowed = {"Authorization": f"Bearer {token}"}
        path = f"Patient/{sandbox.ids('fhir')[0]}"
        assert sandbox.get("fhir", path, headers=allowed).status_code == 200

        sandbox.fault(
            kind="rotate_keys", path="Patient/{id}", kid=orjson.loads(credentials.rsa_key.read_bytes())["kid"]
        )

        assert sandbox.get("fhir", path, headers=allowed).status_code == 401
        assert ask(sandbox, "fhir", assertion(credentials.rsa_key, url)).status_code == 400
        assert ask(sandbox, "fhir", assertion(credentials.ec_key, url)).status_code == 200
