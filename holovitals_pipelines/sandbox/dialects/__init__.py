"""The vendors the sandbox can play: one module each, declaring a `DIALECT`; adding a file adds a vendor.

Installed packages bring others (docs/adapters.md).
"""

from __future__ import annotations

import importlib
import pkgutil

from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.plug_ins import PlugIn, plugged_in
from holovitals_pipelines.sandbox.site import Dialect


def dialect_names() -> list[str]:
    """A module with an underscore in its name (`epic_refusals`) is a part of a vendor, not one."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if "_" not in module.name)


def load_dialect(name: str) -> Dialect:
    """Raises ConfigurationError for a vendor the sandbox cannot play."""
    if name not in dialect_names() and name in plugged_in(PlugIn.DIALECTS):
        brought = plugged_in(PlugIn.DIALECTS)[name].load()
        assert isinstance(brought, Dialect)
        return brought
    if name not in dialect_names():
        raise ConfigurationError(
            f"the sandbox has no dialect {name!r}",
            code="sandbox.unknown_dialect",
            remedy=f"choose from {', '.join(dialect_names())}",
        )
    module = importlib.import_module(f"{__name__}.{name}")
    dialect = module.DIALECT
    assert isinstance(dialect, Dialect)
    return dialect
