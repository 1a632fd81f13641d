"""ALMA's data disks: find them, open one, check its file system, mount it, and back again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from alma_runtime import volumes
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.host.machine import (
    DATA_LABEL,
    DATA_VOLUME,
    Machine,
    Partition,
    is_mounted,
    partitions_named,
    unfinished_usb_disks,
)
from alma_runtime.i18n import _

MOUNT_OPTIONS = "noatime,nodev,nosuid,noexec"
REPAIRED = 1
"""Highest exit status of e2fsck that means a sound file system."""
POLL_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 90.0
"""However slow the machine, a boot without its disk must go on some time."""


def wait_for_disks(
    machine: Machine, quiet_seconds: float, clock: Callable[[], float] = time.monotonic
) -> list[Partition]:
    """Data disks once there is one, or none once the USB bus has had nothing new for a while.

    A fixed delay is too short on a slow machine and too long on a fast one, so the wait counts
    from the last moment when a USB disk was still on its way.
    """
    machine.runner(["udevadm", "settle"], check=False)
    start = quiet_since = clock()
    while not (found := partitions_named(machine, DATA_LABEL)):
        now = clock()
        if unfinished_usb_disks(machine):
            quiet_since = now
        if now - quiet_since >= quiet_seconds or now - start >= LONGEST_WAIT_SECONDS:
            return []
        time.sleep(POLL_SECONDS)
    machine.runner(["udevadm", "settle"], check=False)
    return found


def keep_keys(machine: Machine) -> list[bytes]:
    """The keys of disks that the keep knows, in the order of their file names."""
    files = sorted((machine.keep / "keys").glob("*.key"))
    return [key for file in files if (key := file.read_bytes())]


def open_with_keys(machine: Machine, partition: Partition, keys: list[bytes]) -> bytes | None:
    """Open a disk with the first key that fits, and return that key; none when none fits."""
    for key in keys:
        try:
            volumes.open_volume(machine.runner, partition.device, DATA_VOLUME, key)
        except volumes.WrongSecret:
            continue
        return key
    return None


def mount_disk(machine: Machine) -> None:
    """Check the open disk's file system and mount it on the tree's place; close it if that fails.

    Raises:
        AlmaError: the file system is damaged beyond what may be mended unasked.
    """
    device = machine.mapper / DATA_VOLUME
    try:
        done = machine.runner(["e2fsck", "-p", device], check=False)
        if done.returncode > REPAIRED:
            raise AlmaError(
                _(
                    "the disk's file system is damaged and was left alone; "
                    "on your own machine, open it and run e2fsck on it"
                )
            )
        machine.root.mkdir(parents=True, exist_ok=True)
        machine.runner(["mount", "-t", "ext4", "-o", MOUNT_OPTIONS, device, machine.root])
    except AlmaError:
        volumes.close_volume(machine.runner, DATA_VOLUME)
        raise


def release_tree(machine: Machine) -> None:
    """Unmount the tree, whatever holds it, and close the disk if one was open.

    Raises:
        AlmaError: somebody is still using the tree.
    """
    if is_mounted(machine.root):
        try:
            machine.runner(["umount", machine.root])
        except ProgramFailed as error:
            raise AlmaError(
                _("{path} is still in use; leave its folders and end its programs").format(
                    path=machine.root
                )
            ) from error
    if (machine.mapper / DATA_VOLUME).exists():
        volumes.close_volume(machine.runner, DATA_VOLUME)


def data_partition(machine: Machine, device: Path | None) -> Path:
    """The volume to open: the device named, its ALMA-DATA partition, or the only one there is.

    Raises:
        AlmaError: there is none, or more than one and nobody said which.
    """
    found = partitions_named(machine, DATA_LABEL)
    if device is not None:
        inside = [p.device for p in found if p.disk == device.resolve()]
        return inside[0] if inside else device
    if len(found) == 1:
        return found[0].device
    if not found:
        raise AlmaError(_("no ALMA disk is plugged in (no partition called ALMA-DATA)"))
    raise AlmaError(
        _("there are several ALMA disks; say which: {devices}").format(
            devices=", ".join(str(p.device) for p in found)
        )
    )
