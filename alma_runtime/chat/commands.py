"""Commands of this room: `alma chat` and `alma ask`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from alma_runtime.i18n import _

PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", type=PORT, default=5000, help=_("port of the model's server"))
@click.option("--plain", "--plano", is_flag=True, help=_("no colours, no cursor movement"))
@click.pass_obj
def chat(root: Path, port: int, plain: bool) -> None:
    """Talk with ALMA."""
    from alma_runtime.chat.start import chat as start

    start(root, port, plain=plain)


@click.command()
@click.option("--port", type=PORT, default=5000, help=_("port of the model's server"))
@click.argument("words", nargs=-1)
@click.pass_obj
def ask(root: Path, port: int, words: tuple[str, ...]) -> None:
    """Answer one question; what is piped in is added to it."""
    from alma_runtime.chat.start import ask as start

    piped = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode("utf-8", "replace")
    start(root, port, "\n\n".join(part for part in (" ".join(words), piped.strip()) if part))


COMMANDS: list[click.Command] = [chat, ask]
