"""The change feeds: subscribed to, looked at without taking anything, and emptied when what they told is safe.

Law: a message is taken from its feed only after the records it names are durable, and what was taken since the last
read, by whomever, is looked at again (vendors.md §5.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from holovitals_pipelines.model.errors import NotFoundError, NotPermittedError, VendorError
from holovitals_pipelines.model.extract import Problem
from holovitals_pipelines.providers.athenahealth.calls import (
    ListOf,
    Params,
    Practice,
    members_of,
    text_of,
)
from holovitals_pipelines.providers.athenahealth.charts import EASTERN
from holovitals_pipelines.providers.athenahealth.errors import NOT_SUBSCRIBED
from holovitals_pipelines.providers.probe import Check, Finding, Verdict, refused, works


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed: its address, the member that holds its messages, and what numbers the record a message tells of."""

    resource_type: str
    path: str
    items: str
    number: str

    def asked(self, *params: tuple[str, str]) -> ListOf:
        return ListOf(self.path, self.items, self.path, params)


FEEDS: Mapping[str, Feed] = MappingProxyType(
    {
        feed.resource_type: feed
        for feed in (
            Feed("Patient", "patients/changed", "patients", "patientid"),
            Feed("Condition", "chart/healthhistory/problems/changed", "problems", "problemid"),
            Feed("Observation", "labresults/changed", "labresults", "labresultid"),
            Feed("Appointment", "appointments/changed", "appointments", "appointmentid"),
        )
    }
)
"""The prescriptions' feed is not among them: it tells of documents, which the chart's medications do not name."""

_LEFT: Params = (("leaveunprocessed", "true"),)


@dataclass(slots=True)
class Changes:
    """What a feed told: which records of which patients changed, and how many messages wait to be taken."""

    records: dict[str, set[str]] = field(default_factory=dict)
    """By patient, the numbers of the records; of the Patient feed, the patient's own."""
    departments: dict[str, str] = field(default_factory=dict)
    """Whose patient somebody is, as the newest message says."""
    problems: list[Problem] = field(default_factory=list)
    waiting: int = 0
    served_at: datetime | None = None
    received_bytes: int = 0

    def add(self, feed: Feed, message: bytes) -> None:
        try:
            members = members_of(message)
            patient, number = text_of(members, "patientid"), text_of(members, feed.number)
            department = text_of(members, "departmentid")
            open_slot = text_of(members, "appointmentstatus") == "o"
        except ValueError:
            patient, number, department, open_slot = "", "", "", False
        if patient not in ("", "0") and number:
            self.records.setdefault(patient, set()).add(number)
            self.departments[patient] = department
        elif not open_slot:
            self.problems.append(_unnamed(feed, message))


def _unnamed(feed: Feed, message: bytes) -> Problem:
    return Problem(
        code="extract.no_id",
        message="a message of the change feed does not say whose record it tells of",
        remedy="report it to the practice; the next full read finds what has changed",
        source=f"GET {feed.path}",
        resource_type=feed.resource_type,
        body=message,
    )


async def ensure_subscription(practice: Practice, feed: Feed) -> None:
    """Subscribe to all of a feed's events, unless that is done: changes are collected from then on only.

    A partial subscription is made whole: what it leaves out would never be seen.
    """
    if not await _is_subscribed(practice, feed):
        path = f"{feed.path}/subscription"
        await practice.subscribe(path, f"POST {path}")


async def _is_subscribed(practice: Practice, feed: Feed) -> bool:
    """Whether all events of the feed are collected. Raises VendorError."""
    path = f"{feed.path}/subscription"
    try:
        answer = await practice.get(path, f"GET {path}")
        return text_of(members_of(answer.body), "status").upper() == "ACTIVE"
    except ValueError:
        return False  # an answer without a status says nothing of a subscription: asking for it again does no harm
    except (NotFoundError, NotPermittedError) as error:
        # unverified: how the state of a subscription that was never made is answered.
        if isinstance(error, NotPermittedError) and error.code != NOT_SUBSCRIBED:
            raise
        return False


async def probe_subscription(practice: Practice, feed: Feed) -> Finding:
    """Whether the feed tells of changes already."""
    try:
        subscribed = await _is_subscribed(practice, feed)
    except VendorError as error:
        return refused(Check.CHANGES, error, feed.resource_type)
    if subscribed:
        return works(
            Check.CHANGES, "athenahealth.subscribed", "changes are collected in a feed for us", feed.resource_type
        )
    return Finding(
        Check.CHANGES,
        Verdict.NOTE,
        "athenahealth.unsubscribed",
        "nothing is subscribed to yet: changes are collected from the first sync on, which subscribes",
        "run the first sync; it reads everything",
        feed.resource_type,
    )


async def peek(practice: Practice, feed: Feed, since: datetime) -> Changes:
    """What waits in the feed, and what was taken from it since that moment: by a read that was killed then, by another
    consumer of the same API key, or by us, just before it was seen. Raises NotPermittedError when nobody subscribed.
    """
    changes = Changes()
    async for page in practice.pages(feed.asked(*_LEFT)):
        changes.served_at = changes.served_at or page.served_at
        changes.received_bytes += page.received_bytes
        changes.waiting += len(page.items)
        for message in page.items:
            changes.add(feed, message)
    # unverified: that a window shows what was processed only, and that its ends are Eastern as all timestamps are.
    window = ("showprocessedstartdatetime", _eastern(since))
    async for page in practice.pages(feed.asked(*_LEFT, window)):
        changes.received_bytes += page.received_bytes
        for message in page.items:
            changes.add(feed, message)
    return changes


async def take(practice: Practice, feed: Feed, waiting: int) -> None:
    """Take as many messages as were looked at. One that came since may be among them: the next read's window shows it.

    unverified: that the oldest are taken first.
    """
    limit = practice.http.settings.page_size
    while waiting > 0:
        taken: Sequence[bytes] = await practice.first_page(feed.asked(), min(waiting, limit))
        if not taken:
            return
        waiting -= len(taken)


def _eastern(moment: datetime) -> str:
    return f"{moment.astimezone(EASTERN):%m/%d/%Y %H:%M:%S}"
