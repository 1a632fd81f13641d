"""The file of a day: one append and fsync per turn, one writer at a time.

Holds: what `append_turn` returned from is on the disk; complete turns are never changed; two
terminals do not interleave. A write that fails takes back what it wrote, so a full disk leaves no
torn turn; a power cut may, and the next append begins on a line of its own.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from alma_runtime.daylog.format import Turn, front_matter, parse, render
from alma_runtime.errors import AlmaError
from alma_runtime.files import append_durably, fsync_folder
from alma_runtime.i18n import _

MODE = 0o660


def new_anchor(when: datetime.datetime) -> str:
    """An anchor that no other turn has: the time, and 32 random bits."""
    return f"t-{when:%H%M%S}-{secrets.token_hex(4)}"


def append_turn(path: Path, turn: Turn, you: str = "Tú") -> None:
    """Write a turn at the end of the day's file, which is made if need be.

    Raises:
        AlmaError: it cannot be written (no room, read-only, unplugged); the file is as before.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as size:
            content = (_opening(path, turn.when.date(), size) + render(turn, you)).encode("utf-8")
            try:
                append_durably(path, content, MODE)
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(path, size)
                raise
            if size == 0:
                fsync_folder(path.parent)
    except OSError as exc:
        raise AlmaError(
            _("{path}: the conversation cannot be written: {reason}").format(
                path=path, reason=exc.strerror
            )
        ) from exc


def read_day(path: Path) -> list[Turn]:
    """The turns of a day's file; none where there is no file.

    Raises:
        AlmaError: it is there and cannot be read.
    """
    try:
        # A tear may have cut a character in two; complete turns are always sound UTF-8.
        return parse(path.read_bytes().decode("utf-8", "replace"))
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise AlmaError(
            _("{path}: the log cannot be read: {reason}").format(path=path, reason=exc.strerror)
        ) from exc


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file's size while nobody else of ours writes it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield os.fstat(fd).st_size
    finally:
        os.close(fd)


def _opening(path: Path, day: datetime.date, size: int) -> str:
    """What must stand between the end of the file and a turn's heading."""
    if size == 0:
        return front_matter(day)
    with path.open("rb") as stream:
        stream.seek(max(0, size - 2))
        end = stream.read(2)
    if end == b"\n\n":
        return ""
    return "\n" if end.endswith(b"\n") else "\n\n"
