"""Every command explains itself to somebody who has never used it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from click import Command, Context, Group

from holovitals_pipelines.cli.app import app
from tests.cli.conftest import Run


def commands(group: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    if not isinstance(group, Group):
        yield path, group
        return
    for name in group.list_commands(Context(group)):
        _, command, _ = group.resolve_command(Context(group), [name])
        assert command is not None
        yield from commands(command, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    assert sorted(" ".join(path) for path, _ in COMMANDS) == [
        "anti-entropy",
        "audit export",
        "audit list",
        "audit show",
        "audit sign",
        "audit verify",
        "backup",
        "celery-worker",
        "conflicts approve",
        "conflicts list",
        "conflicts resolve",
        "conflicts revert",
        "conflicts reviewed",
        "conflicts show",
        "conflicts statistics",
        "conflicts withdraw",
        "connections keys",
        "connections list",
        "connections test",
        "demo",
        "doctor",
        "jobs cancel",
        "jobs create",
        "jobs list",
        "jobs retry",
        "jobs show",
        "jobs wait",
        "links add",
        "links create",
        "links end",
        "listen",
        "messages list",
        "messages replay",
        "messages show",
        "patients accept",
        "patients link",
        "patients list",
        "patients match",
        "patients proposals",
        "patients reject",
        "patients show",
        "patients unlink",
        "quality accept",
        "quality docs",
        "quality list",
        "quality run",
        "quarantine",
        "records attachments",
        "records content",
        "records create",
        "records delete",
        "records edit",
        "records find",
        "records history",
        "records links",
        "records list",
        "records restore",
        "records revert",
        "records show",
        "restore",
        "rules activate",
        "rules deactivate",
        "rules diff",
        "rules preview",
        "rules save",
        "rules schema",
        "rules show",
        "rules test",
        "rules validate",
        "rules versions",
        "sandbox",
        "serve",
        "standing",
        "stats",
        "sweep",
        "sync",
        "tokens create",
        "tokens list",
        "tokens revoke",
        "ui",
        "up",
        "webhooks delete",
        "webhooks event",
        "webhooks events",
        "webhooks list",
        "webhooks register",
        "webhooks replay",
        "webhooks retry",
        "webhooks rotate",
        "webhooks show",
        "webhooks statistics",
        "worker",
        "writeback",
    ]


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_says_in_a_sentence_what_it_does_and_explains_every_option(
    run: Run, path: tuple[str, ...], command: Command
) -> None:
    shown = run(*path, "--help")
    assert shown.exit_code == 0
    first = (command.help or "").split("\n\n")[0]
    assert first.rstrip("* ").endswith(".") and len(first) > 30, "the first paragraph is shown in the list of commands"
    for option in command.params:
        if option.param_type_name == "option":
            assert getattr(option, "help", None), f"{option.name} is not explained"


def test_commands_with_choices_teach_by_example(run: Run) -> None:
    for path in (("sync",), ("demo",), ("sandbox",), ("connections", "list")):
        examples = run(*path, "--help").stdout
        assert "holovitals " + path[0] in examples or "connections:" in examples


def test_without_arguments_the_help_is_shown_and_tells_a_newcomer_where_to_begin(run: Run) -> None:
    shown = run()
    assert "holovitals demo" in shown.output and "Usage" in shown.output


@pytest.mark.parametrize(
    "arguments", [("bogus",), ("sync", "--bogus"), ("jobs", "show"), ("jobs", "list", "--limit", "0")]
)
def test_misuse_ends_with_code_2_and_a_hint(run: Run, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert "--help" in ended.stderr and "Traceback" not in ended.output


def test_the_version_is_one_line(run: Run) -> None:
    ended = run("--version")
    assert ended.exit_code == 0 and ended.stdout.startswith("holovitals ") and ended.stdout.count("\n") == 1
