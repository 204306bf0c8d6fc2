"""The command starts at once: it imports a sub-command when that is called, and knows by heart what each says first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holovitals_pipelines.cli.app import Commands
from holovitals_pipelines.cli.on_demand import OnDemand

HEAVY = ["sqlalchemy", "pyarrow", "duckdb", "httpx", "pydantic", "numpy", "starlette", "joserfc", "yaml"]


def imported_by(*arguments: str, home: Path) -> set[str]:
    """What the command imports until it ends with exit code 0."""
    code = "import sys; from holovitals_pipelines.cli.app import main\n"
    code += "try: main()\nfinally: sys.stderr.write('\\n'.join(sys.modules))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLOVITALS_")}
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | {"HOLOVITALS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ended.stderr.splitlines())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_no_command_and_nothing_heavy(arguments: tuple[str, ...], tmp_path: Path) -> None:
    imported = imported_by(*arguments, home=tmp_path)
    assert "typer" in imported and not imported & set(HEAVY)
    assert not [
        name for name in imported if name.startswith("holovitals_pipelines.cli.") and name.endswith("_commands")
    ]


@pytest.mark.parametrize("declared", Commands.on_demand, ids=lambda command: command.name)
def test_the_line_in_the_list_of_commands_is_what_the_command_says_first(declared: OnDemand) -> None:
    command = declared.load()
    assert command.name == declared.name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == declared.help
    assert command.get_short_help_str() == declared.get_short_help_str(), "what completion shows"
    assert (command.short_help, command.hidden, command.deprecated) == (None, False, False), "the list shows these too"
