"""The last partition grows to the end of its medium, its volume and file system with it.

Three steps, each only where something is missing, each harmless to repeat: a power cut between
two of them is mended at the next boot. Media are made as small as their content, and people write
them onto sticks and disks of any size.
"""

from __future__ import annotations

import re
from pathlib import Path

from alma_runtime import volumes
from alma_runtime.host.machine import (
    KEEP_VOLUME,
    SYSTEM_VOLUME,
    Machine,
    Partition,
    mapped_size,
    partition_under,
)

WORTH_IT = 8 << 20
"""Bytes: less than this is alignment and the table's second copy, not room."""
HEADER = volumes.PAYLOAD_OFFSET
KEY_PLACE = re.compile(r"keyfile-offset=(\d+),keyfile-size=(\d+)")


def grow(machine: Machine, partition: Partition, volume: str, secret: bytes, rules: str) -> None:
    """Let an open volume fill its medium; its file system may be mounted.

    Args:
        secret: a key of the volume: the kernel keeps none that cryptsetup could use.
        rules: which definitions of systemd-repart apply (`keep.d` or `data.d`).

    Raises:
        AlmaError: a step was refused; what had grown stays grown.
    """
    size = partition.size
    if partition.disk_size - (partition.start + partition.size) >= WORTH_IT:
        machine.runner(
            [
                "systemd-repart",
                "--dry-run=no",
                f"--definitions={machine.growth / rules}",
                partition.disk,
            ]
        )
        size = partition.disk_size - partition.start
    mapped = mapped_size(machine, volume)
    if mapped is None:
        return
    if size - HEADER - mapped >= WORTH_IT:
        volumes.grow_volume(machine.runner, volume, secret)
    machine.runner(["resize2fs", machine.mapper / volume])  # says "nothing to do" when that is so


def grow_keep(machine: Machine) -> None:
    """Let the stick's keep fill the stick, with the key that opened it at boot.

    Raises:
        AlmaError: as `grow`.
    """
    partition = partition_under(machine, KEEP_VOLUME)
    key = keep_key(machine)
    if partition is not None and key is not None:  # else: not booted from a stick
        grow(machine, partition, KEEP_VOLUME, key, "keep.d")


def keep_key(machine: Machine) -> bytes | None:
    """The keep's key, from behind the system image, where the kernel command line says."""
    place = KEY_PLACE.search(machine.command_line.read_text(encoding="utf-8", errors="replace"))
    system = machine.mapper / SYSTEM_VOLUME
    if place is None or not system.exists():
        return None
    return _read(system, int(place.group(1)), int(place.group(2)))


def _read(device: Path, offset: int, size: int) -> bytes | None:
    with device.open("rb") as stream:
        stream.seek(offset)
        content = stream.read(size)
    return content if len(content) == size else None
