"""`holovitals tokens` and `serve`: a token is printed once, and nothing is served where others could read it."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from holovitals_pipelines.cli.serve_command import serve
from holovitals_pipelines.cli.tokens_commands import tokens_app
from tests.cli.conftest import Run

serving = typer.Typer()
serving.command()(serve)


@pytest.fixture
def tokens(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("DATABASE_URL", "LANDING_URL", "CONNECTIONS_FILE"):
        monkeypatch.delenv(f"HOLOVITALS_{name}", raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(tokens_app, arguments, env={"HOLOVITALS_HOME": str(home)})

    return invoke


def test_a_token_is_printed_once_listed_without_it_and_revoked(tokens: Run) -> None:
    made = tokens("create", "dashboard", "--role", "viewer", "--role", "auditor", "--expires", "90d")
    assert made.exit_code == 0 and made.stdout.startswith("hv_") and made.stdout.count("\n") == 1, made.output
    told = json.loads(tokens("create", "robot", "--role", "operator", "--expires", "2100-01-31", "--json").stdout)
    assert told["token"].startswith("hv_") and told["expiresAt"].startswith("2100-01-31")
    listed = tokens("list")
    assert "dashboard" in listed.stdout and "viewer, auditor" in listed.stdout and "hv_" not in listed.stdout
    assert tokens("revoke", "dashboard").exit_code == 0
    states = {one["name"]: one["valid"] for one in json.loads(tokens("list", "--json").stdout)}
    assert states == {"dashboard": False, "robot": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x"), "--role"),
        (("create", "x", "--role", "king"), "king"),
        (("create", "x", "--role", "viewer", "--expires", "soon"), "--expires"),
        (("create", "policy:x", "--role", "viewer"), "actor.invalid"),
        (("create", "x", "--role", "viewer", "--expires", "2001-01-01"), "token.expired"),
        (("revoke", "nobody"), "token.unknown"),
    ],
)
def test_a_mistake_is_explained(tokens: Run, arguments: tuple[str, ...], said: str) -> None:
    ended = tokens(*arguments)
    assert ended.exit_code != 0 and said in ended.output and "Traceback" not in ended.output


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    command = [str(Path(sys.executable).with_name("holovitals")), "serve", "--port", "0", "--json", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLOVITALS_")}
    process = subprocess.Popen(
        command, env=environment | {"HOLOVITALS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        told = b""
        while not told.endswith(b"}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            told += line
        yield json.loads(told) | {"process": process}
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_the_api_is_served_until_it_is_told_to_end_and_its_log_names_no_id(home: Path, tokens: Run) -> None:
    secret = tokens("create", "me", "--role", "viewer").stdout.strip()
    with running(home) as told:
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=told["url"], trust_env=False, timeout=20, headers=headers) as client:
            assert told["tokens"] is True and client.get("/readyz").status_code == 200
            assert client.get("/api/records/Patient/NAMED-PATIENT?connection=NAMED").status_code == 404
        told["process"].send_signal(signal.SIGINT)
        _, log = told["process"].communicate(timeout=30)
        assert told["process"].returncode == 0, log
    assert b"GET /api/records/{type}/{id} 404" in log and b"NAMED" not in log and b"hv_" not in log


def test_with_a_certificate_it_is_served_over_tls(home: Path) -> None:
    certificate, key = self_signed(home)
    with running(home, "--tls-certificate", str(certificate), "--tls-key", str(key)) as told:
        assert told["url"].startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(certificate))
        answer = httpx.get(f"{told['url']}/healthz", trust_env=False, verify=trusted, timeout=20)
        assert answer.status_code == 200 and "max-age" in answer.headers["strict-transport-security"]


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "chain.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "serve.no_tls"),
        (("--host", "no.such.host.invalid"), "serve.no_tls"),
        (("--tls-certificate", "x.pem"), "--tls-key"),
    ],
)
def test_nothing_is_served_where_others_could_read_it(home: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(serving, arguments, env={"HOLOVITALS_HOME": str(home)})
    assert ended.exit_code != 0 and said in ended.output


def test_a_port_that_is_taken_is_told(home: Path) -> None:

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = CliRunner().invoke(serving, ["--port", port], env={"HOLOVITALS_HOME": str(home)})
    assert ended.exit_code == 1 and "serve.port_taken" in ended.output
