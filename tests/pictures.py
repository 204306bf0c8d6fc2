"""Pictures of what tests see in a browser, for people to look at: in the folder HOLOVITALS_PICTURES names, or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_FOLDER = os.environ.get("HOLOVITALS_PICTURES")


def keep(shown: Any, name: str) -> None:
    """A page, or a part of one, as it is now."""
    if _FOLDER:
        Path(_FOLDER).mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=Path(_FOLDER) / f"{name}.png")
