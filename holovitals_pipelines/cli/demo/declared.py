"""How the demo's vendors are declared as connections: each with the way in, the extent and the settings it needs.

Law: secrets lie in files of the home that only its owner can read, and the declarations name the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holovitals_pipelines.cli.demo.message_feed import free_port
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.sandbox.credentials import DemoCredentials
from holovitals_pipelines.sandbox.process import RunningSandbox

OWNER = "team:demo"
"""Marks the connections the demo wrote; it replaces those and no other."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys and secrets of the demo, in files. `folder` is the demo's own."""

    credentials: DemoCredentials
    folder: Path

    def secret(self, name: str, text: str) -> dict[str, str]:
        """A reference to a file with the text, which is made where it is missing."""
        file = self.folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")
        return {"file": str(file)}

    def signed(self, algorithm: str = "RS384", scopes: str | None = None) -> dict[str, Any]:
        """SMART Backend Services with one of the demo's keys."""
        key = self.credentials.rsa_key if algorithm == "RS384" else self.credentials.ec_key
        return {
            "kind": "smart_backend", "client_id": self.credentials.client_id, "keys": [{"file": str(key)}],
            "algorithm": algorithm, "scopes": scopes,
        }  # fmt: skip


Declared = Mapping[str, Any]


def _fhir(keys: Keys, running: RunningSandbox) -> Declared:
    return {"auth": keys.signed("ES384", "system/*.cruds")}


def _epic(keys: Keys, running: RunningSandbox) -> Declared:
    return {"auth": keys.signed(), "read": {"group": running.groups["epic"]}}


def _cerner(keys: Keys, running: RunningSandbox) -> Declared:
    secret = keys.secret("cerner.client_secret", "holovitals-system-secret")
    return {
        "auth": {"kind": "client_secret", "client_id": "holovitals-system-account", "client_secret": secret},
        "read": {"patient_ids": _patients("cerner", keys, running)},
    }


def _meditech(keys: Keys, running: RunningSandbox) -> Declared:
    return {
        "vendor": {"timezone": "America/New_York"},
        "hl7v2": {"listen": [{"name": name, "port": free_port()} for name in ("adt", "results")]},
    }


def _eclinicalworks(keys: Keys, running: RunningSandbox) -> Declared:
    return {"auth": keys.signed(), "read": {"group": running.groups["eclinicalworks"], "mode": "bulk"}}


def _allscripts(keys: Keys, running: RunningSandbox) -> Declared:
    return {
        "auth": {
            "kind": "unity", "application": "HoloVitals", "ehr_user": "jmedici",
            "service_user": keys.secret("allscripts.service_user", "Sandbox-Service"),
            "service_password": keys.secret("allscripts.service_password", "sandbox"),
            "ehr_password": keys.secret("allscripts.ehr_password", "password01"),
        },
        "read": {"patient_ids": _patients("allscripts", keys, running)},
    }  # fmt: skip


def _athenahealth(keys: Keys, running: RunningSandbox) -> Declared:
    secret = keys.secret("athenahealth.client_secret", "holovitals-sandbox-secret")
    return {"auth": {"kind": "client_secret", "client_id": "holovitals-sandbox", "client_secret": secret}}


def _nextgen(keys: Keys, running: RunningSandbox) -> Declared:
    return {
        "auth": {
            "kind": "client_secret", "client_id": "sandbox-client", "sent_as": "form", "site_id": "sandbox-site",
            "client_secret": keys.secret("nextgen.client_secret", "sandbox"),
        },
        "vendor": {"enterprise_id": "00002", "practice_id": "0006", "timezone": "America/New_York"},
    }  # fmt: skip


def _patients(vendor: str, keys: Keys, running: RunningSandbox) -> dict[str, str]:
    """The ids a client is given out of band, where the vendor lists no patients."""
    return keys.secret(f"{vendor}.patients", "\n".join(running.patient_ids(vendor)))


_DECLARED: Mapping[str, Callable[[Keys, RunningSandbox], Declared]] = {
    "epic": _epic,
    "cerner": _cerner,
    "meditech": _meditech,
    "allscripts": _allscripts,
    "nextgen": _nextgen,
    "athenahealth": _athenahealth,
    "eclinicalworks": _eclinicalworks,
    "fhir": _fhir,
}

VENDORS = tuple(_DECLARED)

_WRITTEN: Mapping[str, Declared] = {"eclinicalworks": {"resource_types": ["Patient", "Condition", "Encounter"]}}
"""What a site has licensed for writing, where that cannot be asked."""

KNOBS: Mapping[str, Mapping[str, Any]] = {"eclinicalworks": {"write_back": True, "polls": 1, "retry_after": "1"}}
"""How the simulated vendors differ from what they are by themselves."""


def declared(vendor: str, running: RunningSandbox, keys: Keys) -> ConnectionConfig:
    """The connection of one running vendor: everything may be written that the vendor takes."""
    return ConnectionConfig.model_validate(
        {
            "name": vendor,
            "provider": Provider(vendor),
            "base_url": running.base_urls[vendor],
            "write": {"enabled": True, "creates": True, "deletes": True, **_WRITTEN.get(vendor, {})},
            "owner": OWNER,
            **_DECLARED[vendor](keys, running),
        }
    )
