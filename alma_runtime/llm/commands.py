"""Commands of this room: `alma serve` and `alma doctor`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from alma_runtime.config import settings
from alma_runtime.i18n import _

PORT = 5000


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, help=_("port on 127.0.0.1"))
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=_("where to leave the key of this start"),
)
@click.pass_obj
def serve(root: Path, port: int, key_file: Path | None) -> None:
    """Run the language model behind an OpenAI-compatible server on this machine only."""
    from alma_runtime.llm.serve import serve as run_gateway

    run_gateway(settings(), root, port, key_file)


@click.command()
@click.option("--json", "as_json", is_flag=True, help=_("for programs"))
@click.pass_obj
def doctor(root: Path, as_json: bool) -> None:
    """Say what this machine can run and which model would be chosen."""
    from alma_runtime.llm.doctor import examine, lines
    from alma_runtime.llm.serve import surroundings

    found = settings()
    report = examine(surroundings(found, root, found.run_dir / "llm" / "engine"))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False, indent=1))
    else:
        click.echo("\n".join(lines(report)))


COMMANDS: list[click.Command] = [serve, doctor]
