"""Where the tree ends up at boot, with real mounts in a namespace of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).with_name("attach_scenario.py")
KEY = os.urandom(64)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounts need root")


def boot(folder: Path, loop: str = "-", *answers: str) -> dict[str, Any]:
    alone = ["unshare", "--mount", "--propagation=private"]
    done = subprocess.run(
        [*alone, sys.executable, str(SCENARIO), str(folder), loop, *answers],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ALMA_LANG": "en"},
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["left"] is False
    assert said["again"] is True
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("mapper", "sys/class/block", "run"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def keep(folder: Path) -> Path:
    (folder / "keep/keys").mkdir(parents=True)
    return folder / "keep"


@pytest.fixture
def disk(folder: Path) -> Iterator[str]:
    """An ext4 on a loop device, announced as a partition called ALMA-DATA."""
    (folder / "secret").write_bytes(KEY)
    image = folder / "disk.img"
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", image], check=True)
    loop = subprocess.run(
        ["losetup", "-f", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    parent = folder / "sys/devices/sdb"
    (parent / "sdb1").mkdir(parents=True)
    (parent / "uevent").write_text("DEVNAME=sdb\n")
    (parent / "size").write_text("40960\n")
    (parent / "sdb1/uevent").write_text("DEVNAME=sdb1\nPARTNAME=ALMA-DATA\n")
    (parent / "sdb1/start").write_text("2048\n")
    (parent / "sdb1/size").write_text("32768\n")
    (folder / "sys/class/block/sdb1").symlink_to(parent / "sdb1")
    yield loop
    subprocess.run(["losetup", "-d", loop], check=True)


def test_without_disk_and_keep_it_is_in_ram(folder: Path) -> None:
    said = boot(folder)
    assert (said["node"], said["reason"]) == ("ram", "no disk is plugged in")
    assert said["kind"] == "tmpfs"
    assert (said["owner"], said["mode"]) == (8820, "0o2770")
    assert list((folder / "root").iterdir()) == []


def test_without_disk_the_keep_holds_it(folder: Path, keep: Path) -> None:
    said = boot(folder)
    assert said["node"] == "keep"
    assert (keep / "ALMA_RESIST/logs/written").read_text() == "x"
    assert {"noexec", "nosuid", "nodev"} <= set(said["options"][0].split(","))


def test_the_keeps_key_opens_the_disk_unasked(folder: Path, keep: Path, disk: str) -> None:
    (keep / "keys/a.key").write_bytes(b"the key of another disk")
    (keep / "keys/alma-data.key").write_bytes(KEY)
    said = boot(folder, disk)
    assert (said["node"], said["questions"], said["kind"]) == ("disk", 0, "ext2/ext3")
    assert {"noexec", "nosuid", "nodev", "noatime"} <= set(said["options"][0].split(","))


def test_what_was_written_is_there_at_the_next_boot(folder: Path, keep: Path, disk: str) -> None:
    (keep / "keys/alma-data.key").write_bytes(KEY)
    assert boot(folder, disk)["node"] == "disk"
    (folder / "run/node.json").unlink()
    assert boot(folder, disk)["node"] == "disk"
    done = subprocess.run(
        ["debugfs", "-R", "cat /logs/written", disk], check=True, capture_output=True
    )
    assert done.stdout == b"x"


def test_a_disk_without_its_key_asks(folder: Path, disk: str) -> None:
    (folder / "secret").write_bytes("contraseña".encode())
    said = boot(folder, disk, "otra", "contraseña")
    assert (said["node"], said["questions"]) == ("disk", 2)


@pytest.mark.parametrize(("answers", "asked"), [([""], 1), (["a", "b", "c", "d"], 3)])
def test_no_or_wrong_passphrase_goes_on_without_the_disk(
    folder: Path, keep: Path, disk: str, answers: list[str], asked: int
) -> None:
    said = boot(folder, disk, *answers)
    assert (said["node"], said["questions"]) == ("keep", asked)


def test_a_damaged_disk_is_left_alone(folder: Path, keep: Path, disk: str) -> None:
    (keep / "keys/alma-data.key").write_bytes(KEY)
    with Path(disk).open("r+b") as device:
        device.write(os.urandom(8 << 20))
    said = boot(folder, disk)
    assert said["node"] == "keep"
    assert "damaged" in said["reason"]


def test_a_tree_from_the_future_is_not_touched(folder: Path, keep: Path, disk: str) -> None:
    (keep / "keys/alma-data.key").write_bytes(KEY)
    boot(folder, disk)
    (folder / "run/node.json").unlink()
    mounted = folder / "mounted"
    mounted.mkdir()
    script = f"mount {disk} {mounted} && echo 99 > {mounted}/system/version"
    subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True)
    said = boot(folder, disk)
    assert said["node"] == "keep"
    assert "newer" in said["reason"]


def test_a_link_in_the_tree_leads_root_nowhere(folder: Path, keep: Path) -> None:
    target = folder / "elsewhere"
    target.mkdir()
    (keep / "ALMA_RESIST").mkdir()
    (keep / "ALMA_RESIST/logs").symlink_to(target)
    said = boot(folder)
    assert said["node"] == "ram"
    assert target.stat().st_uid == 0
