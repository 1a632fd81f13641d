"""Carrying a plan out: into a new sparse file, or onto an open device with everything read back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from alma_image.media.plan import Extent, Plan
from alma_image.media.target import BLOCK, FdTarget, Reader, Target, failing_in_words
from alma_runtime.errors import AlmaError
from alma_runtime.files import replacing
from alma_runtime.i18n import _

Advance = Callable[[int], None]
SYNC_BYTES = 16 << 20
"""After so many bytes we wait for the medium, so that progress and errors tell the truth."""
FREE_RESERVE = 16 << 20


def write_file_image(path: Path, plan: Plan, advance: Advance) -> None:
    """A sparse image file that is whole or not there.

    Raises:
        AlmaError: not enough free space, or the folder cannot be written.
    """
    require_free(path.parent, plan.data_bytes)
    with failing_in_words(str(path), None), replacing(path, mode=0o600) as stream:
        os.ftruncate(stream.fileno(), plan.size)
        target = FdTarget(stream.fileno(), plan.size, str(path))
        for extent in (*plan.content, plan.backup, plan.table):
            for offset, block in extent.blocks():
                if block.count(0) != len(block):
                    target.write(offset, block)
                advance(len(block))


def write_device(target: Target, plan: Plan, writing: Advance, checking: Advance) -> None:
    """Blank, content, end of the table; read everything back; only then the table at the start.

    The end is written before the check on purpose: on a stick that lies about its size those
    blocks land on others, and the check then finds the others changed.

    Raises:
        AlmaError: the medium failed, or what comes back is not what was written (with offset).
    """
    blank_range(target, 0, plan.table.size, ignore)
    for start, end in plan.blank:
        blank_range(target, start, end, ignore)
    target.flush()
    data = (*plan.content, plan.backup)
    write_extents(target, data, writing)
    check_extents(target, data, checking)
    check_blank(target, plan.blank)
    write_extents(target, (plan.table,), writing)
    check_extents(target, (plan.table,), checking)


def write_extents(target: Target, extents: Iterable[Extent], advance: Advance) -> None:
    """Write and wait."""
    waiting = 0
    for extent in extents:
        for offset, block in extent.blocks():
            target.write(offset, block)
            waiting += len(block)
            if waiting >= SYNC_BYTES:
                target.flush()
                waiting = 0
            advance(len(block))
    target.flush()


def check_extents(target: Target, extents: Iterable[Extent], advance: Advance) -> None:
    """Read back and compare.

    Raises:
        AlmaError: the first difference, with its offset and both digests of the block.
    """
    for extent in extents:
        for offset, block in extent.blocks():
            found = target.read(offset, len(block))
            if found != block:
                raise AlmaError(
                    _(
                        "{name} gives back other bytes than were written, from byte {offset} on "
                        "(block of {size}: wrote {wrote}, read {read}); do not use this medium"
                    ).format(
                        name=target.name,
                        offset=offset + first_difference(block, found),
                        size=len(block),
                        wrote=hashlib.sha256(block).hexdigest()[:12],
                        read=hashlib.sha256(found).hexdigest()[:12],
                    )
                )
            advance(len(block))


def blank_range(target: Target, start: int, end: int, advance: Advance) -> None:
    """Overwrite with zeros."""
    for offset in range(start, end, BLOCK):
        length = min(BLOCK, end - offset)
        target.write(offset, bytes(length))
        advance(length)


def check_blank(target: Target, ranges: Iterable[tuple[int, int]]) -> None:
    """Raises AlmaError where a range is not zero after it was blanked."""
    for start, end in ranges:
        offset = first_nonzero(target, start, end)
        if offset is not None:
            raise AlmaError(
                _(
                    "{name} gives back other bytes than were written, from byte {offset} on "
                    "(it should be empty there); do not use this medium"
                ).format(name=target.name, offset=offset)
            )


def first_nonzero(source: Reader, start: int, end: int) -> int | None:
    """Offset of the first byte that is not zero, or None."""
    for offset in range(start, end, BLOCK):
        block = source.read(offset, min(BLOCK, end - offset))
        if block.count(0) != len(block):
            return offset + len(block) - len(block.lstrip(b"\0"))
    return None


def first_difference(one: bytes, other: bytes) -> int:
    """Index of the first byte in which two strings differ; they do differ."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


def require_free(folder: Path, needed: int) -> None:
    """Raises AlmaError with both numbers unless so many bytes are free in a folder."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        raise AlmaError(
            _("{path}: there is no such folder to write into").format(path=folder)
        ) from exc
    if free < needed + FREE_RESERVE:
        raise AlmaError(
            _("{path}: {needed} MiB are needed and {free} MiB are free").format(
                path=folder, needed=(needed + FREE_RESERVE) >> 20, free=free >> 20
            )
        )


def ignore(_count: int) -> None:
    """Progress that nobody watches."""
