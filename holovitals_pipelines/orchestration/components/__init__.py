"""The components from which every asset is built."""

from holovitals_pipelines.orchestration.components.ehr_connection import EhrConnection

__all__ = ["EhrConnection"]
