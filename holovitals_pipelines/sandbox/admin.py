"""The admin API under `/_sandbox/`: what a test or a demo does behind the vendor's back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.sandbox.clock import Clock, instant
from holovitals_pipelines.sandbox.faults import FaultPlan, fault_from
from holovitals_pipelines.sandbox.people import merge_patients
from holovitals_pipelines.sandbox.site import Site, base_urls
from holovitals_pipelines.sandbox.webhooks import WebhookSender
from holovitals_pipelines.sandbox.wire import RequestLog


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def admin_routes(sites: Mapping[str, Site], clock: Clock, plan: FaultPlan, log: RequestLog) -> list[BaseRoute]:
    """Routes of the admin API; answers are JSON, errors `{"error": …}` with 400 or 404."""

    def site_of(request: Request) -> Site | None:
        return sites.get(request.path_params["dialect"])

    async def health(request: Request) -> Response:
        here = f"http://{request.headers.get('host', 'localhost')}"
        return _json(
            {
                "status": "ok",
                "now": instant(clock.now_ms()),
                "base_urls": base_urls(sites, here),
                "groups": {name: site.dialect.group for name, site in sites.items()},
            }
        )

    async def counts(request: Request) -> Response:
        return _json({name: site.records.counts() for name, site in sites.items()})

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            plan.clear()
        elif request.method == "POST":
            declared = orjson.loads(await request.body())
            try:
                for fault in [fault_from(one) for one in (declared if isinstance(declared, list) else [declared])]:
                    plan.add(fault)
            except (ConfigurationError, TypeError) as error:
                return _json({"error": str(error)}, 400)
        return _json(plan.waiting())

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            log.clear()
        return _json(log.entries(request.query_params.get("dialect")))

    async def time(request: Request) -> Response:
        """`{"shift_seconds": 60}`, or `{"at": "2026-07-01T00:00:00Z", "frozen": true}`."""
        if request.method == "POST":
            wanted = orjson.loads(await request.body())
            if "at" in wanted:
                clock.set_to(datetime.fromisoformat(wanted["at"]), frozen=bool(wanted.get("frozen", False)))
            clock.shift(float(wanted.get("shift_seconds", 0)))
        return _json({"now": instant(clock.now_ms())})

    async def resource(request: Request) -> Response:
        """A clinician reads, edits or deletes at the vendor; no rule of the vendor's API applies."""
        site, kind, identity = site_of(request), request.path_params["kind"], request.path_params["id"]
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        if request.method == "PUT":
            try:
                version, created = site.records.put(kind, identity, await request.body())
            except (ValueError, KeyError):
                return _json({"error": f"the body is not a {kind}"}, 400)
            return _json({"version": version.number}, 201 if created else 200)
        if request.method == "DELETE":
            gone = site.records.delete(kind, identity)
            return _json({"version": gone.number}) if gone is not None else _json({"error": "no such resource"}, 404)
        number = site.records.number(kind, identity)
        body = site.records.body(number) if number is not None else None
        if body is None:
            return _json({"error": "no such resource"}, 404)
        return Response(body, media_type="application/fhir+json")

    async def ids(request: Request) -> Response:
        """Ids of the living resources of a type, one a line: the patient list a client is given out of band."""
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        kind = request.path_params["kind"]
        living = site.records.live(kind, site.records.in_order(kind))
        return PlainTextResponse("".join(f"{site.records.identity(number)}\n" for number in living))

    async def resources(request: Request) -> Response:
        """The living resources of a type as they stand, one a line."""
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        kind = request.path_params["kind"]
        living = site.records.live(kind, site.records.in_order(kind))
        bodies = (site.records.body(number) or b"" for number in living)
        return Response(b"".join(body + b"\n" for body in bodies), media_type="application/fhir+ndjson")

    async def changes(request: Request) -> Response:
        """A figure that grows with each version that is made."""
        site = site_of(request)
        return _json({"changes": site.records.changes}) if site else _json({"error": "no such dialect"}, 404)

    async def settings(request: Request) -> Response:
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        if request.method == "POST":
            try:
                site.turn(orjson.loads(await request.body()))
            except (ConfigurationError, ValueError, TypeError) as error:
                return _json({"error": str(error)}, 400)
        return _json(asdict(site.settings))

    async def merge(request: Request) -> Response:
        """`{"retired": id, "survivor": id}`."""
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        wanted = orjson.loads(await request.body())
        return _json({"moved": merge_patients(site, wanted["retired"], wanted["survivor"])})

    senders: dict[str, WebhookSender] = {}

    async def webhooks(request: Request) -> Response:
        """`{"url": …, "secret": …, "form": …}`: every change is told there from now on; `{"heartbeat": true}` later."""
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        name = request.path_params["dialect"]
        if request.method == "DELETE" and name in senders:
            senders[name].stop()
        if request.method == "POST":
            wanted = orjson.loads(await request.body())
            if "url" in wanted:
                if name not in senders:
                    senders[name] = WebhookSender(site)
                handshake = bool(wanted.get("handshake", True))
                try:
                    senders[name].restart(
                        wanted["url"], wanted.get("secret", ""), wanted.get("form"), handshake=handshake
                    )
                except ConfigurationError as error:
                    return _json({"error": str(error)}, 400)
            elif wanted.get("heartbeat") and name in senders:
                senders[name].heartbeat()
        return _json(senders[name].progress() if name in senders else {"pending": 0, "sent": 0, "accepted": 0})

    async def reset_bulk(request: Request) -> Response:
        """Forget all exports and kick-offs, as if the window had passed."""
        site = site_of(request)
        if site is None:
            return _json({"error": "no such dialect"}, 404)
        site.exports.running.clear()
        site.exports.last_kick_off_ms.clear()
        return _json({"running": 0})

    return [
        Route("/_sandbox/health", health),
        Route("/_sandbox/counts", counts),
        Route("/_sandbox/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/requests", requests, methods=["GET", "DELETE"]),
        Route("/_sandbox/clock", time, methods=["GET", "POST"]),
        Route("/_sandbox/{dialect}/ids/{kind}", ids),
        Route("/_sandbox/{dialect}/resources/{kind}", resources),
        Route("/_sandbox/{dialect}/changes", changes),
        Route("/_sandbox/{dialect}/settings", settings, methods=["GET", "POST"]),
        Route("/_sandbox/{dialect}/merge", merge, methods=["POST"]),
        Route("/_sandbox/{dialect}/webhooks", webhooks, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/{dialect}/bulk/reset", reset_bulk, methods=["POST"]),
        Route("/_sandbox/{dialect}/{kind}/{id}", resource, methods=["GET", "PUT", "DELETE"]),
    ]
