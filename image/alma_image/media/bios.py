"""GRUB for legacy BIOS, put into place by patching instead of by running grub-bios-setup.

What util/setup.c of GRUB 2.12 does for a core image embedded in a BIOS boot partition: boot.img
learns the sector where the core image begins (GRUB_BOOT_MACHINE_KERNEL_SECTOR, 0x5c, 64 bits)
and loses its jump around the drive check (GRUB_BOOT_MACHINE_DRIVE_CHECK, 0x66: two NOPs, the
workaround for a BIOS that passes a wrong boot drive); the first sector of core.img (diskboot.img)
learns in its first block list (at 0x1f4) where its second sector lies. grub-mkimage has already
written the list's length, and its segment, 0x820, comes with diskboot.img.

The unpatched boot.img is kept in the partition's last sector, so that a stick can be held
against the manifest without a release at hand: a MBR alone no longer has all of its bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from alma_image.media.partitions import BIOS_BYTES
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

SECTOR = 512
KERNEL_SECTOR = 0x5C
DRIVE_CHECK = 0x66
JUMP = b"\xeb\x05"
NOPS = b"\x90\x90"
FIRST_LIST = 0x1F4
BLOCK_LIST = struct.Struct("<QHH")
UNPATCHED_START = 2
SEGMENT = 0x820


@dataclass(frozen=True)
class BiosBoot:
    """What a stick carries for legacy BIOS: 440 bytes for the MBR and the whole partition."""

    boot_code: bytes
    partition: bytes


def bios_boot(boot: bytes, core: bytes, start: int) -> BiosBoot:
    """Boot code and partition for a core image that begins at byte `start` of the medium.

    Raises:
        AlmaError: these are not the images of the GRUB that this code knows.
    """
    if len(boot) != SECTOR or boot[DRIVE_CHECK : DRIVE_CHECK + 2] != JUMP:
        raise AlmaError(_("boot.img is not the boot sector of a GRUB that is known here"))
    if len(core) < 2 * SECTOR or len(core) > BIOS_BYTES - SECTOR:
        raise AlmaError(_("core.img cannot have {size} bytes").format(size=len(core)))
    first, length, segment = BLOCK_LIST.unpack_from(core, FIRST_LIST)
    if (first, segment) != (UNPATCHED_START, SEGMENT) or length != -(-len(core) // SECTOR) - 1:
        raise AlmaError(_("core.img is not the core image of a GRUB that is known here"))
    sector = start // SECTOR
    code = bytearray(boot)
    struct.pack_into("<Q", code, KERNEL_SECTOR, sector)
    code[DRIVE_CHECK : DRIVE_CHECK + 2] = NOPS
    placed = bytearray(core)
    BLOCK_LIST.pack_into(placed, FIRST_LIST, sector + 1, length, segment)
    room = BIOS_BYTES - SECTOR
    return BiosBoot(bytes(code[:440]), bytes(placed).ljust(room, b"\0") + boot)


def unpatched(partition: bytes, core_size: int) -> tuple[bytes, bytes]:
    """boot.img and core.img as they were before `bios_boot`, to be held against the manifest."""
    core = bytearray(partition[:core_size])
    if core_size >= SECTOR:
        struct.pack_into("<Q", core, FIRST_LIST, UNPATCHED_START)
    return partition[BIOS_BYTES - SECTOR : BIOS_BYTES], bytes(core)
