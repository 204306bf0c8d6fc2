"""Answers with a row that does not belong: twice, of another type, far too long, or with what nobody knows.

Law: every other row keeps its bytes; an answer without rows stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

_Rows = list[msgspec.Raw]
_rows: msgspec.json.Decoder[_Rows] = msgspec.json.Decoder(_Rows)
_members: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])

DRIFT = "zzSandboxDrift"
"""The member that nobody knows; in FHIR the end of an extension's url."""
ODD_VALUE = "zz-sandbox"

Change = Callable[[Sequence[bytes]], Sequence[bytes]]
"""What becomes of an answer's rows."""


def with_odd_row(kind: str, options: Mapping[str, Any], body: bytes, ndjson: bool) -> bytes:
    """The answer with one odd row, in the vendor's own shape: NDJSON, a Bundle, a list, a list of tables, a record."""

    def change(rows: Sequence[bytes]) -> Sequence[bytes]:
        if kind == "schema_drift":
            return [_drifted(rows[0], options), *rows[1:]] if rows else rows
        return [*rows, _odd(kind, options, rows)]

    if ndjson:
        return b"".join(row + b"\n" for row in change(body.splitlines()))
    try:
        return _in_list(body, change) if body.lstrip()[:1] == b"[" else _in_object(body, change, kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body


def _in_list(body: bytes, change: Change) -> bytes:
    rows = [bytes(row) for row in _rows.decode(body)]
    if len(rows) == 1 and (found := _listed(rows[0])) is not None and len(found[0]) == 1:
        return b"[%s]" % _in_object(rows[0], change, "")  # Unity: one object with one table
    return _joined(change(rows))


def _in_object(body: bytes, change: Change, kind: str) -> bytes:
    members, name = _listed(body) or (_members.decode(body), None)
    if bytes(members.get("resourceType", msgspec.Raw(b"null"))) == b'"Bundle"':
        entries = _rows.decode(members.get("entry", msgspec.Raw(b"[]")))
        changed = change([bytes(_members.decode(entry)["resource"]) for entry in entries])
        heads = [_members.decode(entry) for entry in entries]
        made = [_entry(heads[at] if at < len(heads) else {}, row) for at, row in enumerate(changed)]
        return _with(members, "entry", made) if made else body
    if name is not None:
        return _with(members, name, change([bytes(row) for row in _rows.decode(members[name])]))
    return change([body])[0] if kind == "schema_drift" else body


def _listed(body: bytes) -> tuple[dict[str, msgspec.Raw], str] | None:
    """The members of an object that is no FHIR resource, and the first that is a list."""
    members = _members.decode(body) if body.lstrip()[:1] == b"{" else {}
    if "resourceType" in members:
        return None
    name = next((name for name, raw in members.items() if bytes(raw)[:1] == b"[" and name != "_links"), None)
    records = name is not None and not {"id", "patientid"} & members.keys()
    return (members, name) if name is not None and records else None


def _with(members: Mapping[str, msgspec.Raw], name: str, rows: Sequence[bytes]) -> bytes:
    return msgspec.json.encode({**members, name: msgspec.Raw(_joined(rows))})


def _joined(rows: Sequence[bytes]) -> bytes:
    return b"[%s]" % b",".join(rows)


def _entry(head: Mapping[str, msgspec.Raw], resource: bytes) -> bytes:
    usual = {"fullUrl": msgspec.Raw(b'"urn:holovitals:sandbox"'), "search": msgspec.Raw(b'{"mode":"match"}')}
    return msgspec.json.encode({**usual, **head, "resource": msgspec.Raw(resource)})


def _odd(kind: str, options: Mapping[str, Any], rows: Sequence[bytes]) -> bytes:
    first: Any = orjson.loads(rows[0]) if rows else {}
    row = first if isinstance(first, dict) else {}
    is_fhir = "resourceType" in row
    if kind == "wrong_type":
        odd = {"resourceType": "Basic", "id": "wrong-type", "code": {"text": "x"}} if is_fhir or not row else {}
        return orjson.dumps(odd or {DRIFT: "another kind of row"})
    if kind == "long_line":
        filler = "x" * int(options.get("bytes", 10_000_000))
        if is_fhir:
            return orjson.dumps({"resourceType": row["resourceType"], "id": "long-line", "language": filler})
        return orjson.dumps({**row, DRIFT: filler})
    if not options.get("changed", False):
        return rows[0] if rows else b"{}"
    return orjson.dumps({**row, ("implicitRules" if is_fhir else DRIFT): "urn:holovitals:sandbox:changed"})


def _drifted(row: bytes, options: Mapping[str, Any]) -> bytes:
    """The row with a member, or an extension, that nobody knows, and the member named in `member` with such a value."""
    try:
        members = _members.decode(row)
    except msgspec.DecodeError:
        inner = [bytes(one) for one in _rows.decode(row)]
        return _joined([_drifted(inner[0], options), *inner[1:]]) if inner else row
    if "resourceType" in members:
        held = orjson.loads(bytes(members.get("extension", msgspec.Raw(b"[]"))))
        extension = {"url": f"urn:holovitals:sandbox:{DRIFT}", "valueString": ODD_VALUE}
        members["extension"] = msgspec.Raw(orjson.dumps([*held, extension]))
    else:
        members[DRIFT] = msgspec.Raw(orjson.dumps({"of": ODD_VALUE}))
    if (named := options.get("member")) is not None:
        members[named] = msgspec.Raw(orjson.dumps(ODD_VALUE))
    return msgspec.json.encode(members)
