from __future__ import annotations

import pytest

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Provider
from holovitals_pipelines.providers.registry import AVAILABLE, open_adapter

from .loopback import connection, no_secrets


@pytest.mark.parametrize("provider", [one for one in AVAILABLE if one is not Provider.MEDITECH])
def test_every_available_provider_opens_its_own_adapter(provider: Provider) -> None:
    adapter = open_adapter(connection("http://127.0.0.1:1/fhir", provider=provider), no_secrets)
    assert adapter.provider is provider
    assert list(adapter.statistics()) == []


def test_meditechs_messages_need_a_home_that_holds_them() -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_adapter(connection("mllp://127.0.0.1:1", provider="meditech"), no_secrets)
    assert (caught.value.code, caught.value.place) == ("meditech.no_home", "connection clinic")


def test_every_provider_has_an_adapter() -> None:
    assert set(AVAILABLE) == set(Provider)
