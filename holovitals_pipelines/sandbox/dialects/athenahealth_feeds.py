"""athenahealth's change feeds: a queue for each client and feed, which reading empties (vendors.md §5.3).

Law: a message is a write that happened since the subscription; which were read is all that a queue remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holovitals_pipelines.sandbox.dialects import athenahealth_views as views
from holovitals_pipelines.sandbox.dialects.athenahealth_answers import answered, encoded, form_of, listing, window
from holovitals_pipelines.sandbox.facts.athenahealth import FEEDS, NO_SERVICE, NO_SUBSCRIPTION, Feed
from holovitals_pipelines.sandbox.site import Site


@dataclass(slots=True)
class Queue:
    """What one client's subscription to one feed has: since when, for which events, and which messages were read."""

    since_ms: int
    events: tuple[str, ...]
    processed: dict[tuple[int, int], int] = field(default_factory=dict)
    """(number of the resource, version) → when."""


@dataclass(frozen=True, slots=True)
class _Message:
    number: int
    version: int
    body: bytes


_FEED_VIEWS: Mapping[str, views.View] = {
    "patients": views.patient,
    "appointments": views.appointment,
    "labresults": views.changed_lab_result,
    "prescriptions": views.changed_prescription,
    "chart/healthhistory/problems": views.changed_problem,
}


async def answer_feed(site: Site, request: Request, client: str, name: str, rest: str) -> Response:
    queues: dict[tuple[str, str], Queue] = site.shared["feeds"]
    feed, queue = FEEDS[name], queues.get((client, name))
    if rest == "/subscription/events" and request.method == "GET":
        return answered({"subscriptions": [{"eventname": event} for event in feed.events]})
    if rest == "/subscription":
        if request.method == "POST":
            event = (await form_of(request)).get("eventname")
            if event is not None and event not in feed.events:
                return answered({"error": "The event is not valid."}, 400)
            held = queue.events if queue is not None else ()
            events = tuple(dict.fromkeys([*held, event])) if event is not None else feed.events
            queues[client, name] = Queue(queue.since_ms if queue else site.clock.now_ms(), events)
            return answered({"success": True})
        if request.method == "DELETE":
            queues.pop((client, name), None)
            return answered({"success": True})
        events = queue.events if queue is not None else ()
        status = "INACTIVE" if not events else "ACTIVE" if set(events) == set(feed.events) else "PARTIAL"
        return answered({"status": status, "subscriptions": [{"eventname": event} for event in events]})
    if rest or request.method != "GET":
        return PlainTextResponse(NO_SERVICE, 404)
    if queue is None:
        return answered({"error": NO_SUBSCRIPTION}, 403)
    try:
        return _changed(site, request, name, feed, queue)
    except ValueError:
        return answered({"error": "The data provided is invalid."}, 400)


def _changed(site: Site, request: Request, name: str, feed: Feed, queue: Queue) -> Response:
    """The messages waiting, which reading takes; or those taken in a window. Raises ValueError for a bad time."""
    asked = request.query_params
    messages = _messages(site, feed, queue)
    if "showprocessedstartdatetime" in asked:
        low = _eastern_ms(asked["showprocessedstartdatetime"])
        high = _eastern_ms(asked["showprocessedenddatetime"]) if "showprocessedenddatetime" in asked else 1 << 60
        oldest = site.clock.now_ms() - site.settings.processed_hours * 3_600_000
        chosen = [m for m in messages if max(low, oldest) <= queue.processed.get((m.number, m.version), -1) <= high]
    else:
        chosen = [m for m in messages if (m.number, m.version) not in queue.processed]
        if asked.get("leaveunprocessed", "false").lower() != "true":
            offset, limit = window(site, request)
            now = site.clock.now_ms()
            queue.processed.update({(m.number, m.version): now for m in chosen[offset : offset + limit]})
    view = _FEED_VIEWS[name]

    def show(message: _Message) -> bytes:
        return encoded(views.shown(site, message.number, view, message.body))

    return listing(site, request, feed.items, chosen, show, counted=feed.counted)


def _messages(site: Site, feed: Feed, queue: Queue) -> list[_Message]:
    """One for each write since the subscription, oldest first; of a deletion, with what was there before."""
    records = site.records
    until = site.clock.now_ms() - site.settings.change_delay_seconds * 1000
    found: list[tuple[int, _Message]] = []
    for number in records.updated_between(records.in_order(feed.kind), queue.since_ms, float("inf")):
        body = b""
        for version in records.history(number):
            body = version.body if version.body is not None else body
            if queue.since_ms <= version.updated_ms <= until and (
                feed.kind != "Observation" or views.is_laboratory(orjson.loads(body))
            ):
                found.append((version.updated_ms, _Message(number, version.number, body)))
    return [message for _, message in sorted(found, key=lambda one: one[0])]


def _eastern_ms(text: str) -> int:
    return int(datetime.strptime(text, "%m/%d/%Y %H:%M:%S").replace(tzinfo=views.EASTERN).timestamp() * 1000)
