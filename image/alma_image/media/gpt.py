"""The GUID partition table as bytes, both ways (UEFI specification 2.10, chapter 5).

The bytes are exactly those that libfdisk writes (sfdisk, systemd-repart), the protective MBR
included, so that a table still compares equal after the last partition was grown on the stick.
"""

from __future__ import annotations

import struct
import uuid
import zlib

from alma_image.media.partitions import MIB, Layout, Partition, backup_bytes, table_end
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

ENTRIES = 128
ENTRY_BYTES = 128
FIRST_USABLE = MIB
HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
ENTRY = struct.Struct("<16s16sQQQ72s")
BOOT_CODE_BYTES = 440
MBR_TABLE = 446


def protective_mbr(layout: Layout, boot_code: bytes = b"") -> bytes:
    """Sector 0: up to 440 bytes of boot code and one partition that covers the whole medium."""
    sectors = min(layout.size // layout.sector - 1, 0xFFFFFFFF)
    record = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, sectors)
    mbr = boot_code[:BOOT_CODE_BYTES].ljust(MBR_TABLE, b"\0") + record.ljust(64, b"\0")
    return (mbr + b"\x55\xaa").ljust(layout.sector, b"\0")


def primary(layout: Layout) -> bytes:
    """What follows the MBR: header and entries."""
    return _header(layout, backup=False).ljust(layout.sector, b"\0") + _entries(layout)


def backup(layout: Layout) -> bytes:
    """The last bytes of the medium: entries and header."""
    return _entries(layout) + _header(layout, backup=True).ljust(layout.sector, b"\0")


def read_table(head: bytes, sector: int = 512) -> Layout:
    """The layout that a medium's first bytes describe.

    Args:
        head: at least `table_end(sector)` bytes from the medium's start.

    Raises:
        AlmaError: no GPT there, or a damaged one.
    """
    if len(head) < table_end(sector) or head[sector : sector + 8] != b"EFI PART":
        raise AlmaError(_("there is no GPT partition table on it"))
    fields = HEADER.unpack_from(head, sector)
    entries = head[2 * sector : table_end(sector)]
    plain = _checksummed(head[sector : sector + HEADER.size])
    if plain != head[sector : sector + HEADER.size] or fields[13] != zlib.crc32(entries):
        raise AlmaError(_("its partition table is damaged (checksum)"))
    if (fields[11], fields[12]) != (ENTRIES, ENTRY_BYTES):
        raise AlmaError(_("its partition table is not one that ALMA writes"))
    partitions = []
    for number in range(ENTRIES):
        type_, guid, first, last, _flags, name = ENTRY.unpack_from(entries, number * ENTRY_BYTES)
        if any(type_):
            partitions.append(
                Partition(
                    number + 1,
                    name.decode("utf-16-le", "replace").rstrip("\0"),
                    uuid.UUID(bytes_le=type_),
                    uuid.UUID(bytes_le=guid),
                    first * sector,
                    (last - first + 1) * sector,
                )
            )
    size = (fields[6] + 1) * sector
    return Layout(uuid.UUID(bytes_le=fields[9]), size, tuple(partitions), sector)


def _entries(layout: Layout) -> bytes:
    table = bytearray(ENTRIES * ENTRY_BYTES)
    for partition in layout.partitions:
        ENTRY.pack_into(
            table,
            (partition.number - 1) * ENTRY_BYTES,
            partition.type.bytes_le,
            partition.guid.bytes_le,
            partition.start // layout.sector,
            partition.end // layout.sector - 1,
            0,
            partition.label.encode("utf-16-le"),
        )
    return bytes(table)


def _header(layout: Layout, *, backup: bool) -> bytes:
    last = layout.size // layout.sector - 1
    entries_sectors = ENTRIES * ENTRY_BYTES // layout.sector
    return _checksummed(
        HEADER.pack(
            b"EFI PART",
            b"\0\0\1\0",
            HEADER.size,
            0,
            0,
            last if backup else 1,
            1 if backup else last,
            FIRST_USABLE // layout.sector,
            (layout.size - backup_bytes(layout.sector)) // layout.sector - 1,
            layout.guid.bytes_le,
            last - entries_sectors if backup else 2,
            ENTRIES,
            ENTRY_BYTES,
            zlib.crc32(_entries(layout)),
        )
    )


def _checksummed(header: bytes) -> bytes:
    """The header with its own CRC, which is computed over the header with a CRC of zero."""
    blank = header[:16] + b"\0\0\0\0" + header[20:]
    return header[:16] + struct.pack("<I", zlib.crc32(blank)) + header[20:]
