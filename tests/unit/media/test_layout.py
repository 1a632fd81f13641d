"""Layouts are arithmetic, and the table's bytes are what libfdisk understands."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_image.media import gpt
from alma_image.media.bios import bios_boot, unpatched
from alma_image.media.partitions import (
    MIB,
    backup_bytes,
    disk_layout,
    stick_layout,
    table_end,
)
from alma_image.media.plan import merged
from alma_runtime.errors import AlmaError

SYSTEM = "0f8c3a56-41d6-4f7e-9f43-3a3f5d3d9a11"
sizes = st.integers(min_value=MIB, max_value=300 * MIB)


@given(esp=sizes, system=sizes, keep=sizes, extra=st.integers(0, 5000 * MIB))
def test_partitions_are_aligned_in_order_and_inside(
    esp: int, system: int, keep: int, extra: int
) -> None:
    least = stick_layout(SYSTEM, esp=esp, system=system, keep=keep)
    layout = stick_layout(SYSTEM, esp=esp, system=system, keep=keep, size=least.size + extra)
    edge = table_end(512)
    for partition in layout.partitions:
        assert partition.start % MIB == 0
        assert partition.size % MIB == 0
        assert partition.start >= edge
        edge = partition.end
    assert edge <= layout.size - backup_bytes(512)
    # Nothing larger than the alignment is wasted behind the keep.
    assert layout.size - backup_bytes(512) - edge < MIB
    assert layout.partition("ALMA-KEEP").size >= keep
    assert layout.partition("ALMA-SYS-A").size == layout.partition("ALMA-SYS-B").size


@given(esp=sizes, system=sizes, keep=sizes)
def test_a_table_is_read_back_as_it_was_written(esp: int, system: int, keep: int) -> None:
    layout = stick_layout(SYSTEM, esp=esp, system=system, keep=keep)
    assert gpt.read_table(gpt.protective_mbr(layout) + gpt.primary(layout)) == layout


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_disk_with_large_sectors_has_a_table_of_its_own_kind(sector: int) -> None:
    layout = disk_layout(SYSTEM, data=64 * MIB, size=1000 * MIB, sector=sector)
    head = gpt.protective_mbr(layout) + gpt.primary(layout)
    assert len(head) == table_end(sector)
    assert gpt.read_table(head, sector) == layout
    assert len(gpt.backup(layout)) == backup_bytes(sector)


def test_every_flipped_bit_of_the_table_is_refused_or_seen() -> None:
    layout = stick_layout(SYSTEM, esp=MIB, system=MIB, keep=MIB)
    head = gpt.protective_mbr(layout) + gpt.primary(layout)
    for offset in range(512, 512 + 92):
        changed = head[:offset] + bytes([head[offset] ^ 1]) + head[offset + 1 :]
        with pytest.raises(AlmaError):
            gpt.read_table(changed)


def test_a_medium_too_small_is_refused_with_both_numbers() -> None:
    with pytest.raises(AlmaError, match=r"10.*1(0[1-9]|[1-9]\d)"):
        stick_layout(SYSTEM, esp=33 * MIB, system=20 * MIB, keep=30 * MIB, size=10 * MIB)


def test_identifiers_follow_from_the_system_volume_alone() -> None:
    one = stick_layout(SYSTEM, esp=MIB, system=MIB, keep=MIB)
    assert one == stick_layout(SYSTEM, esp=MIB, system=MIB, keep=MIB)
    other = stick_layout(str(uuid.uuid4()), esp=MIB, system=MIB, keep=MIB)
    assert {p.guid for p in one.partitions}.isdisjoint(p.guid for p in other.partitions)


def core_image(sectors: int) -> bytes:
    """Bytes with a block list like grub-mkimage's; the real one is in the integration tests."""
    core = bytearray(b"c" * 512 * sectors)
    core[0x1F4:0x200] = (
        (2).to_bytes(8, "little") + (sectors - 1).to_bytes(2, "little") + b"\x20\x08"
    )
    return bytes(core)


def boot_image() -> bytes:
    boot = bytearray(b"b" * 512)
    boot[0x66:0x68] = b"\xeb\x05"
    return bytes(boot)


def test_bios_images_are_patched_for_their_place_and_can_be_unpatched() -> None:
    boot, core = boot_image(), core_image(100)
    made = bios_boot(boot, core, MIB)
    assert made.boot_code[0x5C:0x64] == (2048).to_bytes(8, "little")
    assert made.boot_code[0x66:0x68] == b"\x90\x90"
    assert made.partition[0x1F4:0x1FC] == (2049).to_bytes(8, "little")
    assert len(made.boot_code) == 440
    assert unpatched(made.partition, len(core)) == (boot, core)


def test_images_of_an_unknown_grub_are_refused() -> None:
    with pytest.raises(AlmaError):
        bios_boot(b"\0" * 512, core_image(100), MIB)
    with pytest.raises(AlmaError):
        bios_boot(boot_image(), b"\0" * 51200, MIB)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))))
def test_merged_ranges_cover_the_same_bytes_once(ranges: list[tuple[int, int]]) -> None:
    result = merged(ranges)
    covered = [b for start, end in result for b in range(start, end)]
    assert covered == sorted({b for start, end in ranges for b in range(start, end)})
