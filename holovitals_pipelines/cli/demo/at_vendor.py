"""One simulated vendor from behind: what it holds, what its clinicians do there, and what it was asked to change.

Law: what the vendor holds and was asked is read from the vendor, never from what the program says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import httpx

from holovitals_pipelines.cli.demo.message_feed import SPEAKS_HL7
from holovitals_pipelines.fhir.exact import read_document, write_document
from holovitals_pipelines.model.writing import Document

Change = Callable[[Document], None]
"""Changes a resource in place."""

_NO_WRITES = ("oauth2", "bulk")
"""First segments of requests that are no writes to the record, whatever their method."""


@dataclass(frozen=True)
class AtVendor:
    """`admin_url` is the sandbox's; `name` the vendor's, and the connection's."""

    admin_url: str
    name: str

    def remote_id(self, identity: str) -> str:
        """What the vendor's clients know a patient by that its store calls `identity`."""
        return self._numbers.get(identity, identity)

    @cached_property
    def _numbers(self) -> Mapping[str, str]:
        """Messages name patients by number, with the facility that gave it."""
        if self.name != SPEAKS_HL7:
            return {}
        found = {}
        for patient in map(read_document, self.everything("Patient")):
            for identifier in patient.get("identifier", ()):
                if any(coding.get("code") == "MR" for coding in identifier.get("type", {}).get("coding", ())):
                    found[patient["id"]] = f"FAC1-MR-{identifier['value']}"
        return found

    def held(self, kind: str, identity: str) -> Document | None:
        """The resource as it stands; None when there is none."""
        answer = _client().get(self._address(kind, identity))
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return read_document(answer.content)

    def version(self, kind: str, identity: str) -> str | None:
        """None also where the vendor shows no versions."""
        held = self.held(kind, identity) or {}
        version: str | None = held.get("meta", {}).get("versionId")
        return version

    def edit(self, kind: str, identity: str, change: Change) -> None:
        """What a clinician does; no rule of the vendor's API applies to it."""
        held = self.held(kind, identity)
        assert held is not None, "only what is there is edited"
        change(held)
        answer = _client().put(self._address(kind, identity), content=write_document(held))
        answer.raise_for_status()

    def delete(self, kind: str, identity: str) -> None:
        _client().delete(self._address(kind, identity)).raise_for_status()

    def everything(self, kind: str) -> Iterator[bytes]:
        """Every living resource of a type, byte for byte."""
        url = f"{self.admin_url}/{self.name}/resources/{kind}"
        with _client().stream("GET", url, timeout=60) as answer:
            answer.raise_for_status()
            rest = b""
            for block in answer.iter_bytes():
                *lines, rest = (rest + block).split(b"\n")
                yield from lines

    def tell(self, address: str, secret: str) -> None:
        """From now on the vendor tells that address of every change, signed with the secret."""
        told = {"url": address, "secret": secret, "form": "plain", "handshake": False}
        _client().post(f"{self.admin_url}/{self.name}/webhooks", json=told).raise_for_status()

    def tell_no_more(self) -> None:
        _client().delete(f"{self.admin_url}/{self.name}/webhooks").raise_for_status()

    def forget_requests(self) -> None:
        """Empties the request log of all vendors."""
        _client().delete(f"{self.admin_url}/requests").raise_for_status()

    def writes(self) -> int:
        """Requests since then that create, change or delete a resource."""
        log = _client().get(f"{self.admin_url}/requests", params={"dialect": self.name}).json()
        return sum(
            row["method"] in ("POST", "PUT", "PATCH", "DELETE")
            and not row["path"].endswith("_search")
            and row["path"].split("/")[0] not in _NO_WRITES
            and not row["path"].endswith("token")
            and "export" not in row["path"]
            for row in log
        )

    def changes(self) -> int:
        """Grows with each version made there, by whomever."""
        answer = _client().get(f"{self.admin_url}/{self.name}/changes")
        answer.raise_for_status()
        return int(answer.json()["changes"])

    def _address(self, kind: str, identity: str) -> str:
        known = {number: one for one, number in self._numbers.items()}
        return f"{self.admin_url}/{self.name}/{kind}/{known.get(identity, identity)}"


@cache
def _client() -> httpx.Client:
    """One for all requests, each on a connection of its own: a client reads the certificates of the machine anew."""
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
