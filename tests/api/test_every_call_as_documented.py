"""Every call with whatever its document allows, and with what it does not: no 5xx, and no answer that is not in it.

HOLOVITALS_API_EXAMPLES says how many examples of each call are tried; the default is what a test run can afford.
"""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.service import Service

EXAMPLES = int(os.environ.get("HOLOVITALS_API_EXAMPLES", "4"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def document(api: Service) -> Any:
    """What is called exists, as far as a list can tell: one of everything."""
    api.patient("p1")
    api.in_conflict("p2")
    api.call("POST", "/api/sync/jobs", "operator", json={"type": "FULL_SYNC", "ehrConnectionId": "clinic"})
    hook = {"ehrConnectionId": "clinic", "endpoint": "https://us.example/hooks"}
    api.call("POST", "/api/sync/webhooks", "operator", json=hook)
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


TRIED = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_a_call_answers_as_documented(document: Any, api: Service, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Bearer {api.tokens['everything']}"}
    wrong: list[str] = []
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/test"):
            continue  # it would call other hosts

        @TRIED
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=api.url, headers=headers, checks=CHECKS, timeout=20)

        try:
            answers()
        except Unsatisfiable:
            continue  # a call that takes nothing cannot be given anything wrong
        except Exception as error:  # every operation has its say
            wrong.append(f"{operation.label}: {error}")
    assert not wrong, "\n\n".join(wrong)


def test_a_call_without_a_token_answers_as_documented(api: Service, document: Any) -> None:
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.definition.raw.get("x-roles"):
            case = operation.Case(path_parameters=dict.fromkeys(_parameters(operation.path), "1"))
            answer = case.call(base_url=api.url)
            assert answer.status_code == 401, operation.label
            case.validate_response(answer, checks=CHECKS)


def _parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]
