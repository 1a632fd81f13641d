"""A line that says how far long work is: bytes, speed, time left. Quiet when not a terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TextIO

import click

from alma_runtime.i18n import _

REDRAW_SECONDS = 0.25


@dataclass
class Progress:
    """Counts bytes of one task and redraws one terminal line.

    Args:
        stream: where to; nothing is shown unless it is a terminal.
    """

    title: str
    total: int
    stream: TextIO
    done: int = 0
    _started: float = field(default_factory=time.monotonic)
    _drawn: float = 0.0

    def advance(self, count: int) -> None:
        """So many more bytes are done."""
        self.done += count
        now = time.monotonic()
        if self.stream.isatty() and (now - self._drawn > REDRAW_SECONDS or self.done >= self.total):
            self._drawn = now
            ending = "\n" if self.done >= self.total else ""
            line = progress_line(self.title, self.done, self.total, now - self._started)
            click.echo(f"\r{line}\x1b[K{ending}", file=self.stream, nl=False)


def progress_line(title: str, done: int, total: int, seconds: float) -> str:
    """`writing 120.0 of 350.0 MB, 24.1 MB/s, 0:10 left`."""
    speed = done / seconds if seconds > 0 else 0.0
    left = (total - done) / speed if speed > 0 else 0.0
    return _("{title}: {done:.1f} of {total:.1f} MB, {speed:.1f} MB/s, {left} left").format(
        title=title,
        done=done / 1e6,
        total=total / 1e6,
        speed=speed / 1e6,
        left=f"{int(left) // 60}:{int(left) % 60:02d}",
    )


def human_size(size: int) -> str:
    """Decimal units, as printed on the packaging of sticks and disks."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
