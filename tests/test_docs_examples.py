"""README.md and docs: each block of code runs, or is checked against what it is an example of.

A block that another test runs is named in `RUN_ELSEWHERE` with that test. What is left is checked here: commands
against the command line there is, YAML and JSON against the models that read them, Python by what it imports. What
cannot be checked is in `NOT_OURS`, with the reason; what programs say is marked `text`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from pydantic import BaseModel

from holovitals_pipelines.api.shapes.jobs import NewJob
from holovitals_pipelines.cli.app import app
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.settings import ConnectionsFile, Settings
from holovitals_pipelines.transform.reading import read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.tables import shipped_tables

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<file>\S+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)

RUN_ELSEWHERE = {
    ("analysts.md", "python"): "tests/workbench/test_docs.py",
    ("api.md", "sh"): "tests/api/test_docs.py",
    ("api.md", "json"): "tests/api/test_docs.py",
    ("conflicts.md", "python"): "tests/sync/test_conflicts_page.py",
    ("conflicts.md", "yaml"): "tests/sync/test_conflicts_page.py",
    ("expressions.md", "yaml"): "tests/transform/test_expressions.py",
    ("expressions.md", "text"): "tests/transform/test_expressions.py",
    ("quality.md", "yaml"): "tests/quality/test_thresholds.py",
    ("rule-paths.md", "json"): "tests/transform/test_paths.py",
    ("rules.md", "yaml"): "tests/transform/test_rule_schema.py",
    ("rules.md", "json"): "tests/transform/test_rule_schema.py",
    ("rules.md", "python"): "tests/engine/test_rule_workbench.py",
    ("webhooks.md", "python"): "tests/engine/webhooks/test_handlers.py",
}
NOT_OURS = {
    ("cda.md", "json"): "an abridged record, with … for what is left out",
    ("jobs.md", "mermaid"): "a drawing; tests/store/test_jobs.py compares its moves with those there are",
    ("deploy.md", "ini"): "a unit of systemd, which is not here; its command is checked like any other",
    ("expressions.md", "python"): "two calls in the language of expressions, not in Python",
}
PROGRAMS = {
    ".", "cat", "cd", "cp", "curl", "docker", "export", "git", "jq", "jupytext", "kubectl", "openssl", "pg_dump",
    "printf", "pytest", "sed", "set", "sleep", "ssh-keygen", "systemctl", "unset", "wait",
}  # fmt: skip
"""Beside ours, `make` and `python`; another word at the beginning of a line is a mistake, or belongs here."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    kind: str
    text: str
    file: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        for found in BLOCK.finditer(page):
            line = page.count("\n", 0, found.start("text"))
            yield Block(path.name, line, found["kind"], found["text"], found["file"])


BLOCKS = list(blocks())
CHECKED_HERE = [one for one in BLOCKS if (one.page, one.kind) not in {**RUN_ELSEWHERE, **NOT_OURS}]


def of_kind(*kinds: str) -> list[Block]:
    return [one for one in CHECKED_HERE if one.kind in kinds and one.file is None]


def test_every_block_is_of_a_kind_that_is_run_or_checked() -> None:
    assert len(BLOCKS) > 120
    assert {one.kind for one in CHECKED_HERE if one.file is None} <= {"", "sh", "yaml", "json", "python", "text"}
    for page, kind in [*RUN_ELSEWHERE, *NOT_OURS]:
        assert any((one.page, one.kind) == (page, kind) for one in BLOCKS), f"{page} has no {kind} any more"
    for (page, _), test in RUN_ELSEWHERE.items():
        assert page in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not read {page}"


def test_every_page_is_on_the_map() -> None:
    named = set(re.findall(r"\]\(([\w-]+\.md)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - named == {"README.md"}


def test_lines_of_files_are_as_in_the_files() -> None:
    for block in BLOCKS:
        if block.file is not None and block.file != "run":
            held = (ROOT / "docs" / block.file).read_text(encoding="utf-8")
            assert block.text.strip() in held, f"{block}: {block.file} has other lines"


# commands


COMMANDS = typer.main.get_command(app)


def lines(text: str) -> Iterator[str]:
    """Commands as a shell takes them: lines that go on joined, comments and substitutions apart."""
    quoted = ""
    for line in text.replace("\\\n", " ").splitlines():
        quoted = f"{quoted}\n{line}" if quoted else line
        if quoted.count("'") % 2 == 0:
            yield quoted
            quoted = ""


def commands(text: str) -> Iterator[list[str]]:
    """Every simple command of a script, as words, without assignments, redirections and comments."""
    for line in lines(text):
        inner = re.findall(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", line)
        for part in inner:
            yield from commands(part)
        outer = re.sub(r"\$\(([^()]*(?:\([^()]*\)[^()]*)*)\)", "X", line)
        lexer = shlex.shlex(outer, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.commenters = ""
        found: list[str] = []
        for word in [*lexer, ";"]:
            if word.startswith("#"):
                break
            if set(word) <= set("|&;"):
                yield found
                found = []
            else:
                found.append(word)
        yield found


def simple(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0], re.DOTALL):
        words = words[1:]
    for number, word in enumerate(words):
        if set(word) <= set("<>"):
            return words[:number]
    return words


def require_holovitals(words: list[str]) -> None:
    """The words after `holovitals` are a command of ours with options and arguments that it has."""
    context, command = click.Context(COMMANDS), COMMANDS
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None and name is not None
        context, command = click.Context(found, parent=context, info_name=name), found
    if "--help" in words or (not words and isinstance(command, click.Group)):
        return
    words = [re.sub(r"^(N|NUMBER)$", "1", word) for word in words]
    command.make_context(context.info_name, list(words))


@pytest.mark.parametrize("block", of_kind("", "sh"), ids=str)
def test_commands_are_as_the_command_line_takes_them(block: Block) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in map(simple, commands(block.text)):
        if not words:
            continue
        program, *rest = words
        name = Path(program).name or program
        try:
            if name == "holovitals":
                require_holovitals(rest)
            elif name == "make":
                assert {word for word in rest if "=" not in word} <= set(targets)
            elif name == "python":
                if rest[0] == "-m":
                    assert importlib.util.find_spec(rest[1]) is not None
                elif rest[0].endswith(".py"):
                    assert (ROOT / rest[0]).exists()
            elif name == "jupyter":
                assert rest[0] in ("lab", "nbconvert")
            else:
                assert name in PROGRAMS or program.startswith("$"), "an unknown program"
        except (click.ClickException, AssertionError) as error:
            raise AssertionError(f"{block}: {' '.join(words)}: {error}") from None


INLINE = re.compile(r"`(?:HOLOVITALS_\w+=\S+ )?holovitals ([a-z][^`]*)`")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_in_sentences_exist_with_the_options_named(path: Path) -> None:
    page = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for said in INLINE.findall(page):
        words = said.replace("\n", " ").split()
        command: click.Command = COMMANDS
        context = click.Context(command)
        while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            name = words.pop(0)
            _, found, _ = command.resolve_command(context, [name])
            assert found is not None, f"{path.name}: holovitals {said}"
            context, command = click.Context(found, parent=context), found
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        named = {option for word in words for option in re.findall(r"(?:^|\[)(--[a-z-]+)", word)}
        assert named <= options | {"--help"}, f"{path.name}: holovitals {said}"


SETTING = re.compile(r"\bHOLOVITALS_[A-Z][A-Z_]*[A-Z]\b")
NOT_SETTINGS = {"HOLOVITALS_SECRET", "HOLOVITALS_API_EXAMPLES", "HOLOVITALS_OPERATOR"}
"""Beginnings of names that people choose, and a knob of the tests."""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    known = {f"HOLOVITALS_{name.upper()}" for name in Settings.model_fields}
    named = set(SETTING.findall(path.read_text(encoding="utf-8")))
    assert {name for name in named - known if not name.startswith(tuple(NOT_SETTINGS))} == set()


# declarations


def fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


def require_connection_part(declared: Mapping[str, Any]) -> None:
    """Members of a connection, without the rest of it."""
    assert set(declared) <= fields_of(ConnectionConfig)
    ConnectionConfig.model_validate({"name": "x", "provider": "fhir", "base_url": "https://x.example", **declared})


@pytest.mark.parametrize("block", of_kind("yaml"), ids=str)
def test_yaml_is_valid_for_what_reads_it(block: Block) -> None:
    declared = yaml.safe_load(block.text)
    if isinstance(declared, list):
        declared = {"connections": declared}
    if "ruleSet" in declared:
        read_rule_set(block.text, str(block), shipped_functions(), shipped_tables())
    elif "connections" in declared:
        known = [one for one in declared["connections"] if one["provider"] != "northwind"]
        ConnectionsFile.model_validate({"connections": known})  # northwind: tests/contract/test_eighth_vendor.py
    elif "scrape_configs" in declared:
        assert (ROOT / "deploy" / "prometheus" / declared["rule_files"][0]).exists()
    elif "ops" in declared:
        ((name, given),) = declared["ops"].items()
        assert name.endswith("_queued_job") and set(given["config"]) == {"job"}
    else:
        require_connection_part(declared)


@pytest.mark.parametrize("block", of_kind("json"), ids=str)
def test_json_is_json_and_a_request_is_one(block: Block) -> None:
    told = json.loads(block.text)
    if "direction" in told:
        NewJob.model_validate(told)


@pytest.mark.parametrize("block", of_kind("python"), ids=str)
def test_python_compiles_and_what_it_imports_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("holovitals_pipelines"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name), f"{block}: {node.module} has no {name.name}"
