"""A stick is made, is what the manifest says, and every byte that is changed is noticed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from alma_image.media.gpt import read_table
from alma_image.media.luks import HEADER_BYTES, Payload, open_payload, read_header
from alma_image.media.partitions import MIB, Partition
from alma_image.media.target import FdTarget, open_target
from alma_image.media.verify import Altered, verify_stick
from alma_runtime.errors import AlmaError, UsageRefused
from tests.integration.media.conftest import PASSPHRASE, SYSTEM_BYTES, World


def partition(path: Path, label: str) -> Partition:
    with path.open("rb") as stream:
        return read_table(stream.read(1 << 20)).partition(label)


def poke(path: Path, offset: int, data: bytes = b"\x5a") -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def payload_of(world: World, target: FdTarget, place: Partition, secret: bytes) -> Payload:
    header = world.folder / f"header.{place.label}"
    header.write_bytes(target.read(place.start, HEADER_BYTES))
    return open_payload(world.runner, header, secret, target, place.start, place.size)


def write_out(payload: Payload, size: int, path: Path) -> Path:
    with path.open("wb") as stream:
        for offset in range(0, size, MIB):
            stream.write(payload.read(offset, MIB))
    return path


def test_a_fresh_stick_verifies(world: World, stick_image: Path) -> None:
    done = world.alma("stick", "verify", stick_image, "--system", "--json")
    assert json.loads(done.stdout)["differences"] == []


def test_sfdisk_reads_the_table_as_it_is_meant(world: World, stick_image: Path) -> None:
    done = world.runner(["sfdisk", "--json", stick_image])
    table = json.loads(done.text)["partitiontable"]
    names = [p["name"] for p in table["partitions"]]
    assert names == ["ALMA-BIOS", "ALMA-ESP", "ALMA-SYS-A", "ALMA-SYS-B", "ALMA-KEEP"]
    assert "No errors" in world.runner(["sfdisk", "--verify", stick_image]).text


def test_the_image_file_is_sparse_and_private(stick_image: Path) -> None:
    status = stick_image.stat()
    assert status.st_blocks * 512 < status.st_size
    assert status.st_mode & 0o077 == 0


def test_the_passphrase_opens_the_system_and_its_key_opens_keep_and_disk(
    world: World, stick_image: Path, disk_image: Path, tmp_path: Path
) -> None:
    with open_target(stick_image) as stick:
        system_place = partition(stick_image, "ALMA-SYS-A")
        system = payload_of(world, stick, system_place, PASSPHRASE.encode())
        assert system.read(0, SYSTEM_BYTES) == (world.release / "system.img").read_bytes()
        keep_key = system.read(SYSTEM_BYTES, 64)
        keep_place = partition(stick_image, "ALMA-KEEP")
        keep = payload_of(world, stick, keep_place, keep_key)
        image = write_out(keep, 32 * MIB, world.folder / "keep.plain")
    world.runner(["e2fsck", "-f", "-n", image])
    listing = world.runner(["debugfs", "-R", "ls -l /ALMA_RESIST", image]).text
    assert listing.count(" 8820   8820 ") > 5
    key = world.folder / "disk.key"
    world.runner(["debugfs", "-R", f"dump /keys/alma-data.key {key}", image])
    with open_target(disk_image) as disk:
        data = payload_of(world, disk, partition(disk_image, "ALMA-DATA"), key.read_bytes())
        root = write_out(data, 128 * MIB, world.folder / "data.plain")
    world.runner(["e2fsck", "-f", "-n", root])
    assert "ALMA_LOADER" in world.runner(["debugfs", "-R", "ls /", root]).text
    # The key was never on the disk in plain: not in the image that held its placeholder either.
    assert key.read_bytes() not in stick_image.read_bytes()


def test_two_sticks_share_no_identity(world: World, stick_image: Path, tmp_path: Path) -> None:
    other = world.folder / "other.img"
    world.alma("stick", "create", other, "--release", world.release)
    with stick_image.open("rb") as a, other.open("rb") as b:
        one, two = read_table(a.read(MIB)), read_table(b.read(MIB))
    assert {p.guid for p in one.partitions}.isdisjoint(p.guid for p in two.partitions)
    assert one.guid != two.guid


# The whole public part, in pieces: what is named here is what the sentence must name.
PUBLIC = [
    ("boot code", 10, "MBR"),
    ("disk signature", 440, "MBR"),
    ("protective entry", 450, "MBR"),
    ("between MBR and partitions", 100_000, "byte 100000"),
]


@pytest.mark.parametrize(("what", "offset", "word"), PUBLIC, ids=[p[0] for p in PUBLIC])
def test_a_changed_byte_is_named(
    world: World, copy_of_stick: Path, what: str, offset: int, word: str
) -> None:
    poke(copy_of_stick, offset)
    done = world.alma("stick", "verify", copy_of_stick, status=1)
    assert word in done.stdout


@pytest.mark.parametrize("share", range(8))
def test_a_changed_byte_anywhere_on_the_boot_partition_is_noticed(
    world: World, copy_of_stick: Path, share: int
) -> None:
    place = partition(copy_of_stick, "ALMA-ESP")
    offset = place.start + place.size * share // 8 + 777
    before = os.pread((fd := os.open(copy_of_stick, os.O_RDONLY)), 1, offset)
    os.close(fd)
    poke(copy_of_stick, offset, bytes([before[0] ^ 1]))
    world.alma("stick", "verify", copy_of_stick, status=1)


@pytest.mark.parametrize("at", [0, 3, 0x1F4, 5000, 600_000, MIB - 512, MIB - 1])
def test_a_changed_byte_in_the_bios_partition_is_noticed(
    world: World, copy_of_stick: Path, at: int
) -> None:
    offset = partition(copy_of_stick, "ALMA-BIOS").start + at
    with copy_of_stick.open("rb") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
    poke(copy_of_stick, offset, bytes([byte ^ 0x80]))
    done = world.alma("stick", "verify", copy_of_stick, status=1)
    assert "ALMA-BIOS" in done.stdout or "BIOS" in done.stdout


def test_an_altered_file_is_named(world: World, copy_of_stick: Path) -> None:
    content = (world.release / "esp/alma/initrd.img").read_bytes()
    whole = copy_of_stick.read_bytes()
    poke(copy_of_stick, whole.index(content[:512]) + 5)
    done = world.alma("stick", "verify", copy_of_stick, status=1)
    assert "alma/initrd.img" in done.stdout


def test_a_file_that_does_not_belong_is_named(world: World, copy_of_stick: Path) -> None:
    # mcopy wants the image in a folder that the sandbox sees
    image = world.folder / "extra.img"
    copy_of_stick.replace(image)
    extra = world.folder / "extra.cfg"
    extra.write_text("insmod evil\n")
    at = partition(image, "ALMA-ESP").start
    world.runner(["mcopy", "-i", f"{image}@@{at}", extra, "::EFI/BOOT/extra.cfg"])
    done = world.alma("stick", "verify", image, status=1)
    assert "EFI/BOOT/extra.cfg" in done.stdout


def test_a_stick_config_that_runs_commands_is_refused(world: World, copy_of_stick: Path) -> None:
    whole = copy_of_stick.read_bytes()
    at = whole.index(b"set alma_keep=")
    poke(copy_of_stick, at, b"exit;     keep=")
    done = world.alma("stick", "verify", copy_of_stick, status=1)
    assert "stick.cfg" in done.stdout


def test_a_stick_that_somebody_else_signed_is_refused(
    world: World, stick_image: Path, tmp_path: Path
) -> None:
    from alma_image.release.signing import load_or_create_key, public_pem

    stranger = public_pem(load_or_create_key(tmp_path / "stranger"))
    with open_target(stick_image) as target, pytest.raises(Altered):
        verify_stick(world.runner, target, stranger, world.folder)


def test_an_altered_system_is_noticed_with_the_passphrase(
    world: World, copy_of_stick: Path
) -> None:
    with open_target(copy_of_stick) as target:
        place = partition(copy_of_stick, "ALMA-SYS-A")
        start = place.start + read_header(target, place.start, "").payload_offset
    poke(copy_of_stick, start + MIB)
    world.alma("stick", "verify", copy_of_stick)
    world.alma("stick", "verify", copy_of_stick, "--system", status=1)


def test_the_keep_may_grow_to_the_end_of_a_larger_medium(world: World, copy_of_stick: Path) -> None:
    image = world.folder / "grown.img"
    copy_of_stick.replace(image)
    os.truncate(image, image.stat().st_size + 64 * MIB)
    # libfdisk, the library of systemd-repart, moves the second table and grows the last partition
    world.runner(["sfdisk", "--no-reread", "-N", "5", image], stdin=b", +\n")
    grown = partition(image, "ALMA-KEEP")
    assert grown.size > 64 * MIB
    world.alma("stick", "verify", image)


def test_a_passphrase_in_the_command_line_is_refused(world: World, tmp_path: Path) -> None:
    for kind in ("stick", "disk"):
        target = tmp_path / "never.img"
        done = world.alma(kind, "create", target, "--passphrase", "abc", status=2)
        assert isinstance(done.exception, UsageRefused)
        assert "abc" not in str(done.exception)
        assert not target.exists()


def test_a_release_with_an_altered_file_makes_no_stick(
    world: World, tools: object, tmp_path: Path
) -> None:
    release = world.folder / "altered"
    shutil.copytree(world.release, release)
    poke(release / "esp/alma/vmlinuz", 7)
    target = tmp_path / "never.img"
    done = world.alma("stick", "create", target, "--release", release, status=1)
    assert "vmlinuz" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_said_beforehand_with_both_numbers(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Full(1 << 40, 1 << 40, 7 << 20))
    done = world.alma("stick", "create", tmp_path / "s.img", "--release", world.release, status=1)
    assert isinstance(done.exception, AlmaError)
    assert " 7 MiB" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
