"""A base that is not FHIR R4 is refused with a sentence, whatever it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.responses import Response

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.extract import ReadRequest
from holovitals_pipelines.model.vocabulary import SourceFormat
from holovitals_pipelines.providers.answers import Answer
from holovitals_pipelines.providers.capability import Capability, read_capability

from .loopback import FastClock, capability, connection, json, read_all, serving

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "vendor-capability-statements"
"""What real servers say of themselves, ../shared/data from the project's root; absent from a plain clone."""


def learn(
    content: Any, *, media_type: str = "application/fhir+json", release: SourceFormat = SourceFormat.FHIR_R4
) -> Capability:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return read_capability(
        Answer(200, httpx.Headers({"content-type": media_type}), body, httpx.URL("http://x")),
        place="p",
        release=release,
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"resourceType": "Conformance", "fhirVersion": "1.0.2", "rest": []}, "DSTU2"),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "3.0.1", "rest": [{"operation": "odd"}]}, "STU3"),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "4.3.0", "rest": []}, "R4B"),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0", "rest": []}, "R5"),
        ({"resourceType": "CapabilityStatement"}, "version not given"),
        ({"token_endpoint": "https://x/token"}, "not a FHIR CapabilityStatement"),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": []}, "no REST server"),
        ({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": "x"}, "not shaped as FHIR R4"),
        (b"<html>Welcome</html>", "web page"),
        (b"\xff\xfe", "not a FHIR CapabilityStatement"),
        (b"", "not a FHIR CapabilityStatement"),
    ],
)
def test_what_is_not_r4_is_refused_with_a_sentence(content: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        learn(content)
    assert said in caught.value.message
    assert caught.value.code == "fhir.not_r4"
    assert "base_url" in caught.value.remedy


@pytest.mark.parametrize(
    ("release", "resource_type", "number"),
    [
        (SourceFormat.FHIR_STU3, "CapabilityStatement", "3.0.2"),
        (SourceFormat.FHIR_DSTU2, "Conformance", "1.0.2"),
    ],
)
def test_an_older_release_is_read_where_the_connection_says_so_and_nothing_else_then(
    release: SourceFormat, resource_type: str, number: str
) -> None:
    patient = {"type": "Patient", "interaction": [{"code": "read"}, {"code": "search-type"}]}
    statement = {
        "resourceType": resource_type,
        "fhirVersion": number,
        "rest": [{"mode": "server", "resource": [patient]}],
    }
    assert learn(statement, release=release).types["Patient"].searchable
    with pytest.raises(ConfigurationError, match=f"not {release.removeprefix('FHIR_')}"):
        learn(capability({"Patient": []}), release=release)
    with pytest.raises(ConfigurationError) as refused:
        learn(statement)
    assert f"format: {release}" in refused.value.remedy


def test_an_r4_statement_tells_types_parameters_and_export_levels() -> None:
    found = learn(capability({"Patient": ["_lastUpdated"], "Group": []}, exports=["system", "patient", "group"]))
    assert found.exports == {"system", "patient", "group"}
    assert found.types["Patient"].search_params == {"_lastUpdated"}
    assert found.types["Patient"].searchable


@pytest.mark.parametrize(
    ("operations", "levels"),
    [
        ([{"name": "$export", "definition": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}], {"system"}),
        ([{"name": "group-export", "definition": ".../OperationDefinition/group-export"}], {"group"}),
        ([{"name": "export", "definition": ".../OperationDefinition/group-export|2.0"}], {"group"}),
        ([{"name": "everything"}], set()),
    ],
)
def test_export_levels_are_told_apart_by_definition(operations: list[dict[str, str]], levels: set[str]) -> None:
    statement = capability({})
    statement["rest"][0]["operation"] = operations
    assert learn(statement).exports == levels


def test_a_server_that_only_says_it_does_bulk_data_is_asked_at_every_level() -> None:
    statement = capability({"Patient": []})
    statement["instantiates"] = ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data|2.0.0"]
    assert learn(statement).exports == {"system", "patient", "group"}


def test_opening_a_connection_to_another_release_names_the_connection(clock: FastClock) -> None:
    with serving({"/fhir/metadata": lambda _: json(capability({}, version="3.0.1"))}) as server:
        config = connection(f"{server.url}/fhir")
        with pytest.raises(ConfigurationError) as caught:
            read_all(config, ReadRequest(resource_types=["Patient"]), clock=clock.as_clock())
    assert "clinic" in caught.value.place
    assert "STU3" in str(caught.value)


def test_opening_a_connection_to_a_web_site_is_refused(clock: FastClock) -> None:
    with serving({"/metadata": lambda _: Response("<html>", media_type="text/html")}) as server:
        config = connection(server.url)
        with pytest.raises(ConfigurationError, match="web page"):
            read_all(config, ReadRequest(resource_types=["Patient"]), clock=clock.as_clock())


@pytest.mark.skipif(not RECORDED.is_dir(), reason="../shared/data/vendor-capability-statements is not on this machine")
def test_what_real_servers_say_is_read_or_refused_with_a_sentence() -> None:
    verdicts = {}
    for path in sorted(RECORDED.glob("*.json")):
        try:
            verdicts[path.stem] = f"R4, {len(learn(path.read_bytes()).types)} types"
        except ConfigurationError as error:
            assert error.code == "fhir.not_r4"
            verdicts[path.stem] = error.message
    assert {name for name, verdict in verdicts.items() if verdict.startswith("R4,")} == {
        "careevolution_dstu2",  # the file's name is older than its content
        "test_r4_capability_statement",
        "test_r4_capability_statement_extensions",
    }
    assert "STU3" in verdicts["epic_capability_stu3"]
    assert "DSTU2" in verdicts["epic_capability_dstu2"]
    assert "DSTU2" in verdicts["cerner_capability_dstu2"]
    assert "not a FHIR CapabilityStatement" in verdicts["authorization_cerner_smart_response"]
