"""The program `alma`: it only gathers what the rooms offer, and turns known errors into sentences.

Rooms announce their commands in the entry-point group `alma.commands`: a list of click commands.
Groups of the same name are merged, so the builder can add `create` to the host's `disk`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import click

from alma_runtime import __version__
from alma_runtime.config import settings
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.tree import init_tree

GROUP = "alma.commands"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="alma")
@click.option("--root", type=click.Path(path_type=Path), help=_("the tree to work on"))
@click.pass_context
def alma(context: click.Context, root: Path | None) -> None:
    """ALMA: an offline assistant that travels on an encrypted disk."""
    context.obj = root or settings().root


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Make an empty ALMA_RESIST tree in FOLDER."""
    tree = init_tree(folder)
    click.echo(_("{path}: the tree is ready").format(path=tree.root))


def add_commands(group: click.Group, commands: Sequence[click.Command]) -> None:
    """Add commands to a group; a group that is already there takes in the other's members."""
    for command in commands:
        present = group.commands.get(command.name or "")
        if isinstance(present, click.Group) and isinstance(command, click.Group):
            add_commands(present, list(command.commands.values()))
        else:
            group.add_command(command)


def gather() -> click.Group:
    """The whole program: the ground floor's commands and those of every installed room."""
    add_commands(alma, [init])
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        add_commands(alma, entry.load())
    return alma


def main() -> None:
    """Entry point: known errors are one sentence on stderr and their exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        gather().main(standalone_mode=True)
    except AlmaError as error:
        click.echo(_("alma: {message}").format(message=error), err=True)
        sys.exit(error.status)


def _leave(number: int, _frame: object) -> None:
    """End by unwinding, so that whoever owns a child, a mount or a file takes it along."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
