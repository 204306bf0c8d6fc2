"""The same client against a FHIR server nobody here wrote (PyPI sekmet-fhir): search, export, SMART Backend, writes."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from joserfc.jwk import ECKey, RSAKey

from holovitals_pipelines.model.connection import SecretRef
from holovitals_pipelines.model.errors import (
    AuthenticationError,
    NotPermittedError,
    PermanentError,
    VersionConflictError,
)
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.model.writing import Absent, Concurrency, Present
from holovitals_pipelines.providers.adapter import Adapter
from tests.local_http import LOCAL

from .loopback import Outcome, at_desk, connection, opened, read_all

SEKMET = Path(sys.executable).with_name("sekmet")
TYPES = ["Organization", "Location", "Practitioner", "Patient", "Encounter"]
PATIENTS = 6


def sekmet(*arguments: str, folder: Path) -> str:
    done = subprocess.run([SEKMET, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(folder: Path, **more: Any) -> Path:
    port = free_port()
    path = folder / "settings.yaml"
    content = {
        "base_url": f"http://127.0.0.1:{port}/fhir",
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder / "data"),
        "simulator": {"enabled": False, "delay_seconds": 0.2},
        **more,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass(frozen=True)
class Sekmet:
    base_url: str
    folder: Path

    def secret(self, reference: SecretRef) -> str:
        assert reference.file is not None
        return (self.folder / reference.file).read_text()


@contextmanager
def serving(folder: Path, config: Path) -> Iterator[Sekmet]:
    base_url = yaml.safe_load(config.read_text())["base_url"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SEKMET, "serve", "-c", str(config)], cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "log").read_text()
            try:
                LOCAL.get(f"{base_url}/metadata", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Sekmet(base_url, folder)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a few registered, some of them admitted, patients."""
    folder = tmp_path_factory.mktemp("seeded")
    sekmet("seed", "--count", str(PATIENTS), "-c", str(settings(folder)), folder=folder)
    return folder / "data"


@pytest.fixture(scope="module")
def open_server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    folder = tmp_path_factory.mktemp("open")
    shutil.copytree(seeded, folder / "data")
    with serving(folder, settings(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def smart_server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    folder = tmp_path_factory.mktemp("smart")
    shutil.copytree(seeded, folder / "data")
    for prefix in ("", "retired-"):
        (folder / f"{prefix}RS384.pem").write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
        (folder / f"{prefix}ES384.pem").write_bytes(ECKey.generate_key("P-384").as_pem(private=True))
    clients = [
        {"client_id": f"client-{name}", "public_key_path": f"{name}.pem", "scopes": "system/*.*"}
        for name in ("RS384", "ES384")
    ]
    auth = {"types": ["smart"], "smart_clients": clients}
    with serving(folder, settings(folder, server_auth=auth)) as server:
        yield server


def smart(algorithm: str, keys: list[str] | None = None, scopes: str = "system/*.rs") -> dict[str, Any]:
    return {
        "kind": "smart_backend",
        "client_id": f"client-{algorithm}",
        "keys": [{"file": name} for name in keys or [f"{algorithm}.pem"]],
        "algorithm": algorithm,
        "scopes": scopes,
    }


def read(server: Sekmet, request: ReadRequest, *, auth: dict[str, Any] | None = None, **reading: Any) -> Outcome:
    config = connection(server.base_url, read={"page_size": 3, **reading}, **({"auth": auth} if auth else {}))
    return read_all(config, request, resolve_secret=server.secret)


def counts(result: Outcome) -> Counter[str]:
    return Counter(orjson.loads(body)["resourceType"] for body in result.bodies)


def told(server: Sekmet) -> Counter[str]:
    """What the server itself says it holds."""
    totals = Counter()
    for name in TYPES:
        answer = LOCAL.get(f"{server.base_url}/{name}?_summary=count")
        totals[name] = answer.json()["total"]
    return totals


@pytest.mark.parametrize("mode", ["search", "bulk", "auto"])
def test_every_resource_is_read_once_however_it_is_read(open_server: Sekmet, mode: str) -> None:
    result = read(open_server, ReadRequest(resource_types=TYPES), mode=mode)
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(TYPES)
    assert counts(result) == told(open_server)
    assert counts(result)["Patient"] == PATIENTS
    assert len(set(result.ids)) == len(result.ids)
    assert all(done.snapshot and done.watermark for done in result.done.values())
    used = {page.source.partition(" ")[2].partition("-")[0] for page in result.pages}
    assert ("$export" in used) == (mode != "search")


@pytest.mark.parametrize("mode", ["search", "bulk"])
@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_backend_services_opens_the_same_data(
    open_server: Sekmet, smart_server: Sekmet, algorithm: str, mode: str
) -> None:
    result = read(smart_server, ReadRequest(resource_types=TYPES), auth=smart(algorithm), mode=mode)
    assert {name: done.error for name, done in result.done.items()} == dict.fromkeys(TYPES)
    assert counts(result) == told(open_server)


def test_a_key_the_server_no_longer_knows_is_passed_over(smart_server: Sekmet) -> None:
    auth = smart("RS384", ["retired-RS384.pem", "RS384.pem"])
    result = read(smart_server, ReadRequest(resource_types=["Patient"]), auth=auth, mode="search")
    assert counts(result)["Patient"] == PATIENTS


def test_a_server_that_knows_none_of_the_keys_is_a_clear_error(smart_server: Sekmet) -> None:
    with pytest.raises(AuthenticationError) as caught:
        read(smart_server, ReadRequest(resource_types=["Patient"]), auth=smart("ES384", ["retired-ES384.pem"]))
    assert caught.value.code == "auth.invalid_client"
    assert "public half" in caught.value.remedy


def test_without_a_token_the_protected_server_is_an_authentication_error(smart_server: Sekmet) -> None:
    result = read(smart_server, ReadRequest(resource_types=["Patient"]), mode="search")
    assert isinstance(result.done["Patient"].error, AuthenticationError)


def test_an_incremental_read_brings_only_what_changed(open_server: Sekmet) -> None:
    full = read(open_server, ReadRequest(resource_types=["Patient"]), mode="search")
    # Seeded before the server started, so everything is older than the server's first answer.
    watermark = full.done["Patient"].watermark
    changed = orjson.loads(full.bodies[0])
    changed["active"] = not changed.get("active", True)
    url = f"{open_server.base_url}/Patient/{changed['id']}"
    assert LOCAL.put(url, json=changed).status_code == 200
    for mode in ("search", "bulk"):
        request = ReadRequest(resource_types=["Patient"], since={"Patient": watermark})
        result = read(open_server, request, mode=mode)
        assert result.ids == [changed["id"]], mode
        assert not result.done["Patient"].snapshot


def test_its_capability_statement_is_understood(open_server: Sekmet) -> None:
    async def run() -> Any:
        async with opened(connection(open_server.base_url)) as adapter:
            return adapter.mechanisms(), adapter.statistics()

    mechanisms, statistics = asyncio.run(run())
    assert mechanisms["Patient"] is ChangeMechanism.LAST_UPDATED
    assert "StructureDefinition" not in mechanisms
    assert [row.operation for row in statistics] == ["GET metadata"]


# writing

OURS = ("urn:holovitals:sync", "link|1,a")


def write_at(server: Sekmet, work: Callable[[Adapter], Any], *, auth: dict[str, Any] | None = None) -> Any:
    write = {"enabled": True, "creates": True, "deletes": True}
    config = connection(server.base_url, write=write, **({"auth": auth} if auth else {}))
    return at_desk(config, work, resolve_secret=server.secret)


def newcomer(**more: Any) -> bytes:
    return orjson.dumps({"resourceType": "Patient", "name": [{"family": "Writer"}], **more})


async def current(desk: Adapter, identity: str) -> Present:
    held = await desk.read_current("Patient", identity)
    assert isinstance(held, Present)
    return held


def test_its_own_versions_guard_every_update(open_server: Sekmet) -> None:
    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient").concurrency is Concurrency.ETAG
        made = await desk.create("Patient", newcomer())
        seen = await current(desk, made.remote_id)
        assert (seen.version, seen.body) == (made.version, made.stored)
        assert desk.write_capability("Patient").concurrency is Concurrency.ETAG, "reading bears it out"
        ours = newcomer(id=made.remote_id, gender="female")
        theirs = newcomer(id=made.remote_id, gender="male")
        first = await desk.update("Patient", made.remote_id, theirs, version=seen.version)
        with pytest.raises(VersionConflictError):
            await desk.update("Patient", made.remote_id, ours, version=seen.version)
        held = await current(desk, made.remote_id)
        assert (held.version, held.body) == (first.version, first.stored)
        assert orjson.loads(held.body)["gender"] == "male"
        assert desk.clock_skew_seconds() < 2

    write_at(open_server, work)


def test_it_is_asked_for_our_own_identifier_whatever_stands_in_it(open_server: Sekmet) -> None:
    body = newcomer(identifier=[{"system": OURS[0], "value": OURS[1]}])

    async def work(desk: Adapter) -> None:
        assert desk.write_capability("Patient").keeps_identifiers
        assert await desk.find("Patient", [OURS]) == []
        made = await desk.create("Patient", body, [OURS])
        again = await desk.create("Patient", body, [OURS])
        assert (again.remote_id, again.version, again.stored) == (made.remote_id, made.version, made.stored)
        [found] = await desk.find("Patient", [OURS, OURS])
        assert (found.remote_id, found.version) == (made.remote_id, made.version)

    write_at(open_server, work)


def test_its_deletes_are_guarded_although_it_takes_any_version(open_server: Sekmet) -> None:
    async def work(desk: Adapter) -> None:
        made = await desk.create("Patient", newcomer())
        edited = await desk.update(
            "Patient", made.remote_id, newcomer(id=made.remote_id, active=True), version=made.version
        )
        with pytest.raises(VersionConflictError):
            await desk.delete("Patient", made.remote_id, version=made.version)
        assert (await current(desk, made.remote_id)).version == edited.version
        await desk.delete("Patient", made.remote_id, version=edited.version)
        assert await desk.read_current("Patient", made.remote_id) == Absent("410 Gone")
        assert await desk.read_current("Patient", "never-was") == Absent("404 Not Found")

    write_at(open_server, work)


def test_its_refusals_are_told_by_code_and_without_its_words(open_server: Sekmet) -> None:
    async def work(desk: Adapter) -> None:
        with pytest.raises(PermanentError) as refused:
            await desk.create("Patient", newcomer(surprise="Surprise"))
        assert refused.value.status == 400 and "issue type structure" in refused.value.message
        assert "urprise" not in str(refused.value)

    write_at(open_server, work)


def test_scopes_for_reading_write_nothing(smart_server: Sekmet) -> None:
    async def forbidden(desk: Adapter) -> None:
        with pytest.raises(NotPermittedError):
            await desk.create("Patient", newcomer())

    async def allowed(desk: Adapter) -> None:
        assert (await desk.create("Patient", newcomer())).remote_id

    write_at(smart_server, forbidden, auth=smart("RS384", scopes="system/*.rs"))
    write_at(smart_server, allowed, auth=smart("RS384", scopes="system/*.cruds"))
