"""Key pairs for the demo and for tests: private keys into files of their own, public ones into a registration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID = "holovitals-demo"


@dataclass(frozen=True, slots=True)
class DemoCredentials:
    """Where everything is. The key files hold private JWKs (JSON) with a `kid`, readable by the owner only."""

    client_id: str
    rsa_key: Path
    """For RS384."""
    ec_key: Path
    """For ES384 (P-384)."""
    clients: Path
    """What the server reads: `python -m holovitals_pipelines.sandbox --clients FILE`."""


def demo_credentials(folder: Path, client_id: str = CLIENT_ID) -> DemoCredentials:
    """Make a new RSA and a new EC key pair in the folder and a registration file with their public halves.

    An existing set is kept, so that a demo can be started again.
    """
    made = DemoCredentials(
        client_id, folder / "rs384.private.jwk.json", folder / "es384.private.jwk.json", folder / "clients.json"
    )
    if made.clients.exists() and made.rsa_key.exists() and made.ec_key.exists():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    public = []
    pairs: list[tuple[Path, RSAKey | ECKey, str]] = [
        (made.rsa_key, RSAKey.generate_key(3072), "RS384"),
        (made.ec_key, ECKey.generate_key("P-384"), "ES384"),
    ]
    for path, key, algorithm in pairs:
        labels = {"kid": f"{client_id}-{algorithm.lower()}", "alg": algorithm, "use": "sig"}
        path.touch(mode=0o600)
        path.write_bytes(orjson.dumps({**key.as_dict(private=True), **labels}))
        public.append({**key.as_dict(private=False), **labels})
    made.clients.write_bytes(orjson.dumps({client_id: {"keys": public, "by_url": True}}))
    return made
