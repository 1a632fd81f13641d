"""Does a stick really have the room that it claims?

A faked stick answers to addresses that it does not have: what is written there is lost or lands
on other blocks. A few marked blocks tell: at zero, at the powers of two (and half way between
them), and at the end, written all together and then read back past the cache.
"""

from __future__ import annotations

import os

from alma_image.media.progress import human_size
from alma_image.media.target import Target
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

MARK = 4096
SMALLEST = 1 << 20


def probe_offsets(size: int) -> list[int]:
    """Where marks go on a medium of so many bytes, in ascending order."""
    last = (size - MARK) // MARK * MARK
    found = {0, last}
    power = SMALLEST
    while power < last:
        found |= {power, min(power + power // 2, last)}
        power *= 2
    return sorted(found)


def probe_capacity(target: Target) -> None:
    """Write marks, read them back. What was in those blocks is lost.

    Raises:
        AlmaError: a mark did not come back; says about how much room there really is.
    """
    nonce = os.urandom(MARK - 8)
    offsets = probe_offsets(target.size)
    for offset in offsets:
        target.write(offset, mark(nonce, offset))
    target.flush()
    lost = {o for o in offsets if target.read(o, MARK) != mark(nonce, o)}
    if lost:
        # A stick that wraps around loses the low marks, one that forgets loses the high ones.
        raise AlmaError(
            _(
                "{name} claims {size} but does not hold it: {lost} of {all} marked blocks did not "
                "come back (the first at byte {first}); its capacity is faked or it is failing"
            ).format(
                name=target.name,
                size=human_size(target.size),
                lost=len(lost),
                all=len(offsets),
                first=min(lost),
            )
        )
    for offset in offsets:
        target.write(offset, bytes(MARK))
    target.flush()


def mark(nonce: bytes, offset: int) -> bytes:
    """The content of the block at an offset."""
    return offset.to_bytes(8, "little") + nonce
