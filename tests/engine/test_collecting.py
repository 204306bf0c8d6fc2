from __future__ import annotations

import subprocess
import sys

ALONE = """
import gc
from holovitals_pipelines.engine.collecting import THRESHOLDS, rare_collections

before = gc.get_threshold()
with rare_collections():
    with rare_collections():
        assert gc.get_threshold() == THRESHOLDS
    assert gc.get_threshold() == THRESHOLDS, "somebody is still at work"
    assert gc.get_freeze_count() > 0
assert gc.get_threshold() == before != THRESHOLDS
assert gc.get_freeze_count() == 0
print("as before")
"""


def test_collections_are_rare_while_anybody_works_and_as_before_afterwards() -> None:
    """In a process of its own: a worker of other tests may hold what others have frozen."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "as before"), done.stderr
