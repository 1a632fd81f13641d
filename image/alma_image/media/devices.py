"""Block devices as a person sees them, and what speaks against erasing one.

The list is `lsblk --json` of the host: model, size, how it is connected, what is on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma_image.media.progress import human_size
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import Runner

COLUMNS = "NAME,PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RM,RO,MOUNTPOINTS,FSTYPE,LABEL,PARTLABEL,LOG-SEC"
ENCRYPTED_OR_POOLED = (
    "crypto_LUKS",
    "linux_raid_member",
    "isw_raid_member",
    "ddf_raid_member",
    "LVM2_member",
    "zfs_member",
    "bcache",
    "BitLocker",
    "drbd",
    "apfs",
)
LARGEST_STICK = 1_100_000_000_000
"""Sticks of 1 TB exist; what is larger is somebody's disk."""
OUR_LABELS = "ALMA-"
SYSTEM_MOUNTS = ("/", "/boot", "/boot/efi", "/usr", "/var", "/home", "[SWAP]")


@dataclass(frozen=True)
class Part:
    """What lies on a device or on one of its partitions; size in bytes."""

    path: str
    type: str
    size: int
    signature: str
    label: str
    partition_label: str
    mounts: tuple[str, ...]


@dataclass(frozen=True)
class Device:
    """A whole block device; `parts` begin with the device itself."""

    path: Path
    type: str
    size: int
    sector: int
    model: str
    serial: str
    transport: str
    removable: bool
    read_only: bool
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What a person types to confirm."""
        return self.path.name

    @property
    def mounts(self) -> tuple[str, ...]:
        return tuple(mount for part in self.parts for mount in part.mounts)

    def describe(self) -> Iterator[str]:
        """Lines for a person: what it is, and what is on it."""
        yield _("{path}: {model}, {size}, {transport}, serial {serial}").format(
            path=self.path,
            model=self.model or _("(no model name)"),
            size=human_size(self.size),
            transport=self.transport or _("(unknown connection)"),
            serial=self.serial or "-",
        )
        for part in self.parts:
            words = [part.signature, part.label, part.partition_label, *part.mounts]
            if any(words):
                what = " ".join(w for w in words if w)
                yield f"  {part.path}: {human_size(part.size)} {what}"


def look_at(host: Runner, path: Path) -> Device:
    """The device behind a path.

    Raises:
        AlmaError: lsblk does not know it, or it is a partition and not a whole device.
    """
    path = path.resolve()
    return device_from(host(["lsblk", "--json", "--bytes", "--output", COLUMNS, path]).text, path)


def device_from(listing: str, path: Path) -> Device:
    """A device from lsblk's JSON."""
    entries = json.loads(listing)["blockdevices"]
    if len(entries) != 1:
        raise AlmaError(_("{path}: this is not one block device").format(path=path))
    entry = entries[0]
    if entry["type"] == "part":
        raise AlmaError(
            _("{path} is a partition; name the whole device that it belongs to").format(path=path)
        )
    return Device(
        path=path,
        type=str(entry["type"]),
        size=int(entry["size"]),
        sector=int(entry["log-sec"]),
        model=(entry["model"] or "").strip(),
        serial=(entry["serial"] or "").strip(),
        transport=entry["tran"] or "",
        removable=bool(entry["rm"]) or entry["tran"] == "usb",
        read_only=bool(entry["ro"]),
        parts=tuple(_parts(entry)),
    )


def objections(device: Device, *, stick: bool) -> list[str]:
    """Every reason why this may be the wrong device; none of them for an ordinary stick.

    Args:
        stick: what is made is a stick, and no stick is larger than `LARGEST_STICK`.
    """
    found = []
    if any(mount in SYSTEM_MOUNTS for mount in device.mounts):
        found.append(_("it holds the system that is running now"))
    elif device.mounts:
        found.append(_("it is in use: mounted on {mounts}").format(mounts=", ".join(device.mounts)))
    if not device.removable:
        found.append(_("it is not removable: it may be the disk of this computer"))
    foreign = {p.signature for p in device.parts if _foreign(p)}
    if foreign:
        what = ", ".join(sorted(foreign))
        found.append(_("it holds something that is not ALMA's: {what}").format(what=what))
    if stick and device.size > LARGEST_STICK:
        found.append(_("no stick has {size}").format(size=human_size(device.size)))
    return found


def _foreign(part: Part) -> bool:
    ours = part.partition_label.startswith(OUR_LABELS)
    return part.signature in ENCRYPTED_OR_POOLED and not ours


def _parts(entry: dict[str, Any]) -> Iterator[Part]:
    yield Part(
        path=str(entry["path"]),
        type=str(entry["type"]),
        size=int(entry["size"] or 0),
        signature=entry["fstype"] or "",
        label=entry["label"] or "",
        partition_label=entry["partlabel"] or "",
        mounts=tuple(m for m in entry["mountpoints"] if m),
    )
    for child in entry.get("children", ()):
        yield from _parts(child)
