"""A shipped rule set is found by where it lies, without reading the others."""

from __future__ import annotations

from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for, shipped_rule_sets


def test_every_shipped_rule_set_lies_where_it_is_looked_for() -> None:
    for ready in shipped_rule_sets():
        rules = ready.rules
        found = rule_set_for(rules.provider, rules.resource_type, rules.direction, source_format=rules.source_format)
        assert found is ready, ready.name


def test_there_is_none_for_what_is_sent_as_fhir_and_none_of_another_format() -> None:
    assert rule_set_for(Provider.FHIR, "Patient") is None
    assert rule_set_for(Provider.FHIR, "Patient", source_format=SourceFormat.CDA) is not None
    assert rule_set_for(Provider.NEXTGEN, "Patient", source_format=SourceFormat.FHIR_R4) is None
    assert rule_set_for(Provider.NEXTGEN, "Patient", Direction.OUTBOUND) is not None
