"""The client's keys: read from PEM or JWK, signing assertions, published as a JWK set.

The law: key material never leaves this module, not in an error, not in a repr.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from holovitals_pipelines.model.errors import ConfigurationError

Algorithm = Literal["RS384", "ES384"]

ASSERTION_SECONDS = 240
"""Under the five minutes SMART and Epic allow (vendors.md §2.1, §3.2), with a minute left for a clock that is off."""

_SMALLEST_RSA_BITS = 2048
_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, its algorithm and the id the vendor knows it by."""

    algorithm: Algorithm
    kid: str
    _key: RSAKey | ECKey = field(repr=False)

    def assertion(self, *, client_id: str, audience: str, now: datetime, jku: str | None = None) -> str:
        """A fresh SMART client assertion; its `jti` is unique, so it is good for one request."""
        header: dict[str, Any] = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid}
        if jku is not None:
            header["jku"] = jku
        issued = int(now.timestamp())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(header, claims, self._key, algorithms=[self.algorithm])

    def public_jwk(self) -> dict[str, str]:
        """The half to register with the vendor."""
        members = self._key.as_dict(private=False)
        public = {name: str(members[name]) for name in _PUBLIC_MEMBERS if name in members}
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def read_key(secret: str, algorithm: Algorithm, *, place: str) -> SigningKey:
    """A key from PEM or private JWK text. Raises ConfigurationError, which never quotes the text."""
    wanted = "an RSA private key" if algorithm == "RS384" else "an EC P-384 private key"
    remedy = f"give {wanted} as PEM or JWK (`openssl genpkey`), or set auth.algorithm to the key's own"
    text = secret.strip()
    key: RSAKey | ECKey
    try:
        material = json.loads(text) if text.startswith("{") else text
        key = RSAKey.import_key(material) if algorithm == "RS384" else ECKey.import_key(material)
        usable = key.is_private
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        # `from None`: the causes quote the text they could not read.
        raise ConfigurationError(
            f"the key cannot be read as {wanted}", code="auth.key_unreadable", place=place, remedy=remedy
        ) from None
    if not usable:
        raise ConfigurationError("the key is a public key", code="auth.key_public", place=place, remedy=remedy)
    if isinstance(key, RSAKey) and key.raw_value.key_size < _SMALLEST_RSA_BITS:
        raise ConfigurationError(
            f"the RSA key has fewer than {_SMALLEST_RSA_BITS} bits", code="auth.key_weak", place=place, remedy=remedy
        )
    if isinstance(key, ECKey) and key.curve_name != "P-384":
        raise ConfigurationError("the EC key is not on P-384", code="auth.key_curve", place=place, remedy=remedy)
    return SigningKey(algorithm, key.kid or key.thumbprint(), key)


def jwks(keys: Iterable[SigningKey]) -> dict[str, Sequence[dict[str, str]]]:
    """The JWK set to publish at the registered URL: public halves only."""
    return {"keys": [key.public_jwk() for key in keys]}
