"""HoloVitals Pipelines: keeps a local clinical store in agreement with EHR vendors."""

__version__ = "0.1.0"
