"""Commands of the builder."""

from __future__ import annotations

import click

from alma_image.emulate.commands import COMMANDS as EMULATE
from alma_image.media.commands import COMMANDS as MEDIA
from alma_image.release.commands import COMMANDS as RELEASE

COMMANDS: list[click.Command] = [*RELEASE, *MEDIA, *EMULATE]
