"""Which devices are erased at a yes, which only when their name is typed, and which never."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alma_image.media.devices import LARGEST_STICK, Device, device_from, objections
from alma_image.media.flash import confirm
from alma_runtime.errors import AlmaError

PATH = Path("/dev/sdx")


def listing(**changes: Any) -> str:
    """lsblk's JSON of an ordinary 32 GB stick, changed where a test says so."""
    device = {
        "name": "sdx", "path": "/dev/sdx", "type": "disk", "size": 32_010_928_128,
        "model": "Ultra Fit       ", "serial": "4C530001", "tran": "usb", "rm": True, "ro": False,
        "mountpoints": [None], "fstype": None, "label": None, "partlabel": None, "log-sec": 512,
    }  # fmt: skip
    return json.dumps({"blockdevices": [{**device, **changes}]})


def child(**changes: Any) -> list[dict[str, Any]]:
    part = {
        "path": "/dev/sdx1", "type": "part", "size": 1 << 30, "mountpoints": [None],
        "fstype": "vfat", "label": "FOTOS", "partlabel": None,
    }  # fmt: skip
    return [{**part, **changes}]


def a_device(**changes: Any) -> Device:
    return device_from(listing(**changes), PATH)


def test_nothing_speaks_against_an_ordinary_stick() -> None:
    assert objections(a_device(children=child()), stick=True) == []


SUSPICIOUS: list[dict[str, Any]] = [
    {"rm": False, "tran": "sata"},
    {"rm": False, "tran": "nvme"},
    {"rm": False, "tran": None},
    {"children": child(mountpoints=["/"])},
    {"children": child(mountpoints=["[SWAP]"])},
    {"children": child(mountpoints=["/media/fotos"])},
    {"children": child(fstype="crypto_LUKS", partlabel="home")},
    {"children": child(fstype="LVM2_member")},
    {"fstype": "linux_raid_member"},
    {"children": child(children=child(path="/dev/mapper/x", type="crypt", mountpoints=["/home"]))},
    {"size": LARGEST_STICK + 1},
]


@pytest.mark.parametrize("changes", SUSPICIOUS, ids=[str(c)[:60] for c in SUSPICIOUS])
def test_a_suspicious_device_is_erased_only_when_its_name_is_given(changes: dict[str, Any]) -> None:
    device = a_device(**changes)
    assert len(objections(device, stick=True)) == 1
    for typed in ("", "y", "yes", "sdy", "/dev/sdx"):
        with pytest.raises(AlmaError, match="/dev/sdx"):
            confirm(device, typed, stick=True)
    confirm(device, "sdx", stick=True)


def test_without_a_terminal_and_without_its_name_nothing_is_erased() -> None:
    with pytest.raises(AlmaError):
        confirm(a_device(), None, stick=True)


def test_a_stick_of_ours_may_be_made_again() -> None:
    ours = child(fstype="crypto_LUKS", partlabel="ALMA-SYS-A")
    assert objections(a_device(children=ours), stick=True) == []


def test_a_large_portable_disk_is_a_disk_and_no_stick() -> None:
    large = a_device(size=4_000_787_030_016)
    assert objections(large, stick=True)
    assert objections(large, stick=False) == []


def test_a_write_protected_device_is_refused_whatever_is_typed() -> None:
    with pytest.raises(AlmaError, match="/dev/sdx"):
        confirm(a_device(ro=True), "sdx", stick=True)


def test_a_partition_is_no_device() -> None:
    with pytest.raises(AlmaError, match="/dev/sdx"):
        device_from(listing(type="part"), PATH)


def test_a_person_sees_model_size_serial_and_content() -> None:
    text = "\n".join(a_device(children=child()).describe())
    for word in ("Ultra Fit", "32.0 GB", "4C530001", "usb", "FOTOS", "vfat"):
        assert word in text
