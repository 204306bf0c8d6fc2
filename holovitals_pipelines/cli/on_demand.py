"""Commands that are named and described at once, and imported when they are called.

Law: nothing of a command is imported to name it, to list it or to complete its name.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

import click
import typer
from typer.core import TyperGroup


class OnDemand(click.Command):
    """A command, or a group of them, by where it is in this package: `module:attribute`."""

    def __init__(self, name: str, source: str, help: str) -> None:
        super().__init__(name, help=help)
        self._source = source

    def load(self) -> click.Command:
        """The command itself, as Typer makes it of the function or the Typer that is there."""
        module, _, attribute = self._source.partition(":")
        target = getattr(import_module(f"{__package__}.{module}"), attribute)
        host = typer.Typer(rich_markup_mode="markdown")
        if isinstance(target, typer.Typer):
            host.add_typer(target, name=self.name)
        else:
            host.command(self.name)(target)
        return typer.main.get_group(host).commands[str(self.name)]


class OnDemandGroup(TyperGroup):
    """`get_command` answers with what is declared, `resolve_command` with what can be invoked."""

    on_demand: ClassVar[tuple[OnDemand, ...]] = ()

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in self.on_demand:
            self.add_command(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, OnDemand) else command, rest
