"""What a trial of a connection found, in sentences; and what an adapter adds that only its vendor knows.

Law: a probe only reads, as little as shows whether reading works, and nothing of what it read is in a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.providers.client_credentials import ClientCredentials
from holovitals_pipelines.providers.http import VendorHttp


class Verdict(StrEnum):
    WORKS = "works"
    NOTE = "note"
    """Worth knowing: it works, though not as well as it might."""
    FAULT = "fault"
    """Something that is configured cannot work."""


class Check(StrEnum):
    """What a finding is about."""

    ACCESS = "access"
    """Reaching, authenticating, scopes, sessions."""
    TYPES = "types"
    """Whether a resource type can be read."""
    CHANGES = "changes"
    VERSIONS = "versions"
    CLOCK = "clock"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence: `message` says what is, `remedy` what to do; `resource_type` where it is about one."""

    check: Check
    verdict: Verdict
    code: str
    message: str
    remedy: str = ""
    resource_type: str | None = None


@runtime_checkable
class Probing(Protocol):
    """An adapter that has more to say than whether its types can be read."""

    async def probe(self, patient: str | None) -> Sequence[Finding]:
        """Try what only this vendor has. `patient`: the vendor's id of one who is known, None where nobody is.

        Types for which there is a finding on `Check.TYPES` are not tried again. Raises nothing but defects.
        """
        ...


def works(check: Check, code: str, message: str, resource_type: str | None = None) -> Finding:
    return Finding(check, Verdict.WORKS, code, message, resource_type=resource_type)


def refused(check: Check, error: HoloVitalsError, resource_type: str | None = None) -> Finding:
    """A finding made of an error: what was tried cannot work."""
    return Finding(check, Verdict.FAULT, error.code, error.message, error.remedy, resource_type)


def told(problems: Iterable[Problem]) -> list[Finding]:
    """What tokens' answers had to say: fewer scopes than asked, clocks apart."""
    return [
        Finding(
            Check.CLOCK if problem.code == "auth.clock_skew" else Check.ACCESS,
            Verdict.NOTE,
            problem.code,
            problem.message,
            problem.remedy,
        )
        for problem in problems
    ]


def scopes_of(http: VendorHttp) -> list[Finding]:
    """Whether a vendor that gives tokens for a secret granted what was asked for."""
    if not isinstance(http.authorizer, ClientCredentials) or not http.authorizer.missing_scopes:
        return []
    return [
        Finding(
            Check.ACCESS,
            Verdict.NOTE,
            "auth.scope_reduced",
            f"the vendor granted less than was asked; missing: {' '.join(http.authorizer.missing_scopes)}",
            "ask the site to grant the scopes, or take them out of auth.scopes",
        )
    ]
