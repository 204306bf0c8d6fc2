from __future__ import annotations

import gc

from holovitals_pipelines.engine.collecting import THRESHOLDS, rare_collections


def test_collections_are_rare_while_anybody_works_and_as_before_afterwards() -> None:
    before = gc.get_threshold()
    with rare_collections():
        with rare_collections():
            assert gc.get_threshold() == THRESHOLDS
        assert gc.get_threshold() == THRESHOLDS, "somebody is still at work"
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
