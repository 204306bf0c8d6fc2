"""The engine's home as a Dagster resource, so that tests and deployments can point it elsewhere."""

from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.settings import Settings


class HomeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the installation for one step. `folder` empty: the settings decide (HOLOVITALS_HOME)."""

    folder: str = ""

    def open(self) -> AbstractContextManager[Home]:
        return open_home(Settings(home=Path(self.folder)) if self.folder else Settings())
