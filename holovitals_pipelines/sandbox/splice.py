"""Changes to a resource's bytes: its id, server meta, single elements; everything else keeps its bytes exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from holovitals_pipelines.sandbox.clock import instant

_Members = dict[str, msgspec.Raw]
_members: msgspec.json.Decoder[_Members] = msgspec.json.Decoder(_Members)
_items: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Head(msgspec.Struct):
    resourceType: str
    id: str | None = None
    subject: _Reference | None = None
    patient: _Reference | None = None
    beneficiary: _Reference | None = None
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _BareHead(msgspec.Struct):
    resourceType: str
    id: str | None = None
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_head = msgspec.json.Decoder(_Head)
_bare_head = msgspec.json.Decoder(_BareHead)


class Glance(msgspec.Struct, frozen=True):
    """What a store must know of a resource without reading it: type, id, whose it is, and its meta's own bytes."""

    type: str
    id: str | None
    patient: str | None
    meta: bytes | None


def glance(body: bytes) -> Glance:
    """Look at the envelope. Raises ValueError when the bytes are not a JSON object with a resourceType."""
    try:
        head: _Head | _BareHead = _head.decode(body)
    except msgspec.ValidationError:
        head = _bare_head.decode(body)  # an unusual subject (a CodeableConcept, a list): not about a patient
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not a JSON resource") from error
    patient = None
    if head.resourceType == "Patient":
        patient = head.id
    elif isinstance(head, _Head):
        for candidate in (head.subject, head.patient, head.beneficiary):
            if candidate is not None and candidate.reference is not None:
                kind, _, identity = candidate.reference.rpartition("/")
                if kind == "Patient" or kind.endswith("/Patient"):
                    patient = identity
                    break
    meta = None if isinstance(head.meta, msgspec.UnsetType) else bytes(head.meta)
    return Glance(head.resourceType, head.id, patient, meta)


def server_meta(meta: bytes | None) -> dict[str, Any]:
    """`versionId` and `lastUpdated` as the source had them, where it had them."""
    found = orjson.loads(meta) if meta else {}
    return {name: found[name] for name in ("versionId", "lastUpdated") if name in found}


def _join(members: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), raw) for name, raw in members.items()) + b"}"


def split_members(body: bytes) -> dict[str, bytes]:
    """The top-level members in order, each with its own bytes."""
    return {name: bytes(raw) for name, raw in _members.decode(body).items()}


def one_line(body: bytes) -> bytes:
    """The same JSON without line breaks (a JSON string cannot hold a raw one, so only whitespace changes)."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ").strip() if b"\n" in body or b"\r" in body else body


def with_id(body: bytes, identity: str) -> bytes:
    members = split_members(body)
    kind = members.pop("resourceType")
    members.pop("id", None)
    return _join({"resourceType": kind, "id": orjson.dumps(identity), **members})


def with_server_meta(body: bytes, look: Glance, version: int, updated_ms: int) -> bytes:
    """The resource as a versioning server shows it; any other meta content stays, byte for byte."""
    fresh = b'"versionId":"%d","lastUpdated":"%s"' % (version, instant(updated_ms).encode())
    if look.meta is None:
        prefix = b'{"resourceType":"%s","id":"%s",' % (look.type.encode(), (look.id or "").encode())
        if body.startswith(prefix):
            return prefix + b'"meta":{' + fresh + b"}," + body[len(prefix) :]
        return body.rstrip()[:-1] + b',"meta":{' + fresh + b"}}"
    members = split_members(body)
    kept = {name: raw for name, raw in split_members(look.meta).items() if name not in ("versionId", "lastUpdated")}
    members["meta"] = b"{" + fresh + (b"," + _join(kept)[1:] if kept else b"}")
    return _join(members)


def without_version(body: bytes) -> bytes:
    """The resource as a server that keeps no versions shows it; its time of update stays."""
    meta = glance(body).meta
    if meta is None or b"versionId" not in meta:
        return body
    members = split_members(body)
    kept = {name: raw for name, raw in split_members(meta).items() if name != "versionId"}
    if kept:
        members["meta"] = _join(kept)
    else:
        del members["meta"]
    return _join(members)


def with_members(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """The resource with top-level members set to JSON bytes, or taken away (None)."""
    members: dict[str, bytes | None] = {**split_members(body), **changes}
    return _join({name: raw for name, raw in members.items() if raw is not None})


def changed_at(body: bytes, path: Sequence[str], change: Callable[[bytes], bytes | None]) -> bytes:
    """The resource with every value at a path (through lists) changed, or taken away where `change` gives None."""
    changed = _changed(body, path, change) if path else body
    assert changed is not None, "only what a path leads to is taken away"
    return changed


def _changed(raw: bytes, path: Sequence[str], change: Callable[[bytes], bytes | None]) -> bytes | None:
    if raw.lstrip().startswith(b"["):
        items = [_changed(bytes(item), path, change) for item in _items.decode(raw)]
        kept = [item for item in items if item is not None]
        return b"[" + b",".join(kept) + b"]" if kept or not items else None
    if not path:
        return change(raw)
    if not raw.lstrip().startswith(b"{"):
        return raw
    members = split_members(raw)
    if path[0] not in members:
        return raw
    return with_members(raw, {path[0]: _changed(members[path[0]], path[1:], change)})


def without_server_meta(body: bytes, look: Glance, version: int, updated_ms: int) -> bytes:
    """The resource as a server without versions shows it (Epic: vendors.md §3.6)."""
    if look.meta is None:
        return body
    meta = split_members(look.meta)
    kept = {name: raw for name, raw in meta.items() if name not in ("versionId", "lastUpdated")}
    if len(kept) == len(meta):
        return body
    members = split_members(body)
    if kept:
        members["meta"] = _join(kept)
    else:
        del members["meta"]
    return _join(members)
