"""`alma build`."""

from __future__ import annotations

from pathlib import Path

import click

from alma_image.profile import read_profile
from alma_image.release.build import build_release, update_lock
from alma_image.source import BUILD
from alma_runtime.i18n import _


def say(text: str) -> None:
    """Progress goes to stderr, one line a step."""
    click.echo(text, err=True)


@click.command()
@click.option("--profile", "name", default="portable", help=_("what to build (image/profiles)"))
@click.option("--out", type=click.Path(path_type=Path), help=_("where releases go"))
@click.option("--update-lock", "renew", is_flag=True, help=_("renew image/system.lock instead"))
def build(name: str, out: Path | None, renew: bool) -> None:
    """Build the release: system image, boot files, manifest, signature."""
    if renew:
        update_lock(say)
        return
    release = build_release(read_profile(name), out or BUILD / "release", say)
    say(_("release: {folder}").format(folder=release.folder))
    say(_("signed with the key {fingerprint}").format(fingerprint=release.fingerprint))


COMMANDS: list[click.Command] = [build]
