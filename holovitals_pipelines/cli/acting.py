"""Who acts on the command line: the name given, else the user the operating system knows."""

from __future__ import annotations

import getpass

import typer


def acting(actor: str | None) -> str:
    """Raises typer.BadParameter where the system has no name for the user, as in some containers."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):
        raise typer.BadParameter("the system has no name for you: say who acts", param_hint="--actor") from None
