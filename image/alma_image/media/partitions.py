"""Where things lie on a stick and on a disk: arithmetic only, nothing is read or written.

Everything is aligned to 1 MiB. The public bytes that differ from stick to stick (GUIDs, the FAT
serial) are derived from the UUID of the system volume, so that whoever knows it can rebuild them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

MIB = 1 << 20
BIOS_BYTES = MIB

TYPE_BIOS = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
TYPE_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
TYPE_ROOT = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
"""Root file system of x86-64, of the Discoverable Partitions Specification."""
TYPE_LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")

LABEL_BIOS = "ALMA-BIOS"
LABEL_ESP = "ALMA-ESP"
LABEL_SYSTEM = "ALMA-SYS-A"
LABEL_OTHER = "ALMA-SYS-B"
LABEL_KEEP = "ALMA-KEEP"
LABEL_DATA = "ALMA-DATA"


@dataclass(frozen=True)
class Partition:
    """One partition; start and size in bytes."""

    number: int
    label: str
    type: uuid.UUID
    guid: uuid.UUID
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class Layout:
    """A GPT: its own GUID, the size of the whole medium in bytes, and the partitions in order."""

    guid: uuid.UUID
    size: int
    partitions: tuple[Partition, ...]
    sector: int = 512

    def partition(self, label: str) -> Partition:
        """The partition of that name.

        Raises:
            KeyError: there is none.
        """
        for partition in self.partitions:
            if partition.label == label:
                return partition
        raise KeyError(label)

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Ranges (start, end) in bytes between the tables and the partitions: all zero."""
        edges = [table_end(self.sector)]
        for partition in self.partitions:
            edges += [partition.start, partition.end]
        edges.append(self.size - backup_bytes(self.sector))
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return tuple((start, end) for start, end in pairs if start < end)


def table_end(sector: int) -> int:
    """Bytes at the start that belong to the MBR, the GPT's header and its 128 entries."""
    return 2 * sector + 128 * 128


def backup_bytes(sector: int) -> int:
    """Bytes at the end that belong to the GPT's second copy."""
    return sector + 128 * 128


def aligned(size: int) -> int:
    """Bytes rounded up to whole MiB."""
    return -(-size // MIB) * MIB


def derived_guid(system_uuid: str, name: str) -> uuid.UUID:
    """A GUID that follows from the system volume's UUID and a partition's label."""
    return uuid.uuid5(uuid.UUID(system_uuid), name)


def fat_serial(system_uuid: str) -> str:
    """The ESP's volume serial, 8 hexadecimal digits."""
    return derived_guid(system_uuid, "fat").hex[:8]


def stick_layout(system_uuid: str, *, esp: int, system: int, keep: int, size: int = 0) -> Layout:
    """The five partitions of a stick.

    Args:
        esp, system, keep: bytes of the ESP, of each system slot, and at least of the keep.
        size: bytes of the whole medium, whose rest goes to the keep; 0 for no more than needed.

    Raises:
        AlmaError: the medium is too small; both numbers are in the message.
    """
    wanted = (
        (LABEL_BIOS, TYPE_BIOS, BIOS_BYTES),
        (LABEL_ESP, TYPE_ESP, aligned(esp)),
        (LABEL_SYSTEM, TYPE_ROOT, aligned(system)),
        (LABEL_OTHER, TYPE_ROOT, aligned(system)),
        (LABEL_KEEP, TYPE_LINUX, aligned(keep)),
    )
    return _layout(system_uuid, "stick", wanted, size, 512)


def disk_layout(data_uuid: str, *, data: int, size: int = 0, sector: int = 512) -> Layout:
    """The one partition of a disk; arguments as for `stick_layout`."""
    return _layout(data_uuid, "disk", ((LABEL_DATA, TYPE_LINUX, aligned(data)),), size, sector)


def _layout(
    seed: str, kind: str, wanted: tuple[tuple[str, uuid.UUID, int], ...], size: int, sector: int
) -> Layout:
    partitions: list[Partition] = []
    start = MIB
    for number, (label, type_, length) in enumerate(wanted, 1):
        partitions.append(Partition(number, label, type_, derived_guid(seed, label), start, length))
        start += length
    needed = start + MIB
    if size and size < needed:
        raise AlmaError(
            _("the medium is too small: it has {has} MiB and {needed} MiB are needed").format(
                has=size // MIB, needed=needed // MIB
            )
        )
    size = size or needed
    last = partitions[-1]
    end = (size - backup_bytes(sector)) // MIB * MIB
    partitions[-1] = replace(last, size=end - last.start)
    return Layout(derived_guid(seed, kind), size, tuple(partitions), sector)
