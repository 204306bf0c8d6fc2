"""MEDITECH as vendors.md §9 to §12 describe it: HL7 v2 over MLLP in both directions, and a FHIR interface beside it.

Law: the feed is how changes are told; what is accepted over MLLP changes what is held, and is told like any edit.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from holovitals_pipelines.sandbox.dialects.meditech_fhir import BASE, GROUP, fhir_routes
from holovitals_pipelines.sandbox.dialects.meditech_link import MeditechLink
from holovitals_pipelines.sandbox.protocols.outcomes import fhir_template
from holovitals_pipelines.sandbox.site import Dialect, Site
from holovitals_pipelines.sandbox.splice import without_server_meta

_PORTS = frozenset({"adt", "results"})


@dataclass(frozen=True, slots=True)
class MeditechSettings:
    """Knobs; seconds and counts. `duplicates`, `lost_acks`, `refuse` and `silent` are taken note of and stand at zero
    again: each setting of them is for the next messages."""

    port: int = 0
    """Of MLLP; 0 lets the system choose."""
    zone: str = "America/New_York"
    """Of the site's clocks, an IANA name: messages show its minutes."""
    orders: str = "ORM^O01"
    """What orders are told with: this or OML^O21; empty: not at all."""
    duplicates: int = 0
    """So many of the next messages of the feed are sent twice."""
    lost_acks: int = 0
    """So many of the next answers to the feed are lost: the line breaks and the message is sent again."""
    resend_seconds: float = 10.0
    """How long the feed waits for an answer before it sends again."""
    reconnect_seconds: float = 0.2
    attempts_on_error: int = 3
    """How often a message that is answered AE is sent before it is left behind."""
    piece_bytes: int = 0
    """The feed writes in pieces of so many bytes; 0: whole messages."""
    refuse: str = ""
    """AE or AR: what `refuse_times` of the next messages it is sent are answered with, and not taken."""
    refuse_error: str = "207"
    refuse_times: int = 1
    silent: int = 0
    """So many of the next messages it is sent are taken and never answered."""
    late_seconds: float = 0.0
    """How long every answer takes."""
    client_id: str = "holovitals-sandbox"
    client_secret: str = "holovitals-sandbox-secret"  # noqa: S105 a simulated vendor's
    entitled: bool = False
    """Whether the client gets a token for itself."""
    requires_token: bool = False
    token_seconds: int = 300


def open_site(site: Site) -> list[BaseRoute]:
    """The FHIR interface, and the calls that tell the feed where to send."""
    link = MeditechLink(site)
    site.link = link
    link.turn()
    site.records.watch, site.watch_merge = link.feed.tell, link.feed.tell_merge

    async def feed(request: Request) -> Response:
        """`{"host": "127.0.0.1", "ports": {"adt": 2575, "results": 2576}, "from": "now"}`; without ports: silence."""
        if request.method == "POST":
            wanted = orjson.loads(await request.body())
            ports = {name: int(port) for name, port in wanted.get("ports", {}).items()}
            start = wanted.get("from", "start")
            if not ports.keys() <= _PORTS or start not in ("start", "now"):
                return _json({"error": "ports are adt and results, from is start or now"}, 400)
            link.feed.start(wanted.get("host", "127.0.0.1"), ports, everything_held=bool(ports) and start == "start")
        return _json(link.feed.progress())

    return [Route("/_sandbox/meditech/feed", feed, methods=["GET", "POST"]), *fhir_routes(site)]


def _json(answer: object, status: int = 200) -> Response:
    return Response(orjson.dumps(answer), status, media_type="application/json")


def _turned(site: Site) -> None:
    if isinstance(site.link, MeditechLink):
        site.link.turn()


DIALECT = Dialect(
    name="meditech",
    base=BASE,
    settings=MeditechSettings,
    present=without_server_meta,
    open=open_site,
    template=fhir_template,
    turned=_turned,
    group=GROUP,
    faces={"meditech_fhir": BASE},
)
