"""Handlers of the installation's own, and the examples of the documentation, run as they are printed."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.webhooks.processing import coalesce
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.settings import Settings
from tests.engine.queue_bench import job_of
from tests.engine.webhooks.senders import SECRET, Sender, event, hexadecimal, sender

PAGE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")


def example(containing: str) -> str:
    [found] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.S) if containing in block]
    return str(found)


@pytest.fixture
def handled(settings: Settings) -> Iterator[Home]:
    """A home whose handlers are those of the module `our_handlers`."""
    with open_home(settings.model_copy(update={"webhook_handlers": "our_handlers"})) as home:
        yield home
    sys.modules.pop("our_handlers", None)
    from holovitals_pipelines.engine.webhooks import handlers

    handlers._load.cache_clear()


def install(source: str) -> None:
    module = ModuleType("our_handlers")
    exec(source, module.__dict__)
    sys.modules["our_handlers"] = module


def test_the_documented_handlers_decide_what_is_read(handled: Home) -> None:
    install(example("HANDLERS"))
    ours = sender(handled, "athena", scheme=None, signature_header="x-webhook-signature")
    ours.deliver({"id": "m", "type": "Patient.merge", "resourceType": "Patient", "resourceId": "7"})
    ours.deliver({"id": "i", "type": "invoice.paid"})
    ours.deliver(event(1))
    [job_id] = coalesce(handled)
    request = job_of(handled, job_id).request
    assert (request["patients"], request["ids"]) == (["7"], [["Observation", "o1"]])
    assert (ours.event("i").status, ours.event("i").error_code) == ("IGNORED", "billing.not_synced")


def test_a_handler_that_raises_fails_its_event_and_says_no_more_than_the_type(handled: Home) -> None:
    install("def bad(event, queue):\n    raise KeyError('marker-4711')\nHANDLERS = {('clinic', '*'): bad}")
    ours = sender(handled)
    ours.deliver(event(1))
    assert coalesce(handled) == []
    found = ours.event("e1")
    assert (found.status, found.error_code) == ("FAILED", "webhook.handler_failed")
    assert "KeyError" in str(found.error_message) and "marker-4711" not in str(found)


@pytest.mark.parametrize("source", ["", "HANDLERS = {'x': 1}", "HANDLERS = [1]"])
def test_events_wait_while_the_handlers_cannot_be_loaded(handled: Home, source: str) -> None:
    install(source)
    ours = sender(handled)
    assert ours.deliver(event(1)) == 202
    with pytest.raises(ConfigurationError) as refused:
        coalesce(handled)
    assert refused.value.code == "webhook.handlers" and ours.statuses() == {"e1": "RECEIVED"}


def test_the_documented_signature_is_the_one_that_is_checked(opened: Home, clinic: Sender) -> None:
    received: list[tuple[bytes, str]] = []

    class Catcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((body, self.headers["X-Webhook-Signature"]))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return None

    names: dict[str, Any] = {}
    exec(example("def deliver"), names)
    with HTTPServer(("127.0.0.1", 0), Catcher) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert names["deliver"](f"http://127.0.0.1:{server.server_port}/", SECRET, event(1)) == 202
        thread.join()
    [(body, signature)] = received
    assert signature == hexadecimal(SECRET, body)
    assert clinic.deliver(json.loads(body), **{"x-webhook-signature": signature}) == 202
