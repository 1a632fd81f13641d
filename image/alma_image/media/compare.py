"""The public bytes of a stick, made again and compared with what is on it.

Everything that is not a file follows from the manifest, the system volume's UUID and the keep's
end: MBR, both partition tables, the BIOS partition, the ESP, and the empty space between them.
Each function gives sentences about differences, and none where there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from alma_image.media import gpt
from alma_image.media.bios import bios_boot, unpatched
from alma_image.media.esp import make_esp
from alma_image.media.partitions import (
    LABEL_BIOS,
    LABEL_ESP,
    LABEL_KEEP,
    MIB,
    Layout,
    fat_serial,
    stick_layout,
)
from alma_image.media.stick import CORE_IMAGE, system_size
from alma_image.media.target import BLOCK, FdTarget
from alma_image.media.writing import first_difference, first_nonzero
from alma_image.release.manifest import Manifest
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import Runner


def expected_layout(found: Layout, manifest: Manifest, system_uuid: str) -> Layout:
    """As the stick was made; the keep may have grown, so its end is taken from the stick."""
    profile = manifest.profile
    layout = stick_layout(
        system_uuid, esp=profile.esp_mib * MIB, system=system_size(manifest), keep=MIB
    )
    last = layout.partitions[-1]
    keep = replace(last, size=found.partition(LABEL_KEEP).end - last.start)
    return replace(layout, size=found.size, partitions=(*layout.partitions[:-1], keep))


def compare_layout(found: Layout, expected: Layout) -> Iterator[str]:
    for partition in expected.partitions:
        if partition not in found.partitions:
            yield _("the entry of {label} in the partition table was altered").format(
                label=partition.label
            )
    if len(found.partitions) != len(expected.partitions):
        yield _("the partition table has {found} partitions instead of {expected}").format(
            found=len(found.partitions), expected=len(expected.partitions)
        )
    if found.guid != expected.guid:
        yield _("the partition table's own identifier was altered")


def compare_table(
    target: FdTarget, found: Layout, bios: bytes, manifest: Manifest
) -> Iterator[str]:
    """MBR, both tables and the BIOS partition, made again and compared byte by byte."""
    boot, core = unpatched(bios, manifest.files[CORE_IMAGE].size)
    at = found.partition(LABEL_BIOS).start
    try:
        made = bios_boot(boot, core, at)
    except AlmaError as exc:
        yield str(exc)
        return
    backup = gpt.backup(found)
    parts = (
        (_("the boot sector (MBR)"), 0, gpt.protective_mbr(found, made.boot_code)),
        (_("the partition table"), found.sector, gpt.primary(found)),
        (_("the partition table's second copy"), found.size - len(backup), backup),
        (_("the BIOS boot partition"), at, made.partition),
    )
    for what, offset, expected in parts:
        if offset + len(expected) > target.size:
            yield _("{what} lies beyond the end of the medium").format(what=what)
            continue
        actual = target.read(offset, len(expected))
        if actual != expected:
            yield _("{what} was altered, from byte {offset} on").format(
                what=what, offset=offset + first_difference(expected, actual)
            )


def compare_esp(
    tools: Runner,
    target: FdTarget,
    found: Layout,
    files: dict[str, Path],
    manifest: Manifest,
    system_uuid: str,
    work: Path,
) -> Iterator[str]:
    """The ESP made again from its own, already checked, files."""
    place = found.partition(LABEL_ESP)
    image = work / "esp.expected"
    serial = fat_serial(system_uuid)
    make_esp(tools, image, files, size=place.size, serial=serial, epoch=manifest.epoch)
    with image.open("rb") as expected, (work / "esp.found").open("rb") as actual:
        offset = place.start
        while block := expected.read(BLOCK):
            other = actual.read(BLOCK)
            if block != other:
                yield _(
                    "{label} has the right files, but other bytes beside them from byte {offset} on"
                ).format(label=LABEL_ESP, offset=offset + first_difference(block, other))
                return
            offset += len(block)


def unused_space(target: FdTarget, found: Layout) -> tuple[list[str], list[str]]:
    """Bytes between the partitions: differences before the keep, a note behind it."""
    differences: list[str] = []
    notes: list[str] = []
    for start, end in found.gaps:
        offset = first_nonzero(target, start, min(end, target.size))
        if offset is None:
            continue
        text = _("the unused space has something in it at byte {offset}").format(offset=offset)
        # Behind the keep, a stick that grew at first boot may show rests of its earlier life.
        (notes if start >= found.partition(LABEL_KEEP).end else differences).append(text)
    return differences, notes


def size_note(target: FdTarget, found: Layout) -> list[str]:
    if target.size == found.size:
        return []
    return [_("the medium is larger than its partition table says; it grows at first boot")]
