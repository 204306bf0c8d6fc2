"""Search results as pages: Bundles joined from prepared bytes, and the server sessions their `next` links lead to.

The law: a page's link can be asked again and gives the same place in the same list; what changed meanwhile shows.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from holovitals_pipelines.sandbox.edits import Edit, edit_row
from holovitals_pipelines.sandbox.protocols.outcomes import outcome
from holovitals_pipelines.sandbox.site import Session, Site

PAGE_FAULT = "holovitals.page_fault"
"""Key in the ASGI scope under which a fault asks the page builder to repeat rows or to let somebody edit a row."""


@dataclass(frozen=True, slots=True)
class PageFault:
    """`repeat_rows` of the page before come again; `edit` happens to this page's first row."""

    repeat_rows: int = 0
    edit: Edit | None = None


def page_fault_of(scope: MutableMapping[str, Any]) -> PageFault:
    """What the request's page suffers; nothing, where no fault says otherwise."""
    found: PageFault = scope.get(PAGE_FAULT, PageFault())
    return found


def bundle_page(
    site: Site,
    session: Session,
    position: int,
    base_url: str,
    next_url: str,
    fault: PageFault,
    previous_url: str | None = None,
) -> bytes:
    """The page from `position`: up to `session.count` rows, fewer where a post-filter or a deletion took some away.

    `next_url` is the link without the position; it is written only while rows are left to look at. `previous_url`
    likewise, by servers that lead back.
    """
    records, kind = site.records, session.kind
    if fault.edit is not None and position < len(session.numbers):
        edit_row(site, session.numbers[position], fault.edit)
    start = max(0, position - fault.repeat_rows)
    end = min(position + session.count, len(session.numbers))
    entries: list[bytes] = []
    head = b'{"fullUrl":"%s/%s/' % (base_url.encode(), kind.encode())
    for number in session.numbers[start:end]:
        body = records.body(number)
        if body is None or (session.keep is not None and not session.keep(body)):
            continue
        identity = records.identity(number).encode()
        entries.append(b'%s%s","resource":%s,"search":{"mode":"match"}}' % (head, identity, body))
    if session.warnings and position == 0:
        entries.append(b'{"resource":%s,"search":{"mode":"outcome"}}' % outcome(*session.warnings))
    links: list[dict[str, str]] = [{"relation": "self", "url": f"{base_url}/{kind}{session.self_query}"}]
    if end < len(session.numbers):
        links.append({"relation": "next", "url": f"{next_url}{end}"})
    if previous_url is not None and position:
        links.append({"relation": "previous", "url": f"{previous_url}{max(0, position - session.count)}"})
    total = b"" if session.total is None else b'"total":%d,' % session.total
    return b'{"resourceType":"Bundle","type":"searchset",%s"link":%s%s}' % (
        total,
        orjson.dumps(links),
        b',"entry":[%s]' % b",".join(entries) if entries else b"",
    )


def split_session_token(token: str) -> tuple[str, int]:
    """`token.position` of a next link. Raises ValueError."""
    session, _, position = token.rpartition(".")
    return session, int(position)


def count_of(params: Sequence[tuple[str, str]], default: int, most: int) -> int:
    """`_count`, clamped to what the server gives. Raises ValueError."""
    asked = [int(value) for name, value in params if name == "_count"]
    return min(max(asked[-1], 1), most) if asked else default
