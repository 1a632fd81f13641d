"""Writing onto media that behave and media that do not; files stand for devices.

The stand-ins are honest: they take the same calls as a device and fail as devices fail.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alma_image.media import gpt
from alma_image.media.capacity import MARK, probe_capacity, probe_offsets
from alma_image.media.partitions import MIB, disk_layout
from alma_image.media.plan import Plan, plan_for
from alma_image.media.progress import progress_line
from alma_image.media.target import FdTarget, failing_in_words, open_target
from alma_image.media.writing import ignore, write_device, write_file_image
from alma_runtime.errors import AlmaError

SIZE = 64 * MIB
SEED = "0f8c3a56-41d6-4f7e-9f43-3a3f5d3d9a11"


def noise(count: int) -> bytes:
    return random.Random(count).randbytes(count)  # noqa: S311


def a_plan(size: int = SIZE) -> Plan:
    layout = disk_layout(SEED, data=20 * MIB, size=size)
    return plan_for(layout, {"ALMA-DATA": (noise(9 * MIB + 4096),)})


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[FdTarget]:
    """A medium with something old all over it."""
    path = tmp_path / "medium"
    path.write_bytes(b"OLD!" * (SIZE // 4))
    with open_target(path, write=True) as target:
        yield target


@dataclass
class Wrapping:
    """A stick that claims more than it has: addresses beyond the end start again at zero."""

    inner: FdTarget
    size: int
    real: int
    name: str = "/dev/fake"

    def write(self, offset: int, data: bytes) -> None:
        for start in range(0, len(data), 4096):
            self.inner.write((offset + start) % self.real, data[start : start + 4096])

    def read(self, offset: int, length: int) -> bytes:
        parts = (
            self.inner.read((offset + start) % self.real, min(4096, length - start))
            for start in range(0, length, 4096)
        )
        return b"".join(parts)

    def flush(self) -> None:
        self.inner.flush()


@dataclass
class Forgetting(Wrapping):
    """A stick that takes everything and keeps only what lies before its real end."""

    def write(self, offset: int, data: bytes) -> None:
        self.inner.write(offset, data[: max(0, self.real - offset)])

    def read(self, offset: int, length: int) -> bytes:
        kept = max(0, min(length, self.real - offset))
        return (self.inner.read(offset, kept) if kept else b"").ljust(length, b"\xff")


@dataclass
class Unplugged(Wrapping):
    """A stick that is pulled out after so many bytes."""

    left: int = 5 * MIB
    written: list[int] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        self.left -= len(data)
        with failing_in_words(self.name, offset):
            if self.left < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.written.append(offset)
        self.inner.write(offset, data)


def test_what_was_planned_is_on_the_medium_and_old_signatures_are_not(medium: FdTarget) -> None:
    plan = a_plan()
    write_device(medium, plan, ignore, ignore)
    place = plan.layout.partitions[0]
    assert medium.read(place.start, 9 * MIB + 4096) == noise(9 * MIB + 4096)
    assert gpt.read_table(medium.read(0, 1 << 16)) == plan.layout
    for start, end in plan.layout.gaps:
        assert not any(medium.read(start, end - start))
    assert not any(medium.read(place.end - MIB, MIB))


def test_blocks_without_data_are_not_written(medium: FdTarget) -> None:
    write_device(medium, a_plan(), ignore, ignore)
    assert medium.read(30 * MIB, 4) == b"OLD!"


def test_progress_counts_every_byte_once(medium: FdTarget) -> None:
    plan = a_plan()
    wrote: list[int] = []
    read: list[int] = []
    write_device(medium, plan, wrote.append, read.append)
    assert sum(wrote) == sum(read) == plan.data_bytes


@pytest.mark.parametrize("kind", [Wrapping, Forgetting])
@pytest.mark.parametrize("real", [32 * MIB, 16 * MIB, 4 * MIB])
def test_a_faked_capacity_is_found_before_anything_is_written(
    medium: FdTarget, kind: type[Wrapping], real: int
) -> None:
    with pytest.raises(AlmaError, match="/dev/fake"):
        probe_capacity(kind(medium, SIZE, real))


def test_a_true_capacity_passes_the_probe(medium: FdTarget) -> None:
    probe_capacity(medium)


@pytest.mark.parametrize("claimed", [8_000_000_000, 15_931_539_456, 1_000_204_886_016])
def test_the_probe_looks_at_both_ends_and_stays_small(claimed: int) -> None:
    offsets = probe_offsets(claimed)
    assert offsets[0] == 0
    assert claimed - 2 * MARK <= offsets[-1] <= claimed - MARK
    assert len(offsets) < 64


@pytest.mark.parametrize("kind", [Wrapping, Forgetting])
def test_a_fake_that_slipped_through_the_probe_fails_the_reading_back(
    medium: FdTarget, kind: type[Wrapping]
) -> None:
    fake = kind(medium, SIZE, 5 * MIB + 4096)
    with pytest.raises(AlmaError, match=r"\d{4,}"):
        write_device(fake, a_plan(), ignore, ignore)


def test_a_byte_that_comes_back_changed_is_a_failure_that_names_its_offset(
    medium: FdTarget,
) -> None:
    at = 3 * MIB + 12345

    @dataclass
    class Rotten(Wrapping):
        def read(self, offset: int, length: int) -> bytes:
            data = bytearray(self.inner.read(offset, length))
            if offset <= at < offset + length:
                data[at - offset] ^= 1
            return bytes(data)

    with pytest.raises(AlmaError, match=str(at)):
        write_device(Rotten(medium, SIZE, SIZE), a_plan(), ignore, ignore)


def test_a_stick_pulled_out_is_one_sentence_and_the_next_try_works(medium: FdTarget) -> None:
    plan = a_plan()
    with pytest.raises(AlmaError, match="/dev/fake"):
        write_device(Unplugged(medium, SIZE, SIZE), plan, ignore, ignore)
    # Half a medium never looks whole: it has no partition table.
    with pytest.raises(AlmaError):
        gpt.read_table(medium.read(0, 1 << 16))
    write_device(medium, plan, ignore, ignore)
    assert gpt.read_table(medium.read(0, 1 << 16)) == plan.layout


def test_the_boot_sector_is_the_last_thing_written(medium: FdTarget) -> None:
    watched = Unplugged(medium, SIZE, SIZE, left=SIZE)
    write_device(watched, a_plan(), ignore, ignore)
    assert watched.written[-1] == 0
    assert watched.written.count(0) == 2  # blanked first


def test_an_image_file_is_sparse_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    plan = a_plan()
    path = tmp_path / "disk.img"
    write_file_image(path, plan, ignore)
    assert path.stat().st_size == SIZE
    assert path.stat().st_blocks * 512 < 12 * MIB

    def interrupted(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file_image(tmp_path / "other.img", plan, interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["disk.img"]


def test_an_interrupted_image_leaves_the_older_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"older")

    def interrupted(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file_image(path, a_plan(), interrupted)
    assert path.read_bytes() == b"older"


def test_a_program_error_is_not_turned_into_a_sentence() -> None:
    with pytest.raises(OSError, match="Bad file"), failing_in_words("x", 0):
        os.pread(-1, 1, 0)


def test_progress_says_bytes_speed_and_time_left() -> None:
    line = progress_line("t", 50_000_000, 150_000_000, 5.0)
    assert "50.0" in line
    assert "150.0" in line
    assert "10.0 MB/s" in line
    assert "0:10" in line
