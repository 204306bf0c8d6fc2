from __future__ import annotations

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.registry import AVAILABLE, open_adapter

from .loopback import connection, no_secrets


@pytest.mark.parametrize("provider", AVAILABLE)
def test_every_available_provider_opens_its_own_adapter(provider: Provider) -> None:
    adapter = open_adapter(connection("http://127.0.0.1:1/fhir", provider=provider), no_secrets)
    assert adapter.provider is provider
    assert list(adapter.statistics()) == []


def test_a_provider_without_adapter_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_adapter(connection("http://127.0.0.1:1/fhir", provider="meditech"), no_secrets)
    assert caught.value.place == "connection clinic"
    for provider in AVAILABLE:
        assert provider in caught.value.remedy
