"""What notebooks import: frames over the newest snapshot of the warehouse; charts and cards draw them."""

from holovitals_pipelines.workbench.session import Workbench, open_workbench

__all__ = ["Workbench", "open_workbench"]
