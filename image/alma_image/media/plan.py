"""A medium as a plan: which bytes go where, independent of what they are written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alma_image.media import gpt
from alma_image.media.partitions import MIB, Layout
from alma_image.media.target import BLOCK


@dataclass(frozen=True)
class Extent:
    """Bytes, or a file's whole content, at an offset of the medium."""

    offset: int
    source: bytes | Path

    @property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Pieces of at most 1 MiB with their offsets on the medium."""
        if isinstance(self.source, bytes):
            for start in range(0, len(self.source), BLOCK):
                yield self.offset + start, self.source[start : start + BLOCK]
            return
        with self.source.open("rb") as stream:
            offset = self.offset
            while block := stream.read(BLOCK):
                yield offset, block
                offset += len(block)


@dataclass(frozen=True)
class Plan:
    """Everything about one medium.

    Args:
        content: what lies in the partitions.
        backup: the second copy of the partition table, at the medium's end.
        table: MBR and first copy; written last, so that half a medium never looks whole.
        blank: ranges (start, end) that must be zero, old signatures or not.
    """

    layout: Layout
    content: tuple[Extent, ...]
    backup: Extent
    table: Extent
    blank: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def data_bytes(self) -> int:
        """Bytes that are really written, without the blank ranges."""
        return sum(e.size for e in (*self.content, self.backup, self.table))


def plan_for(
    layout: Layout, contents: dict[str, tuple[Path | bytes, ...]], boot_code: bytes = b""
) -> Plan:
    """The plan of a layout.

    Args:
        contents: partition label → what lies in it, one after the other; rest untouched,
            except for both ends of each partition, where signatures of earlier tenants sit.
    """
    extents: list[Extent] = []
    blank = list(layout.gaps)
    for partition in layout.partitions:
        at = partition.start
        for source in contents.get(partition.label, ()):
            extent = Extent(at, source)
            extents.append(extent)
            at += extent.size
        if at > partition.end:
            raise ValueError(f"{partition.label}: {at - partition.end} bytes too many")
        blank += [(at, min(at + MIB, partition.end)), (max(at, partition.end - MIB), partition.end)]
    table = gpt.protective_mbr(layout, boot_code) + gpt.primary(layout)
    backup = gpt.backup(layout)
    return Plan(
        layout,
        tuple(extents),
        Extent(layout.size - len(backup), backup),
        Extent(0, table),
        merged(blank),
    )


def merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same ranges in order, without empty ones and overlaps."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)
