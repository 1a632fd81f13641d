"""What the kernel says about disks, from a folder laid out as sysfs is."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_runtime.errors import AlmaError
from alma_runtime.host import disks, grow
from alma_runtime.host.machine import (
    Machine,
    mapped_size,
    partition_under,
    partitions_named,
    unfinished_usb_disks,
)
from alma_runtime.run import Completed

MIB = 1 << 20


class FakeSysfs:
    """A sysfs on which a test plugs things in."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        (folder / "class/block").mkdir(parents=True)

    def disk(self, name: str, mib: int) -> None:
        self._node(self.root / "devices" / name, mib, f"DEVNAME={name}\nDEVTYPE=disk")

    def partition(self, disk: str, number: int, label: str, start: int, mib: int) -> None:
        folder = self.root / "devices" / disk / f"{disk}{number}"
        self._node(folder, mib, f"DEVNAME={disk}{number}\nPARTNAME={label}")
        (folder / "start").write_text(f"{start * 2048}\n")

    def volume(self, name: str, on: str, mib: int) -> None:
        folder = self.root / "devices" / "dm-0"
        self._node(folder, mib, "DEVNAME=dm-0")
        (folder / "dm").mkdir()
        (folder / "dm/name").write_text(f"{name}\n")
        (folder / "slaves").mkdir()
        (folder / "slaves" / on).symlink_to((self.root / "class/block" / on).resolve())

    def usb_storage(self, name: str, *, ready: bool) -> None:
        interface = self.root / "devices/usb" / name
        interface.mkdir(parents=True)
        (interface / "bInterfaceClass").write_text("08\n")
        if ready:
            (interface / "host2/target2:0:0/2:0:0:0/block/sdb").mkdir(parents=True)
        link = self.root / "bus/usb/devices" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(interface)

    def _node(self, folder: Path, mib: int, uevent: str) -> None:
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(f"{uevent}\n")
        (folder / "size").write_text(f"{mib * 2048}\n")
        (self.root / "class/block" / folder.name).symlink_to(folder)


class Recorder:
    """A runner that notes the commands; nothing is run."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, argv: list[object], **_options: object) -> Completed:
        self.commands.append([str(a) for a in argv])
        return Completed(0, b"", b"")

    @property
    def names(self) -> list[str]:
        return [" ".join(c[:2]) if c[0] == "cryptsetup" else c[0] for c in self.commands]


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    return FakeSysfs(tmp_path / "sys")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def machine(tmp_path: Path, sysfs: FakeSysfs, recorder: Recorder) -> Machine:
    (tmp_path / "cmdline").write_text("quiet\n")
    (tmp_path / "mapper").mkdir()
    return Machine(
        root=tmp_path / "root",
        keep=tmp_path / "keep",
        run_dir=tmp_path / "run",
        runner=recorder,
        sysfs=sysfs.root,
        mapper=tmp_path / "mapper",
        command_line=tmp_path / "cmdline",
    )


class TestFindingDisks:
    def test_by_the_label_alone(self, machine: Machine, sysfs: FakeSysfs) -> None:
        sysfs.disk("sda", 100)
        sysfs.partition("sda", 1, "Windows", 1, 99)
        sysfs.disk("sdb", 64)
        sysfs.partition("sdb", 1, "ALMA-DATA", 1, 62)
        (found,) = partitions_named(machine, "ALMA-DATA")
        assert found.device == Path("/dev/sdb1")
        assert (found.disk, found.disk_size) == (Path("/dev/sdb"), 64 * MIB)
        assert (found.start, found.size) == (MIB, 62 * MIB)

    def test_ends_at_once_when_the_usb_bus_is_quiet(self, machine: Machine) -> None:
        assert disks.wait_for_disks(machine, quiet_seconds=0) == []

    def test_a_disk_on_its_way_is_waited_for(self, machine: Machine, sysfs: FakeSysfs) -> None:
        sysfs.usb_storage("2-1:1.0", ready=True)
        sysfs.usb_storage("2-2:1.0", ready=False)
        assert unfinished_usb_disks(machine) == 1
        ticks = iter([0.0, 10.0, 20.0, disks.LONGEST_WAIT_SECONDS])
        assert disks.wait_for_disks(machine, quiet_seconds=1, clock=lambda: next(ticks)) == []
        assert list(ticks) == []

    def test_several_disks_need_a_name(self, machine: Machine, sysfs: FakeSysfs) -> None:
        for name in ("sdb", "sdc"):
            sysfs.disk(name, 64)
            sysfs.partition(name, 1, "ALMA-DATA", 1, 62)
        with pytest.raises(AlmaError, match="/dev/sdb1, /dev/sdc1"):
            disks.data_partition(machine, None)
        assert disks.data_partition(machine, Path("/dev/sdc")) == Path("/dev/sdc1")


class TestGrowing:
    def test_a_full_medium_only_has_its_file_system_looked_at(
        self, machine: Machine, sysfs: FakeSysfs, recorder: Recorder
    ) -> None:
        sysfs.disk("sdb", 64)
        sysfs.partition("sdb", 1, "ALMA-DATA", 1, 62)
        sysfs.volume("alma-data", "sdb1", 46)
        (partition,) = partitions_named(machine, "ALMA-DATA")
        grow.grow(machine, partition, "alma-data", b"key", "data.d")
        assert recorder.names == ["resize2fs"]

    def test_a_larger_medium_is_filled_in_order(
        self, machine: Machine, sysfs: FakeSysfs, recorder: Recorder
    ) -> None:
        sysfs.disk("sdb", 640)
        sysfs.partition("sdb", 1, "ALMA-DATA", 1, 62)
        sysfs.volume("alma-data", "sdb1", 46)
        (partition,) = partitions_named(machine, "ALMA-DATA")
        grow.grow(machine, partition, "alma-data", b"key", "data.d")
        assert recorder.names == ["systemd-repart", "cryptsetup resize", "resize2fs"]
        assert recorder.commands[0][-1] == "/dev/sdb"

    def test_what_a_power_cut_left_is_mended(
        self, machine: Machine, sysfs: FakeSysfs, recorder: Recorder
    ) -> None:
        sysfs.disk("sdb", 640)
        sysfs.partition("sdb", 1, "ALMA-DATA", 1, 638)
        sysfs.volume("alma-data", "sdb1", 46)
        (partition,) = partitions_named(machine, "ALMA-DATA")
        grow.grow(machine, partition, "alma-data", b"key", "data.d")
        assert recorder.names == ["cryptsetup resize", "resize2fs"]

    def test_the_keep_grows_with_the_key_behind_the_system(
        self, machine: Machine, sysfs: FakeSysfs, recorder: Recorder
    ) -> None:
        key = bytes(range(64))
        (machine.mapper / "alma-system").write_bytes(b"x" * 4096 + key + b"\0" * 512)
        machine.command_line.write_text(
            "rd.luks.options=A=read-only rd.luks.options=B=keyfile-offset=4096,keyfile-size=64,x\n"
        )
        sysfs.disk("sda", 640)
        sysfs.partition("sda", 5, "ALMA-KEEP", 300, 62)
        sysfs.volume("alma-keep", "sda5", 46)
        assert grow.keep_key(machine) == key
        grow.grow_keep(machine)
        assert recorder.names == ["systemd-repart", "cryptsetup resize", "resize2fs"]
        assert partition_under(machine, "alma-keep") is not None
        assert mapped_size(machine, "alma-keep") == 46 * MIB

    def test_nothing_happens_on_a_machine_without_a_keep(
        self, machine: Machine, recorder: Recorder
    ) -> None:
        grow.grow_keep(machine)
        assert recorder.commands == []
