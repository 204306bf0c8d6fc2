"""Where an asset's page leads to: the API's own pages, notebooks and the documentation.

Law: nothing is linked that is not there: pages only where the API's address is known, files only where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from holovitals_pipelines.settings import Settings

_CHECKOUT = Path(__file__).parents[2]
"""The project's folder, where this is run from one."""

_PAGES = (("dashboard", "/dashboard"), ("quality", "/quality"), ("API", "/docs"))
_OF_LAYER: Mapping[str, tuple[Sequence[str], str]] = {
    "extract": (("docs/dagster-ui.md", "docs/connections.md", "docs/vendor-errors.md"), "01_sync_overview"),
    "records": (("docs/dagster-ui.md", "docs/rules.md", "docs/operators.md"), "07_data_quality"),
    "conflicts": (("docs/dagster-ui.md", "docs/conflicts.md", "docs/review.md"), "02_conflicts"),
    "writeback": (("docs/dagster-ui.md", "docs/operators.md", "docs/conflicts.md"), "02_conflicts"),
    "anti_entropy": (("docs/dagster-ui.md", "docs/operators.md"), "05_provider_comparison"),
    "sync_statistics": (("docs/dagster-ui.md", "docs/warehouse.md", "docs/analysts.md"), "01_sync_overview"),
    "patient_index": (("docs/dagster-ui.md", "docs/identity.md"), "06_patient_360"),
}
"""Documentation and notebook by layer, or by what an asset of a whole connection or home is called."""


def links_of(layer: str, settings: Settings | None = None) -> dict[str, Any]:
    """Metadata of an asset's definition, shown on its page; kept once, not with every event."""
    known = settings or Settings()
    return dict(_links(layer, known.api_url, known.lab_url))


@lru_cache
def _links(layer: str, api: str | None, lab: str | None) -> Mapping[str, Any]:
    documents, notebook = _OF_LAYER[layer]
    pages = []
    if api is not None:
        pages += [f"[{name}]({api.rstrip('/')}{path})" for name, path in _PAGES]
    if lab is not None:
        pages.append(f"[notebook {notebook}]({lab.rstrip('/')}/tree/{notebook}.ipynb)")
    links: dict[str, Any] = {"open": dg.MetadataValue.md(" · ".join(pages))} if pages else {}
    links["documentation"] = ", ".join(documents)
    links["notebook"] = _notebook(notebook)
    references: list[dg.LocalFileCodeReference | dg.UrlCodeReference] = [
        dg.LocalFileCodeReference(file_path=str(_CHECKOUT / path), label=path)
        for path in documents
        if (_CHECKOUT / path).is_file()
    ]
    return links | (
        {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=references)} if references else {}
    )


def _notebook(name: str) -> Any:
    path = _CHECKOUT / "notebooks" / f"{name}.ipynb"
    return dg.MetadataValue.notebook(str(path)) if path.is_file() else f"notebooks/{name}.ipynb"
