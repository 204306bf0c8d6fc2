"""docs/api.md: its examples run, in its order, and answer what it says; its tables name the calls there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from holovitals_pipelines.engine.tokens import create_token
from holovitals_pipelines.model.vocabulary import Role
from holovitals_pipelines.settings import Settings
from tests.api.service import NAMED, Service, served

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"<!-- run -->\n```sh\n(.*?)```\n```json\n(.*?)```", re.DOTALL)


def contains(said: Any, answered: Any) -> bool:
    """Whether the answer has everything that the page shows of it; of a list its first items."""
    if isinstance(said, dict):
        return isinstance(answered, dict) and all(n in answered and contains(v, answered[n]) for n, v in said.items())
    if isinstance(said, list):
        pairs = zip(said, answered, strict=False)
        return isinstance(answered, list) and len(answered) >= len(said) and all(contains(a, b) for a, b in pairs)
    return bool(said == answered)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are calls of curl")
def test_the_examples_run_as_written(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "operational.sqlite")
    with served(tmp_path, NAMED) as api:
        token = create_token(api.home.database, "me", [Role.VIEWER, Role.OPERATOR], by="test").secret
        environment = {"PATH": os.environ["PATH"], "API": api.url, "TOKEN": token, "NO_PROXY": "*"}
        found = EXAMPLE.findall(PAGE)
        assert len(found) >= 10
        before = ""
        for script, said in found:
            if "RECORD=" in script:
                before = script.splitlines()[0] + "\n"
            ran = subprocess.run(
                ["sh", "-ec", before + script if "$RECORD" in script else script],
                env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
            )  # fmt: skip
            answered = _last_json(ran.stdout)
            assert contains(json.loads(said), answered), f"{script}\n{ran.stdout}"


def _last_json(text: str) -> Any:
    """Calls of one example answer one after the other; the page shows the last."""
    decoder, at, value = json.JSONDecoder(), 0, None
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
    return value


def test_every_call_is_on_the_page(api: Service) -> None:
    for path, methods in api.get("/openapi.json", None)["paths"].items():
        named = [path]
        if "{" in path:
            parent, _, last = path.rpartition("/")
            named += [f"{parent}[/{last}]", "…" + path[path.index("{") - 1 :], f"…/{last}"]
            named += [re.sub(r"^.*?\{id\}", "…", path)]
        assert any(one in PAGE for one in named), path
        for method in methods:
            assert method.upper() in PAGE


def test_every_setting_of_the_api_is_on_the_page() -> None:
    for name in Settings.model_fields:
        if name.startswith("api_"):
            assert f"HOLOVITALS_{name.upper()}" in PAGE, name
