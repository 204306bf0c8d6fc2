"""TLS of MLLP links: our certificate, and whom we believe.

Law: key material reaches the TLS library and nothing else; no error tells a piece of it.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from holovitals_pipelines.model.connection import SecretRef, TlsFiles
from holovitals_pipelines.model.errors import ConfigurationError

ResolveSecret = Callable[[SecretRef], str]


def listening(files: TlsFiles, resolve_secret: ResolveSecret | None, *, place: str) -> ssl.SSLContext:
    """Of a port of ours; with `authorities` only senders whose certificate they vouch for are let in."""
    if files.certificate is None:
        raise _wrong("a TLS port needs a certificate", place, "give tls.certificate, and tls.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files, resolve_secret, place)
    if files.authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def sending(files: TlsFiles | None, resolve_secret: ResolveSecret | None, *, place: str) -> ssl.SSLContext:
    """Of a link to a vendor, whose certificate has to be good for the host's name."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files is not None:
        _load(context, files, resolve_secret, place)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles, resolve_secret: ResolveSecret | None, place: str) -> None:
    problem = None
    try:
        if files.authorities is not None:
            context.load_verify_locations(files.authorities)
        if files.certificate is not None:
            _load_certificate(context, files.certificate, files.key, resolve_secret)
    except FileNotFoundError:
        problem = "a file of tls is not there"
    except (OSError, ValueError):
        # ssl.SSLError is an OSError; its text can quote what it could not read.
        problem = "the files of tls cannot be read as PEM, or the key is not the certificate's"
    if problem is not None:
        raise _wrong(problem, place, "check tls.certificate, tls.key and tls.authorities: PEM, and of one another")


def _load_certificate(
    context: ssl.SSLContext, certificate: str, key: SecretRef | None, resolve_secret: ResolveSecret | None
) -> None:
    if key is None:
        context.load_cert_chain(certificate)
        return
    if resolve_secret is None:
        raise ValueError
    # The library reads keys from files only: this one is readable by this user alone, and gone at once.
    with tempfile.TemporaryDirectory(prefix="holovitals-") as folder:
        path = Path(folder) / "key.pem"
        path.touch(mode=0o600)
        path.write_text(resolve_secret(key), encoding="utf-8")
        context.load_cert_chain(certificate, path)


def _wrong(message: str, place: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(message, code="hl7.tls", place=place, remedy=remedy)
