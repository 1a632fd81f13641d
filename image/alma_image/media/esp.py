"""The EFI system partition: a FAT32 image whose bytes follow from its files, serial and time.

Files go in sorted by path with one fixed time (mtools obeys SOURCE_DATE_EPOCH), so whoever has
the same files can make the same image and compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from alma_image.media.partitions import LABEL_ESP, MIB
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import Runner

CLUSTER_SECTORS = 1
"""FAT32 needs 65525 clusters: with 512-byte clusters that is a partition of 33 MiB or more."""


def make_esp(
    tools: Runner, image: Path, files: Mapping[str, Path], *, size: int, serial: str, epoch: int
) -> None:
    """Make the image.

    Args:
        files: path on the partition (`EFI/BOOT/BOOTX64.EFI`) → file with the content.
        size: bytes of the partition.
        serial: 8 hexadecimal digits.
        epoch: seconds since 1970 for every time stamp.

    Raises:
        AlmaError: the files do not fit; both numbers are in the message.
    """
    needed = sum(path.stat().st_size for path in files.values())
    needed += size // 64 + MIB  # two FATs of four bytes for every cluster, and the folders
    if needed > size:
        raise AlmaError(
            _("the boot partition is too small: {has} MiB, and {needed} MiB are needed").format(
                has=size // MIB, needed=-(-needed // MIB)
            )
        )
    image.unlink(missing_ok=True)
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC"}
    tools(
        [
            "mkfs.vfat",
            "-C",
            "-F",
            "32",
            "-s",
            str(CLUSTER_SECTORS),
            "--invariant",
            "-i",
            serial,
            "-n",
            LABEL_ESP,
            image.absolute(),
            str(size // 1024),
        ],
        env=env,
    )
    folders = sorted({str(p) for name in files for p in PurePosixPath(name).parents} - {"."})
    if folders:
        tools(["mmd", "-i", image.absolute(), *(f"::{folder}" for folder in folders)], env=env)
    for name in sorted(files):
        tools(["mcopy", "-i", image.absolute(), files[name].absolute(), f"::{name}"], env=env)


def list_files(tools: Runner, image: Path) -> list[str]:
    """Every file in a FAT image, sorted.

    Raises:
        ProgramFailed: it is no FAT file system, or a broken one.
    """
    listing = tools(["mdir", "-/", "-b", "-a", "-i", image.absolute(), "::"]).text
    names = (line.removeprefix("::").lstrip("/") for line in listing.splitlines())
    return sorted(name for name in names if name and not name.endswith("/"))


def extract(tools: Runner, image: Path, name: str, destination: Path) -> None:
    """Copy one file out of a FAT image.

    Raises:
        ProgramFailed: it is not there, or cannot be read.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    tools(["mcopy", "-n", "-i", image.absolute(), f"::{name}", destination.absolute()])
