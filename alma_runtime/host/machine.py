"""The machine around us: its edges as one value, and what the kernel says about its disks.

Partitions are found by the names that the kernel publishes in sysfs (`PARTNAME` in a partition's
`uevent`), so that nothing is read from the disks of a borrowed machine, and no cache or
link of udev can be out of date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from alma_runtime import run, volumes
from alma_runtime.config import settings
from alma_runtime.volumes import Runner

DATA_LABEL = "ALMA-DATA"
DATA_VOLUME = "alma-data"
KEEP_VOLUME = "alma-keep"
SYSTEM_VOLUME = "alma-system"
OCTAL = re.compile(r"\\([0-7]{3})")
SECTOR = 512
"""Unit of every size in sysfs, whatever the disk's own sectors are."""


@dataclass(frozen=True)
class Machine:
    """Where things are on this machine, and how programs are run on it."""

    root: Path
    keep: Path
    run_dir: Path
    runner: Runner = run.run
    sysfs: Path = Path("/sys")
    dev: Path = Path("/dev")
    mapper: Path = volumes.MAPPER
    command_line: Path = Path("/proc/cmdline")
    growth: Path = Path("/usr/lib/alma/repart")
    """Folder of systemd-repart's definitions: `keep.d` and `data.d`."""
    owner: int = 8820
    """Number of the user and the group `alma`, to whom the tree belongs on the appliance."""


@dataclass(frozen=True)
class Partition:
    """One partition; sizes in bytes."""

    device: Path
    start: int
    size: int
    disk: Path
    disk_size: int


def this_machine(root: Path | None = None) -> Machine:
    """The real one, with the folders of the settings."""
    known = settings()
    return Machine(root=root or known.root, keep=known.keep_dir, run_dir=known.run_dir)


def partitions_named(machine: Machine, label: str) -> list[Partition]:
    """Every partition with this GPT label, in the order of their device names."""
    found = []
    for folder in sorted((machine.sysfs / "class" / "block").glob("*")):
        if _variables(folder / "uevent").get("PARTNAME") == label:
            partition = _partition(machine, folder.resolve())
            if partition is not None:
                found.append(partition)
    return found


def mapped_size(machine: Machine, volume: str) -> int | None:
    """Bytes of an open volume; none when it is not open."""
    folder = _mapped(machine, volume)
    return None if folder is None else int(_text(folder / "size") or 0) * SECTOR


def partition_under(machine: Machine, volume: str) -> Partition | None:
    """The partition that an open volume lies on."""
    folder = _mapped(machine, volume)
    below = [] if folder is None else sorted((folder / "slaves").glob("*"))
    return _partition(machine, below[0].resolve()) if len(below) == 1 else None


def is_mounted(place: Path) -> bool:
    """Is something mounted exactly there? `Path.is_mount` overlooks bind mounts of one volume."""
    wanted = str(place.resolve())
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    # proc_pid_mountinfo(5): field 5 is the mount point; space, tab, newline and \ are octal
    return any(OCTAL.sub(lambda m: chr(int(m[1], 8)), line.split()[4]) == wanted for line in lines)


def _mapped(machine: Machine, volume: str) -> Path | None:
    for name in (machine.sysfs / "class" / "block").glob("dm-*/dm/name"):
        if _text(name) == volume:
            return name.parent.parent
    return None


def unfinished_usb_disks(machine: Machine) -> int:
    """USB storage interfaces (class 08) whose block device has not appeared yet."""
    interfaces = (machine.sysfs / "bus" / "usb" / "devices").glob("*/bInterfaceClass")
    storage = [i.parent.resolve() for i in interfaces if _text(i) == "08"]
    return sum(1 for folder in storage if not any(folder.glob("host*/target*/*/block/*")))


def _partition(machine: Machine, folder: Path) -> Partition | None:
    try:
        return Partition(
            device=machine.dev / _variables(folder / "uevent")["DEVNAME"],
            start=int(_text(folder / "start")) * SECTOR,
            size=int(_text(folder / "size")) * SECTOR,
            disk=machine.dev / _variables(folder.parent / "uevent")["DEVNAME"],
            disk_size=int(_text(folder.parent / "size")) * SECTOR,
        )
    except (KeyError, ValueError):
        return None  # unplugged while we were reading


def _variables(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in _text(path).splitlines())
    return {name: value for name, sign, value in lines if sign}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
