"""MLLP over TLS: whose certificate is believed, on both sides."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holovitals_pipelines.model.connection import Hl7v2Settings, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError, HoloVitalsError, OutcomeUnknownError, PermanentError
from holovitals_pipelines.providers.hl7v2.framing import framed
from holovitals_pipelines.providers.hl7v2.listener import Listener
from holovitals_pipelines.providers.hl7v2.sender import Acknowledged, Sender

from .wires import Keeper, client, message

KEYS: dict[str, str] = {}


def resolved(reference: SecretRef) -> str:
    assert reference.env is not None
    return KEYS[reference.env]


def make(folder: Path, name: str) -> None:
    """A certificate that vouches for itself, good for 127.0.0.1; its key is kept as a secret of that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    KEYS[name] = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "vendor", "stranger"):
        make(folder, name)
    yield folder
    KEYS.clear()


def port_with(folder: Path, *, authorities: str | None = None) -> Hl7v2Settings:
    tls = {"certificate": str(folder / "ours.pem"), "key": {"env": "ours"}}
    if authorities is not None:
        tls["authorities"] = str(folder / f"{authorities}.pem")
    return Hl7v2Settings.model_validate({"listen": [{"port": 0, "tls": tls}]})


def link_with(folder: Path, *, authorities: str | None = "ours", certificate: str | None = None) -> Hl7v2Settings:
    tls: dict[str, object] = {}
    if authorities is not None:
        tls["authorities"] = str(folder / f"{authorities}.pem")
    if certificate is not None:
        tls |= {"certificate": str(folder / f"{certificate}.pem"), "key": {"env": certificate}}
    return Hl7v2Settings.model_validate({"tls": tls, "ack_timeout_seconds": 5})


def exchanged(port: Hl7v2Settings, link: Hl7v2Settings) -> tuple[Acknowledged | HoloVitalsError, list[str]]:
    """What our sender makes of our listener, and what the listener got."""

    async def story() -> tuple[Acknowledged | HoloVitalsError, list[str]]:
        keeper = Keeper()
        async with Listener(port, keeper, resolve_secret=resolved) as listener:
            url = f"mllps://127.0.0.1:{listener.ports['feed']}"
            async with Sender.to(url, link, resolve_secret=resolved) as sender:
                try:
                    told: Acknowledged | HoloVitalsError = await sender.send(message(1))
                except HoloVitalsError as error:
                    told = error
        return told, keeper.ids

    return asyncio.run(story())


def test_a_message_goes_over_tls_where_the_certificate_is_vouched_for(certificates: Path) -> None:
    assert exchanged(port_with(certificates), link_with(certificates)) == (Acknowledged("AA", "1"), ["1"])


@pytest.mark.parametrize("authorities", [None, "stranger"])
def test_a_certificate_nobody_vouches_for_is_not_talked_to(certificates: Path, authorities: str | None) -> None:
    told, got = exchanged(port_with(certificates), link_with(certificates, authorities=authorities))
    assert type(told) is PermanentError and told.code == "hl7.tls"
    assert got == []


def test_a_port_that_asks_for_certificates_takes_only_those_it_knows(certificates: Path) -> None:
    port = port_with(certificates, authorities="vendor")
    known = exchanged(port, link_with(certificates, certificate="vendor"))
    assert known == (Acknowledged("AA", "1"), ["1"])
    for certificate in (None, "stranger"):
        told, got = exchanged(port, link_with(certificates, certificate=certificate))
        assert isinstance(told, OutcomeUnknownError | PermanentError)
        assert got == []


def test_a_client_without_tls_gets_nothing_from_a_tls_port_and_does_not_disturb_it(certificates: Path) -> None:
    async def story() -> None:
        keeper = Keeper()
        async with Listener(port_with(certificates), keeper, resolve_secret=resolved) as listener:
            port = listener.ports["feed"]
            async with client(port) as plain:
                await plain.send(framed(message(1)))
                assert await plain.answer() is None
            context = ssl.create_default_context(cafile=str(certificates / "ours.pem"))
            async with client(port, ssl=context) as end:
                assert (await end.ask(message(2))).control_id == "2"
        assert keeper.ids == ["2"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ({}, "needs a certificate"),
        ({"certificate": "nowhere.pem"}, "not there"),
        ({"certificate": "ours.pem", "key": {"env": "vendor"}}, "cannot be read"),
        ({"certificate": "ours.pem"}, "cannot be read"),
    ],
)
def test_files_that_cannot_serve_are_told_before_anything_is_listened_to(
    certificates: Path, tls: dict[str, object], told: str
) -> None:
    if "certificate" in tls:
        tls = {**tls, "certificate": str(certificates / str(tls["certificate"]))}
    settings = Hl7v2Settings.model_validate({"listen": [{"port": 0}, {"name": "safe", "port": 0, "tls": tls}]})
    listener = Listener(settings, Keeper(), resolve_secret=resolved)
    with pytest.raises(ConfigurationError, match=told) as caught:
        asyncio.run(listener.start())
    assert caught.value.code == "hl7.tls" and "safe" in caught.value.place
    assert "PRIVATE KEY" not in str(caught.value) and caught.value.__context__ is None
