"""The conflict policy, severity matrix and quality thresholds of an installation: its own files, or those shipped."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.quality.thresholds import Thresholds, default_thresholds, load_thresholds
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.sync.facts import Rules
from holovitals_pipelines.sync.policy import default_policy, load_policy
from holovitals_pipelines.sync.severity import default_matrix, load_matrix


def load_rules(settings: Settings) -> Rules:
    """Raises ConfigurationError naming file and line."""
    policy = _text(settings.policy_file, settings.root / "policy.yml")
    matrix = _text(settings.severity_file, settings.root / "severity.yml")
    return Rules(
        matrix=load_matrix(*matrix) if matrix else default_matrix(),
        policy=load_policy(*policy) if policy else default_policy(),
    )


def load_quality(settings: Settings, connections: Container[str]) -> Thresholds:
    """Raises ConfigurationError naming file and line."""
    own = _text(settings.quality_file, settings.root / "quality.yml")
    return load_thresholds(*own, connections=connections) if own else default_thresholds()


def _text(given: Path | None, usual: Path) -> tuple[str, str] | None:
    """(text, place) of the file that counts; None where there is none of the installation's own."""
    path = given or usual
    if not path.is_file():
        if given is None:
            return None
        raise ConfigurationError(
            "the file is not there",
            code="settings.file_missing",
            place=str(given),
            remedy="correct the setting, or leave it out to use what is shipped",
        )
    return path.read_text(encoding="utf-8"), str(path)
