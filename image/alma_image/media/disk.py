"""The portable disk: one LUKS2 volume with an empty ALMA_RESIST tree; and its second key."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from alma_image.media import ext4
from alma_image.media.gpt import read_table
from alma_image.media.luks import HEADER_BYTES, read_header
from alma_image.media.partitions import LABEL_DATA, MIB, Partition, disk_layout, table_end
from alma_image.media.plan import Plan, plan_for
from alma_image.media.stick import KEY_BYTES, passphrase_kdf, tree_entries
from alma_image.media.target import FdTarget, Reader, open_target
from alma_image.media.writing import require_free
from alma_image.profile import Profile
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import RESERVE, Kdf, Runner, add_key, encrypt_image

FIRST_SIZE = 128 * MIB
"""The file system's first size; it grows to its partition when it is first opened."""
GROWS_TO = 1 << 43
JOURNAL_MIB = 32
SECTORS = (512, 4096)


def prepare_disk(
    tools: Runner, profile: Profile, passphrase: bytes, work: Path, *, size: int, sector: int = 512
) -> Plan:
    """Make the volume in an empty folder and say what goes where.

    Args:
        size: bytes of the whole medium; 0 takes the profile's.
        sector: logical sector of the medium in bytes.
    """
    require_free(work, FIRST_SIZE + RESERVE)
    volume_uuid = str(uuid.uuid4())
    layout = disk_layout(
        volume_uuid, data=FIRST_SIZE + RESERVE, size=size or profile.disk_mib * MIB, sector=sector
    )
    volume = work / "data.luks"
    ext4.make_ext4(
        tools,
        volume,
        size=FIRST_SIZE,
        label=LABEL_DATA,
        uuid=str(uuid.uuid4()),
        entries=tree_entries(""),
        grows_to=GROWS_TO,
        journal_mib=JOURNAL_MIB,
    )
    os.truncate(volume, FIRST_SIZE + RESERVE)
    encrypt_image(tools, volume, passphrase, passphrase_kdf(profile), volume_uuid)
    return plan_for(layout, {LABEL_DATA: (volume,)})


def data_partition(source: Reader, name: str) -> Partition:
    """The data partition of a disk, whatever its sector size.

    Raises:
        AlmaError: this is no ALMA disk.
    """
    head = source.read(0, table_end(max(SECTORS)))
    for sector in SECTORS:
        if head[sector : sector + 8] == b"EFI PART":
            for partition in read_table(head, sector).partitions:
                if partition.label == LABEL_DATA:
                    return partition
    raise AlmaError(_("{name} is not an ALMA disk: it has no partition {label}").format(
        name=name, label=LABEL_DATA))  # fmt: skip


def add_disk_key(tools: Runner, disk: Path, passphrase: bytes, work: Path) -> bytes:
    """Give a disk (image or device) one more key, of 64 random bytes, and return it.

    cryptsetup works on a copy of the header; the changed blocks are then written back, the key
    slots before the header that speaks of them, so that an interruption leaves the old state.

    Raises:
        AlmaError: no ALMA disk, or the passphrase does not open it.
    """
    key = os.urandom(KEY_BYTES)
    with open_target(disk, write=True) as target:
        start = data_partition(target, str(disk)).start
        read_header(target, start, str(disk))
        before = target.read(start, HEADER_BYTES)
        copy = work / "disk-header"
        copy.write_bytes(before)
        add_key(tools, copy, passphrase, key, Kdf.for_random_key())
        _write_header(target, start, before, copy.read_bytes())
        copy.unlink()
    return key


def _write_header(target: FdTarget, start: int, before: bytes, after: bytes) -> None:
    block = 4096
    areas = range(0x8000, HEADER_BYTES, block)
    second = range(0x4000, 0x8000, block)
    first = range(0, 0x4000, block)
    for part in (areas, second, first):
        for offset in part:
            changed = after[offset : offset + block]
            if changed != before[offset : offset + block]:
                target.write(start + offset, changed)
        target.flush()
