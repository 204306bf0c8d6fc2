"""SMART Backend Services against a token endpoint that checks what SMART and Epic check (vendors.md §2.1, §3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.requests import Request
from starlette.responses import Response

from holovitals_pipelines.model.connection import ReadSettings, SecretRef, SmartBackendAuth
from holovitals_pipelines.model.errors import AuthenticationError, ConfigurationError, ProtocolError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.signing import jwks, read_key
from holovitals_pipelines.providers.smart import SmartBackend, missing_scopes

from .loopback import FastClock, Handler, Server, bundle, capability, connection, json, patient, read_all, serving

RSA = RSAKey.generate_key(2048)
OLD_RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-384")

SECRETS = {
    "rsa.pem": RSA.as_pem(private=True).decode(),
    "old.pem": OLD_RSA.as_pem(private=True).decode(),
    "ec.json": orjson.dumps({**EC.as_dict(private=True), "kid": "our-ec-key"}).decode(),
    "weak.pem": generate_private_key(65537, 1024)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode(),
    "public.json": orjson.dumps(RSA.as_dict(private=False)).decode(),
    "p256.pem": ECKey.generate_key("P-256").as_pem(private=True).decode(),
    "garbage": "not a key, but secret all the same",
}


def secret(reference: SecretRef) -> str:
    assert reference.file is not None
    return SECRETS[reference.file]


@dataclass
class Vendor:
    """A token endpoint and one protected search."""

    registered: list[str] = field(default_factory=lambda: ["rsa.pem"])
    algorithm: str = "RS384"
    lifetime: Any = 300
    scope: str | None = None
    clock_ahead: timedelta = timedelta()
    refuse: Callable[[dict[str, str]], Response | None] = lambda form: None
    assertions: list[Any] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    jtis: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)

    @contextmanager
    def run(self, **more: Handler) -> Iterator[Server]:
        base: list[str] = []

        def discovery(_: Request) -> Response:
            return json({"token_endpoint": f"{base[0]}/oauth/token"})

        async def token(request: Request) -> Response:
            form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            self.forms.append(form)
            return self.refuse(form) or self._judge(form, f"{base[0]}/oauth/token")

        def patients(request: Request) -> Response:
            bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
            if bearer not in self.tokens or bearer in self.revoked:
                return Response(status_code=401)
            return json(bundle([patient(1)]))

        routes: dict[str, Handler] = {
            "/fhir/metadata": lambda _: json(capability({"Patient": []})),
            "/fhir/.well-known/smart-configuration": discovery,
            "/fhir/Patient": patients,
            "/oauth/token": token,
            **more,
        }
        with serving(routes) as server:
            base.append(server.url)
            yield server

    def _judge(self, form: dict[str, str], audience: str) -> Response:
        now = datetime.now(UTC) + self.clock_ahead
        dated = {"date": format_datetime(now, usegmt=True)}
        keys = jwks(read_key(SECRETS[name], self.algorithm, place="test") for name in self.registered)  # type: ignore[arg-type]
        try:
            assertion = jwt.decode(form["client_assertion"], KeySet.import_key_set(keys), algorithms=[self.algorithm])  # type: ignore[arg-type]
            claims = assertion.claims
            assert assertion.header["typ"] == "JWT"
            assert claims["iss"] == claims["sub"] == "our-client"
            assert claims["aud"] == audience
            assert now.timestamp() - 5 < claims["exp"] <= now.timestamp() + 300
            assert claims["iat"] <= now.timestamp() + 5
            assert 0 < len(claims["jti"]) <= 151
            assert claims["jti"] not in self.jtis
        except (JoseError, ValueError, AssertionError):
            return json({"error": "invalid_client"}, 400, dated)
        self.jtis.add(claims["jti"])
        self.assertions.append(assertion)
        self.tokens.append(f"token-{len(self.tokens)}")
        answer = {"access_token": self.tokens[-1], "token_type": "bearer", "expires_in": self.lifetime}
        return json(answer | ({"scope": self.scope} if self.scope is not None else {}), headers=dated)


def auth(*keys: str, algorithm: str = "RS384", **more: Any) -> dict[str, Any]:
    files = [{"file": name} for name in keys or ("rsa.pem",)]
    return {"kind": "smart_backend", "client_id": "our-client", "keys": files, "algorithm": algorithm, **more}


def backend(server: Server, clock: FastClock, **declared: Any) -> SmartBackend:
    settings = ReadSettings(max_retries=2)
    http = VendorHttp("clinic", f"{server.url}/fhir", settings, clock=clock.as_clock())
    return SmartBackend(SmartBackendAuth.model_validate(declared or auth()), http, secret)


def test_rs384_from_pem_is_known_by_its_thumbprint(clock: FastClock) -> None:
    vendor = Vendor()
    with vendor.run() as server:
        assert asyncio.run(backend(server, clock).token()) == "token-0"
    assert vendor.assertions[0].header["kid"] == RSA.thumbprint()
    assert "scope" not in vendor.forms[0], "Epic wants none"


def test_es384_from_jwk_keeps_its_kid_and_names_its_jku(clock: FastClock) -> None:
    vendor = Vendor(registered=["ec.json"], algorithm="ES384")
    with vendor.run() as server:
        declared = auth("ec.json", algorithm="ES384", scopes="system/*.rs", jku="https://us.example/jwks.json")
        asyncio.run(backend(server, clock, **declared).token())
    header = vendor.assertions[0].header
    assert (header["kid"], header["jku"]) == ("our-ec-key", "https://us.example/jwks.json")
    assert vendor.forms[0]["scope"] == "system/*.rs"


def test_a_token_is_reused_until_shortly_before_it_expires(clock: FastClock) -> None:
    vendor = Vendor(lifetime="300")
    with vendor.run() as server:
        smart = backend(server, clock)

        async def run() -> list[str]:
            tokens = [await smart.token()]
            clock.ahead += 230
            tokens.append(await smart.token())
            clock.ahead += 15
            tokens.append(await smart.token())
            return tokens

        assert asyncio.run(run()) == ["token-0", "token-0", "token-1"]


def test_many_requests_at_once_ask_for_one_token(clock: FastClock) -> None:
    vendor = Vendor()
    with vendor.run() as server:
        smart = backend(server, clock)

        async def run() -> list[str]:
            return await asyncio.gather(*(smart.token() for _ in range(20)))

        assert asyncio.run(run()) == ["token-0"] * 20
    assert len(vendor.forms) == 1


def test_a_retired_key_gives_way_to_the_next_and_stays_behind_it(clock: FastClock) -> None:
    vendor = Vendor(registered=["rsa.pem"])
    with vendor.run() as server:
        smart = backend(server, clock, **auth("old.pem", "rsa.pem"))

        async def run() -> None:
            first = await smart.token()
            smart.invalidate(first)
            await smart.token()

        asyncio.run(run())
    assert len(vendor.forms) == 3, "the refused key is not tried first again"
    assert vendor.tokens == ["token-0", "token-1"]


@pytest.mark.parametrize(
    ("status", "body"), [(401, {"error": "invalid_client"}), (400, {"error": "invalid_grant"}), (401, {})]
)
def test_refusals_are_recognised_in_each_spelling(clock: FastClock, status: int, body: dict[str, str]) -> None:
    vendor = Vendor(refuse=lambda form: json(body, status))
    with vendor.run() as server, pytest.raises(AuthenticationError) as caught:
        asyncio.run(backend(server, clock, **auth("old.pem", "rsa.pem")).token())
    assert len(vendor.forms) == 2
    assert "every one of 2 keys" in caught.value.message
    assert "client_id" in caught.value.remedy
    assert "clinic" in caught.value.place


def test_a_scope_that_is_refused_is_no_reason_to_try_another_key(clock: FastClock) -> None:
    vendor = Vendor(refuse=lambda form: json({"error": "invalid_scope"}, 400))
    with vendor.run() as server, pytest.raises(AuthenticationError) as caught:
        asyncio.run(backend(server, clock, **auth("old.pem", "rsa.pem", scopes="system/*.rs")).token())
    assert len(vendor.forms) == 1
    assert "auth.scopes" in caught.value.remedy


@pytest.mark.parametrize("ahead", [timedelta(minutes=20), timedelta(minutes=-20)], ids=["we are slow", "we are fast"])
def test_a_clock_that_is_off_is_noticed_and_corrected_by_the_servers(clock: FastClock, ahead: timedelta) -> None:
    vendor = Vendor(clock_ahead=ahead)
    with vendor.run() as server:
        smart = backend(server, clock)
        assert asyncio.run(smart.token()) == "token-0"
    [problem] = smart.problems
    assert problem.code == "auth.clock_skew"
    assert "NTP" in problem.remedy


def test_an_assertion_is_never_sent_twice(clock: FastClock) -> None:
    failures = [Response(status_code=503), Response(status_code=503)]
    vendor = Vendor(refuse=lambda form: failures.pop() if failures else None)
    with vendor.run() as server:
        assert asyncio.run(backend(server, clock).token()) == "token-0"
    assert len({form["client_assertion"] for form in vendor.forms}) == 3


def test_a_revoked_token_is_renewed_once_and_the_request_repeated(clock: FastClock) -> None:
    vendor = Vendor(revoked={"token-0"})
    with vendor.run() as server:
        config = connection(f"{server.url}/fhir", auth=auth())
        request = ReadRequest(resource_types=["Patient"])
        result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
    assert result.ids == ["p1"]
    assert len(vendor.forms) == 2


def test_tokens_that_are_all_refused_end_in_an_authentication_error(clock: FastClock) -> None:
    vendor = Vendor(revoked={"token-0", "token-1"})
    with vendor.run() as server:
        config = connection(f"{server.url}/fhir", auth=auth())
        request = ReadRequest(resource_types=["Patient"])
        result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
    assert isinstance(result.done["Patient"].error, AuthenticationError)
    assert len(vendor.forms) == 2


def test_fewer_scopes_than_asked_for_are_a_warning(clock: FastClock) -> None:
    vendor = Vendor(scope="system/Patient.rs")
    with vendor.run() as server:
        config = connection(f"{server.url}/fhir", auth=auth(scopes="system/Patient.rs system/Observation.rs"))
        request = ReadRequest(resource_types=["Patient"])
        result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
    [problem] = result.problems
    assert problem.code == "auth.scope_reduced"
    assert problem.message.endswith("missing: system/Observation.rs")
    assert result.ids == ["p1"]


@pytest.mark.parametrize(
    ("asked", "granted", "missing"),
    [
        ("system/*.read", "system/*.rs", ""),
        ("system/Patient.rs", "system/*.cruds", ""),
        ("system/Patient.rs", "Patient.read Patient.search", ""),
        ("system/Patient.cruds", "system/Patient.rs", "system/Patient.cruds"),
        ("system/*.rs", "system/Patient.rs", "system/*.rs"),
        ("offline custom", "custom", "offline"),
    ],
)
def test_scopes_are_compared_by_what_they_allow(asked: str, granted: str, missing: str) -> None:
    assert missing_scopes(asked.split(), granted.split()) == missing.split()


def test_a_token_url_that_is_configured_needs_no_discovery(clock: FastClock) -> None:
    vendor = Vendor()
    with vendor.run() as server:
        asyncio.run(backend(server, clock, **auth(token_url=f"{server.url}/oauth/token")).token())
        assert not server.of("/fhir/.well-known/smart-configuration")


@pytest.mark.parametrize("answer", [Response(status_code=404), Response("<html>"), json({"issuer": "x"})])
def test_a_server_without_discovery_says_what_to_set(clock: FastClock, answer: Response) -> None:
    with (
        Vendor().run(**{"/fhir/.well-known/smart-configuration": lambda _: answer}) as server,
        pytest.raises(ConfigurationError) as caught,
    ):
        asyncio.run(backend(server, clock).token())
    assert caught.value.code == "auth.discovery"
    assert "auth.token_url" in caught.value.remedy


def test_a_token_answer_that_is_none_is_a_clear_error(clock: FastClock) -> None:
    vendor = Vendor(refuse=lambda form: Response("<html>Sign in</html>"))
    with vendor.run() as server, pytest.raises(ProtocolError) as caught:
        asyncio.run(backend(server, clock).token())
    assert caught.value.code == "auth.token_answer"


@pytest.mark.parametrize(
    ("name", "algorithm", "code"),
    [
        ("garbage", "RS384", "auth.key_unreadable"),
        ("ec.json", "RS384", "auth.key_unreadable"),
        ("rsa.pem", "ES384", "auth.key_unreadable"),
        ("public.json", "RS384", "auth.key_public"),
        ("weak.pem", "RS384", "auth.key_weak"),
        ("p256.pem", "ES384", "auth.key_curve"),
    ],
)
@pytest.mark.filterwarnings("ignore:Key size")
def test_an_unusable_key_is_refused_without_a_word_of_it(name: str, algorithm: Any, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_key(SECRETS[name], algorithm, place="connection clinic, auth.keys[0]")
    assert caught.value.code == code
    assert caught.value.__cause__ is None
    shown = f"{caught.value} {caught.value!r}"
    assert not any(word in shown for word in SECRETS[name].split() if len(word) > 8)


def test_what_is_published_holds_no_private_half() -> None:
    keys = [read_key(SECRETS["rsa.pem"], "RS384", place=""), read_key(SECRETS["ec.json"], "ES384", place="")]
    published = jwks(keys)["keys"]
    assert [set(key) for key in published] == [
        {"kty", "n", "e", "kid", "alg", "use"},
        {"kty", "crv", "x", "y", "kid", "alg", "use"},
    ]
    assert repr(keys[0]) == f"SigningKey(algorithm='RS384', kid='{RSA.thumbprint()}')"


def test_the_token_goes_to_no_other_host_whatever_the_server_names(clock: FastClock) -> None:
    vendor = Vendor()

    def manifest(storage: Server, own: Server) -> dict[str, Any]:
        files = [
            {"type": "Patient", "url": f"{storage.url}/file"},
            {"type": "Patient", "url": f"{own.url}/moved"},
            {"type": "Patient", "url": f"{own.url}/own"},
        ]
        return {"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": True, "output": files}

    servers: list[Server] = []
    line = lambda number: Response(orjson.dumps(patient(number)) + b"\n")  # noqa: E731
    own: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Patient": []}, exports=["system"])),
        "/fhir/$export": lambda _: Response(status_code=202, headers={"content-location": "/status"}),
        "/status": lambda _: json(manifest(servers[0], servers[1])),
        "/moved": lambda _: Response(status_code=307, headers={"location": f"{servers[0].url}/file2"}),
        "/own": lambda _: line(3),
    }
    with serving({"/file": lambda _: line(1), "/file2": lambda _: line(2)}) as storage, vendor.run(**own) as server:
        servers += [storage, server]
        config = connection(f"{server.url}/fhir", auth=auth())
        request = ReadRequest(resource_types=["Patient"])
        result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
        assert len(storage.seen) == 2
        assert not any("token-" in repr(seen) or "authorization" in seen.headers for seen in storage.seen)
        assert server.of("/own")[0].headers["authorization"] == "Bearer token-0"
        assert server.of("/moved")[0].headers["authorization"] == "Bearer token-0"
    assert result.ids == ["p1", "p2", "p3"]
    assert result.done["Patient"].error is None


def test_files_that_need_no_token_get_none(clock: FastClock) -> None:
    vendor = Vendor()
    files = [{"type": "Patient", "url": "/file"}]
    answer = {"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": False, "output": files}
    own: dict[str, Handler] = {
        "/fhir/metadata": lambda _: json(capability({"Patient": []}, exports=["system"])),
        "/fhir/$export": lambda _: Response(status_code=202, headers={"content-location": "/status"}),
        "/status": lambda _: json(answer),
        "/file": lambda _: Response(orjson.dumps(patient(1)) + b"\n"),
    }
    with vendor.run(**own) as server:
        config = connection(f"{server.url}/fhir", auth=auth())
        request = ReadRequest(resource_types=["Patient"])
        result = read_all(config, request, clock=clock.as_clock(), resolve_secret=secret)
        assert "authorization" not in server.of("/file")[0].headers
        assert "authorization" in server.of("/status")[0].headers
    assert result.ids == ["p1"]
