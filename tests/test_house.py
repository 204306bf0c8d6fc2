"""The house itself: its rooms, its import rules, its locks, and that nothing in it names the place it was built at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "holovitals_pipelines"
ROOMS = {
    "api", "cli", "deploy", "engine", "fhir", "model", "orchestration",
    "providers", "quality", "sandbox", "store", "sync", "transform", "workbench",
}  # fmt: skip
ELSEWHERE = [
    re.compile(rb"(?<![\w.])/(?:work|root)/[\w.]"),
    re.compile(rb"(?<![\w.])/home/[a-z][\w-]*/"),
    re.compile(rb"(?i)(?<!\w)--?(?:extra-)?index(?:-url)?[ =]+\S"),
    re.compile(rb"(?i)https?://[\w.:@-]+/(?:[\w-]+/)*simple\b"),
]


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git knows, or would after `git add`; none where this is not a checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    return tuple(path for name in names if (path := ROOT / name).is_file())


def test_the_top_level_is_where_a_newcomer_looks_for_it() -> None:
    for name in (
        "README.md",
        "Makefile",
        "pyproject.toml",
        "workspace.yaml",
        ".ci/run",
        "docs",
        "notebooks",
        "benchmarks",
    ):
        assert (ROOT / name).exists(), name
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == ROOMS
    assert (PACKAGE / "definitions.py").exists()


def test_every_module_says_first_what_it_is_for_and_stays_short() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8").removeprefix("# ruff: noqa: E501\n")
        assert not text or text.startswith('"""'), f"{path} has no docstring"
        if "catalogue" not in path.parts and "versions" not in path.parts:
            assert text.count("\n") < 400, f"{path} is too long to be about one thing"


def test_imports_run_one_way() -> None:
    command = str(Path(sys.executable).with_name("lint-imports"))
    checked = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_importing_the_definitions_loads_nothing_that_only_some_steps_need() -> None:
    heavy = "{'great_expectations', 'jupyterlab', 'altair', 'fhir.resources'}"
    code = f"import sys, holovitals_pipelines.definitions; print(sorted({heavy} & set(sys.modules)))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLOVITALS_")}
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert loaded.stdout.splitlines()[-1] == "[]"


def test_no_file_names_the_machine_it_was_written_on_or_a_package_index() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__).resolve() or path.suffix in (".png", ".zdict"):
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if any(pattern.search(line) for pattern in ELSEWHERE):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert found == []


def test_there_is_no_lock_file_that_names_an_index() -> None:
    assert not [path for path in tracked() if path.name in ("uv.lock", "poetry.lock", "Pipfile.lock")]


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / "requirements").glob("*.txt")))
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    joined = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", requirement), requirement[:80]
        assert "--hash=sha256:" in requirement, requirement[:80]


def test_the_locks_hold_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    declared = [re.split(r"[^A-Za-z0-9._-]", requirement)[0] for group in groups for requirement in group]
    locked = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").lower()
    pinned = set(re.findall(r"^([a-z0-9._-]+)(?:\[[\w,-]+\])?==", locked, re.MULTILINE))
    wanted = {name.lower().replace("_", "-").replace(".", "-") for name in declared}
    assert wanted and not wanted - {name.replace("_", "-").replace(".", "-") for name in pinned}


def test_ci_runs_the_tests_and_the_rules() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert re.search(r"^make test\b", script, re.MULTILINE) and re.search(r"^make lint\b", script, re.MULTILINE)
    assert "set -e" in script
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for rule in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert rule in makefile


def test_every_document_and_picture_that_is_named_exists() -> None:
    named = set()
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                named.add((path, (path.parent / target).resolve()))
    for path in PACKAGE.rglob("*"):
        if path.suffix in (".py", ".yaml"):
            for target in re.findall(r"\bdocs/[\w-]+\.md", path.read_text(encoding="utf-8")):
                named.add((path, ROOT / target))
    missing = sorted(f"{path.relative_to(ROOT)} → {target}" for path, target in named if not target.exists())
    assert missing == []
    assert any(path.name == "README.md" for path, _ in named), "the README leads somewhere"
