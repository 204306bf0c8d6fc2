"""The worked example of docs/adapters.md: an outside package with a vendor of its own keeps the contract.

The package is installed as pip would: found on the path, with its entry points in its metadata.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml

from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.engine.rule_workbench import run_examples
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.plug_ins import plugged_in
from holovitals_pipelines.model.vocabulary import Direction, Provider, SourceFormat
from holovitals_pipelines.providers.catalogue import usual_types
from holovitals_pipelines.providers.vendor import plugged_vendor
from holovitals_pipelines.sandbox.credentials import DemoCredentials
from holovitals_pipelines.sandbox.process import RunningSandbox, start_sandbox
from holovitals_pipelines.settings import ConnectionsFile
from holovitals_pipelines.transform.shipped_rule_sets import rule_set_for
from tests.contract.contract import AdapterContract
from tests.contract.harness import Bench
from tests.contract.vendor import VendorUnderTest

PATIENTS = 30
"""Of these some have allergies."""
pytestmark = pytest.mark.timeout(120)
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "northwind"

NORTHWIND = VendorUnderTest(
    provider="northwind",
    lists_patients=False,  # it lists them itself
    connection={
        "auth": {
            "kind": "client_secret",
            "client_id": "holovitals",
            "client_secret": {"env": "CONTRACT_SECRET"},
            "sent_as": "form",
        }
    },
    secrets={"CONTRACT_SECRET": "sandbox"},
    sandbox={"most_rows": 2},  # small pages
    paged_type="AllergyIntolerance",  # read in several requests …
    paged_path="allergies",  # … at this template
    held_as="AllergyIntolerance",  # the FHIR type under which the sandbox keeps it
    write_path="patients/{id}",
    write_method="PATCH",
    native_body=b'{"lastName":"Contractname","firstName":"Ann","dateOfBirth":"1950-01-02","sex":"F"}',
    read_path="patients/{id}",
    guarded=True,  # a write names the revision it was decided on
)


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `pip install docs/examples/northwind` does, without pip."""
    metadata = tmp_path_factory.mktemp("site") / "holovitals_northwind-1.0.0.dist-info"
    metadata.mkdir()
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in group.items()) for name, group in groups]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    added = [str(metadata.parent), str(EXAMPLE)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "path", [*sys.path, *added])
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *added])))
        importlib.invalidate_caches()
        plugged_in.cache_clear()
        yield
    plugged_in.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "holovitals_northwind"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def running(installed: None) -> Iterator[RunningSandbox]:
    knobs = {"northwind": dict(NORTHWIND.sandbox)}
    with start_sandbox(dialects=["northwind"], patients=PATIENTS, settings=knobs) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def on_bench(
    running: RunningSandbox,
    credentials: DemoCredentials,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_template: Path,
) -> Bench:
    return Bench(NORTHWIND, running, credentials, tmp_path_factory.mktemp("northwind"), sqlite_template)


class TestNorthwind(AdapterContract):
    pass


def test_the_vendor_is_one_like_any_other_in_every_place_that_names_vendors(bench: Bench) -> None:
    northwind = Provider("northwind")
    assert northwind is Provider("northwind") and not northwind.is_ours and northwind not in list(Provider)
    assert usual_types(northwind) == ("Patient", "AllergyIntolerance")
    assert format_of(bench.config()) is SourceFormat.CUSTOM_JSON
    with pytest.raises(ValueError):
        Provider("southwind")


def test_a_package_that_is_broken_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("southwind", "holovitals_northwind.adapter:NOTHING", "holovitals.providers")
    monkeypatch.setattr("holovitals_pipelines.providers.vendor.plugged_in", lambda group: {"southwind": broken})
    with pytest.raises(ConfigurationError) as caught:
        plugged_vendor("southwind")
    assert caught.value.code == "provider.plug_in" and "docs/adapters.md" in caught.value.remedy


@pytest.mark.parametrize("file", sorted((EXAMPLE / "holovitals_northwind" / "rules").glob("*.examples.yml")))
def test_its_rule_sets_do_what_their_examples_say(file: Path) -> None:
    kind, _, direction = file.name.removesuffix(".examples.yml").partition(".")
    ready = rule_set_for(Provider("northwind"), kind, Direction(direction.upper() or "INBOUND"))
    assert ready is not None
    results = run_examples(ready, file)
    assert results and all(result.passed for result in results), results


def test_the_tutorial_shows_the_files_as_they_are() -> None:
    page = (DOCS / "adapters.md").read_text(encoding="utf-8")
    shown = re.findall(r"<!-- (examples/\S+) -->\n```\w*\n(.*?)```", page, re.DOTALL)
    assert len({name for name, _ in shown}) >= 5
    for name, text in shown:
        assert text.strip() in (DOCS / name).read_text(encoding="utf-8"), f"{name} has other lines than the page"


def test_the_tutorials_connection_is_valid() -> None:
    page = (DOCS / "adapters.md").read_text(encoding="utf-8")
    declared = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "northwind" in block)
    assert ConnectionsFile.model_validate(yaml.safe_load(declared)).connections[0].provider == "northwind"
