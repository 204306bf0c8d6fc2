"""If-Match and If-None-Match: what the caller has seen, compared with what is there.

Law: a change without the version that was seen is refused; nothing is overwritten unseen.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from holovitals_pipelines.api.problems import ApiError

IfMatch = Annotated[
    str | None,
    Header(description='the ETag of what was read, such as `"3"`', examples=['"3"'], max_length=200),
]
IfNoneMatch = Annotated[
    str | None, Header(description="answer 304 while the ETag is still this", examples=['"3"'], max_length=200)
]
_TAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')


def seen_tag(if_match: str | None) -> str:
    """What was seen, without its quotes. Raises ApiError: 428 where it is not said, 400 where it is no one ETag."""
    if if_match is None or if_match.strip() == "*":
        raise ApiError(
            "the call does not say which version was seen",
            code="api.precondition_needed",
            place="If-Match",
            remedy="read it first, and send its ETag as If-Match",
        )
    match = _TAG.fullmatch(if_match)
    if match is None:
        raise unreadable()
    return match[1]


def seen_version(if_match: str | None) -> int:
    """As `seen_tag`, where the tag is a version's number."""
    tag = seen_tag(if_match)
    if re.fullmatch(r"[0-9]{1,9}", tag) is None:
        raise unreadable()
    return int(tag)


def unreadable() -> ApiError:
    return ApiError(
        "If-Match is not an ETag that this API has given",
        code="api.if_match_unreadable",
        place="If-Match",
        remedy='send the ETag as it came, with its quotes: If-Match: "3"',
    )


def is_known(if_none_match: str | None, tag: str) -> bool:
    if if_none_match is None:
        return False
    known = {match[1] for match in map(_TAG.fullmatch, if_none_match.split(",")) if match}
    return tag in known or if_none_match.strip() == "*"


def unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={"ETag": quoted(tag)})


def quoted(tag: str | int) -> str:
    return f'"{tag}"'
