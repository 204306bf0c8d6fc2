"""URLs as people and logs may see them.

Law: a password is never shown, wherever in a URL it stands.
"""

from __future__ import annotations


def redacted(url: str) -> str:
    """A URL without password and without query, which can hold one as well; a plain path stays as it is."""
    scheme, divider, rest = url.partition("://")
    if not divider:
        return url
    credentials, at, place = rest.rpartition("@")  # before anything else: a password may have any character in it
    place, question, _ = place.partition("?")
    user = credentials.partition(":")[0]
    named = user if user.isprintable() and not set("/?@ ") & set(user) else ""
    return f"{scheme}://{f'{named}:…@' if at else ''}{place}{'?…' if question else ''}"
