"""What records point to is fetched once, kept as it came, and never in anybody's way."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from holovitals_pipelines.engine.record_attachments import attachments_of, content_of
from holovitals_pipelines.engine.sync import run_sync
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import StoreError
from holovitals_pipelines.model.job import JobReport, SyncRequest
from holovitals_pipelines.model.vocabulary import JobStatus, JobType
from holovitals_pipelines.store.tables import document
from tests.end_to_end.two_way import Ours, our_side
from tests.providers.loopback import Server, capability, serving

PDF = b"%PDF-1.4 \x00\xff not really"


def attachment(url: str | None = None, content: bytes | None = None, **more: Any) -> dict[str, Any]:
    """An Attachment; what is said of `content` is true unless `more` says otherwise."""
    said: dict[str, Any] = {"contentType": "application/pdf"}
    if url is not None:
        said["url"] = url
    if content is not None:
        said["size"] = len(content)
        said["hash"] = b64encode(sha1(content, usedforsecurity=False).digest()).decode()
    return said | more


@dataclass
class Vendor:
    """A FHIR server that holds documents, and contents by path; a content may be a status instead."""

    documents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    contents: dict[str, bytes | int | dict[str, Any]] = field(default_factory=dict)
    server: Server = field(init=False)

    def asked(self) -> list[str]:
        """The contents that were asked for since the last time, in order of their paths."""
        paths = sorted(request.path.removeprefix("/fhir/") for request in self.server.seen)
        self.server.seen.clear()
        return [path for path in paths if path.startswith(("Binary/", "files/"))]

    def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/fhir/")
        if path == "metadata":
            return JSONResponse(capability({"DocumentReference": ["_lastUpdated"]}))
        if path == "DocumentReference":
            entries = [{"resource": self._document(identity)} for identity in self.documents]
            return JSONResponse({"resourceType": "Bundle", "type": "searchset", "entry": entries})
        kind, _, identity = path.partition("/")
        if kind == "DocumentReference":
            return JSONResponse(self._document(identity))
        content = self.contents.get(path, 404)
        if isinstance(content, int):
            return Response(status_code=content)
        if isinstance(content, dict):
            return JSONResponse(content, media_type="application/fhir+json")
        return Response(content, media_type=request.headers["accept"])

    def _document(self, identity: str) -> dict[str, Any]:
        content = [{"attachment": one} for one in self.documents[identity]]
        return {"resourceType": "DocumentReference", "id": identity, "status": "current", "content": content}


@contextmanager
def vendor_and_us(root: Path, template: Path, vendor: Vendor, **attachments: Any) -> Iterator[Ours]:
    with ExitStack() as opened:
        vendor.server = opened.enter_context(serving({"/{rest:path}": vendor.answer}))
        database = shutil.copyfile(template, root / "operational.sqlite")
        connection = ConnectionConfig.model_validate(
            {
                "name": "clinic",
                "provider": "fhir",
                "base_url": f"{vendor.server.url}/fhir",
                "resource_types": ["DocumentReference"],
                "read": {"mode": "search", "max_retries": 0},
                "attachments": attachments,
            }
        )
        yield opened.enter_context(our_side(root, f"sqlite:///{database}", connection))


def sync(ours: Ours, kind: JobType = JobType.FULL_SYNC, **named: Any) -> JobReport:
    return run_sync(ours.home, SyncRequest("clinic", kind, **named))


def states(ours: Ours, identity: str) -> list[tuple[str, str | None]]:
    """(state, code) of a document's attachments, by place."""
    record = ours.record("DocumentReference", identity)
    return [(one.state, one.code) for one in attachments_of(ours.home.database, record.record_id)]


def content(ours: Ours, identity: str, place: str = "content[0].attachment") -> bytes:
    return content_of(ours.home.database, ours.record("DocumentReference", identity).record_id, place).body


@dataclass(frozen=True)
class Fetched:
    vendor: Vendor
    elsewhere: Server
    ours: Ours
    report: JobReport


@pytest.fixture(scope="module")
def fetched(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    """One job over all kinds of addresses."""
    with serving({"/{rest:path}": lambda request: Response(PDF)}) as elsewhere:
        vendor = Vendor(
            {
                "raw": [attachment("Binary/raw", PDF)],
                "fhir": [attachment("Binary/fhir", PDF)],
                "two": [attachment("Binary/raw"), attachment("files/x")],
                "other-hash": [attachment("Binary/raw", b"something else", size=len(PDF))],
                "other-size": [attachment("Binary/raw", PDF, size=5)],
                "foreign": [attachment(f"{elsewhere.url}/fhir/Binary/raw")],
                "gone": [attachment("Binary/nowhere")],
                "forbidden": [attachment("Binary/forbidden")],
                "large": [attachment("Binary/large")],
                "odd": [
                    attachment("http://here:port/x"),
                    attachment("#inside"),
                    attachment("urn:oid:1.2"),
                ],
                "odd-type": [attachment("Binary/raw", contentType="just some text")],
                "inline": [attachment(data=b64encode(PDF).decode())],
                "silent": [attachment(title="a title")],
            },
            {
                "Binary/raw": PDF,
                "Binary/fhir": {"resourceType": "Binary", "contentType": "image/tiff", "data": b64encode(PDF).decode()},
                "Binary/forbidden": 403,
                "Binary/large": b"x" * 3000,
                "files/x": b"plain",
            },
        )
        root = tmp_path_factory.mktemp("home")
        with vendor_and_us(root, sqlite_template, vendor, max_bytes=2048) as ours:
            yield Fetched(vendor, elsewhere, ours, sync(ours))


def test_content_is_kept_exactly_as_it_was_received(fetched: Fetched) -> None:
    assert states(fetched.ours, "raw") == states(fetched.ours, "fhir") == [("held", None)]
    assert content(fetched.ours, "raw") == content(fetched.ours, "fhir") == content(fetched.ours, "inline") == PDF
    assert states(fetched.ours, "two") == [("held", None)] * 2
    assert content(fetched.ours, "two", "content[1].attachment") == b"plain"


def test_it_is_asked_for_as_what_the_record_says_it_is_and_named_as_the_vendor_answers(fetched: Fetched) -> None:
    [asked] = fetched.vendor.server.of("/fhir/Binary/fhir")
    assert asked.headers["accept"] == "application/pdf"
    record = fetched.ours.record("DocumentReference", "fhir")
    [shown] = attachments_of(fetched.ours.home.database, record.record_id)
    assert (shown.content_type, shown.size, shown.connection) == ("image/tiff", len(PDF), "clinic")


def test_what_is_not_as_its_record_says_is_kept_marked_and_told(fetched: Fetched) -> None:
    assert states(fetched.ours, "other-hash") == [("held", "attachment.hash_mismatch")]
    assert states(fetched.ours, "other-size") == [("held", "attachment.size_mismatch")]
    assert content(fetched.ours, "other-hash") == PDF
    told = {error.code for error in fetched.report.errors}
    assert {"attachment.hash_mismatch", "attachment.size_mismatch"} <= told


def test_a_foreign_host_is_refused_and_never_asked(fetched: Fetched) -> None:
    assert states(fetched.ours, "foreign") == [("refused", "http.foreign_host")]
    assert fetched.elsewhere.seen == []


def test_what_cannot_be_had_says_why(fetched: Fetched) -> None:
    assert [state for state, _ in states(fetched.ours, "gone")] == ["gone"]
    assert [state for state, _ in states(fetched.ours, "forbidden")] == ["wanted"]
    assert [state for state, _ in states(fetched.ours, "large")] == ["refused"]
    assert states(fetched.ours, "silent") == [("refused", "attachment.no_address")]
    assert states(fetched.ours, "inline") == [("inline", None)]
    with pytest.raises(StoreError, match="not held"):
        content(fetched.ours, "gone")


def test_what_is_no_address_and_no_media_type_harms_nobody(fetched: Fetched) -> None:
    assert states(fetched.ours, "odd") == [
        ("refused", "attachment.bad_address"),
        ("refused", "attachment.bad_address"),
        ("refused", "http.foreign_host"),
    ]
    assert states(fetched.ours, "odd-type") == [("held", None)]
    assert {asked.headers["accept"] for asked in fetched.vendor.server.of("/fhir/Binary/raw")} == {
        "application/pdf",
        "*/*",
    }


def test_no_attachment_fails_a_job(fetched: Fetched) -> None:
    assert fetched.report.status is JobStatus.COMPLETED
    assert fetched.report.errors and {error.severity for error in fetched.report.errors} == {"WARNING"}
    assert fetched.report.total.unaccounted == 0


def test_what_is_held_is_not_fetched_again_and_a_new_address_is(tmp_path: Path, sqlite_template: Path) -> None:
    vendor = Vendor(
        {"a": [attachment("Binary/1")], "b": [attachment("Binary/2")]}, {"Binary/1": b"1", "Binary/2": b"2"}
    )
    with vendor_and_us(tmp_path, sqlite_template, vendor) as ours:
        sync(ours)
        assert vendor.asked() == ["Binary/1", "Binary/2"]
        vendor.documents["a"] = [attachment("Binary/3")]
        vendor.contents["Binary/3"] = b"3"
        sync(ours)

        assert vendor.asked() == ["Binary/3"]
        assert (content(ours, "a"), content(ours, "b")) == (b"3", b"2")
        vendor.documents["b"] = [attachment("Binary/2", title="another title")]
        assert sync(ours).total.updated == 1
        assert vendor.asked() == []


def test_failures_are_tried_again_by_later_jobs_and_not_for_ever(tmp_path: Path, sqlite_template: Path) -> None:
    vendor = Vendor({"a": [attachment("Binary/1")], "b": [attachment("Binary/2")]}, {"Binary/1": 503, "Binary/2": 503})
    with vendor_and_us(tmp_path, sqlite_template, vendor, attempts=2) as ours:
        sync(ours)
        assert (states(ours, "a")[0][0], vendor.asked()) == ("wanted", ["Binary/1", "Binary/2"])
        vendor.contents["Binary/1"] = b"1"
        sync(ours)
        assert (states(ours, "a"), vendor.asked()) == ([("held", None)], ["Binary/1", "Binary/2"])
        assert states(ours, "b")[0][0] == "refused"
        sync(ours)
        assert vendor.asked() == []


def test_a_job_fetches_no_more_than_it_may_and_a_named_one_only_its_own(tmp_path: Path, sqlite_template: Path) -> None:
    names = ["a", "b", "c", "d"]
    vendor = Vendor(
        {name: [attachment(f"Binary/{name}")] for name in names},
        {f"Binary/{name}": name.encode() for name in names},
    )
    with vendor_and_us(tmp_path, sqlite_template, vendor, a_job=2) as ours:
        sync(ours)
        first = vendor.asked()
        [waiting, *_] = left = [name for name in names if f"Binary/{name}" not in first]
        vendor.documents[waiting][0]["title"] = "changed"
        sync(ours, JobType.RESOURCE_SYNC, ids=(("DocumentReference", waiting),))

        assert (len(first), len(left)) == (2, 2)
        assert vendor.asked() == [f"Binary/{waiting}"]


def test_nothing_is_fetched_where_it_is_not_wanted(tmp_path: Path, sqlite_template: Path) -> None:
    vendor = Vendor({"a": [attachment("Binary/1")]}, {"Binary/1": b"1"})
    with vendor_and_us(tmp_path, sqlite_template, vendor, fetch=False) as ours:
        sync(ours)
        assert (vendor.asked(), states(ours, "a")) == ([], [("wanted", None)])


def test_content_that_was_damaged_here_is_not_handed_out(fetched: Fetched) -> None:
    [row] = [row for row in fetched.ours.rows("attachment") if row.size == 5]
    with fetched.ours.home.database.write() as transaction:
        other = transaction.execute(
            sa.select(document.c.body).where(document.c.document_hash != row.document_hash).limit(1)
        ).scalar_one()
        transaction.execute(document.update().where(document.c.document_hash == row.document_hash).values(body=other))

    with pytest.raises(StoreError, match="not the document they are filed as"):
        content(fetched.ours, "two", "content[1].attachment")


def test_the_record_itself_is_as_the_vendor_sent_it(fetched: Fetched) -> None:
    held = json.loads(fetched.ours.record("DocumentReference", "raw").body)
    assert held["content"] == [{"attachment": attachment("Binary/raw", PDF)}]
