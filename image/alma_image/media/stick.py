"""A stick made from a release and a passphrase: work files, then a plan.

No secret is ever in a plain file: the volumes are encrypted with placeholders in them, and the
keep's key and the disk's key are written into the encrypted payload afterwards.
"""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from alma_image.media import ext4
from alma_image.media.bios import bios_boot
from alma_image.media.esp import make_esp
from alma_image.media.luks import open_payload
from alma_image.media.partitions import (
    LABEL_BIOS,
    LABEL_ESP,
    LABEL_KEEP,
    LABEL_SYSTEM,
    MIB,
    aligned,
    fat_serial,
    stick_layout,
)
from alma_image.media.plan import Plan, plan_for
from alma_image.media.target import open_target
from alma_image.media.writing import require_free
from alma_image.profile import Profile
from alma_image.release.manifest import (
    NAME,
    PUBLIC_KEY_NAME,
    SIGNATURE_NAME,
    Manifest,
    read_manifest,
)
from alma_runtime.errors import AlmaError
from alma_runtime.files import sha256_of
from alma_runtime.i18n import _
from alma_runtime.tree import FOLDERS
from alma_runtime.volumes import RESERVE, Kdf, Runner, encrypt_image

SYSTEM_IMAGE = "system.img"
BOOT_IMAGE = "bios/boot.img"
CORE_IMAGE = "bios/core.img"
ESP_PREFIX = "esp/"
KEY_BYTES = 64
DISK_KEY = "keys/alma-data.key"
ALMA_ID = 8820
KEEP_FILE_SYSTEM = 32 * MIB
"""The keep's first size; it grows to its partition at first boot."""
KEEP_GROWS_TO = 1 << 41


@dataclass(frozen=True)
class Release:
    """A folder with a release whose manifest was checked."""

    folder: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """A file of the release by its name in the manifest.

        Raises:
            AlmaError: the release has no such file.
        """
        if name not in self.manifest.files:
            raise AlmaError(
                _("{folder}: the release has no file {name}").format(folder=self.folder, name=name)
            )
        return self.folder / name


def open_release(folder: Path, public_key: bytes) -> Release:
    """A release, every file of which is what the signed manifest says.

    Raises:
        AlmaError: not signed by that key, or a file differs; the message names it.
    """
    manifest = read_manifest(folder, public_key)
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise AlmaError(_("{path} is missing from the release").format(path=path))
        if path.stat().st_size != entry.size or sha256_of(path) != entry.sha256:
            raise AlmaError(
                _("{path} is not what the release's manifest says; build the release again").format(
                    path=path
                )
            )
    return Release(folder, manifest)


def passphrase_kdf(profile: Profile) -> Kdf:
    """The fixed cost of trying a passphrase."""
    return Kdf.argon2id(profile.kdf_memory_kib, profile.kdf_iterations, profile.kdf_parallel)


def work_bytes(release: Release) -> int:
    """Room that the work files of a stick need, in bytes."""
    profile = release.manifest.profile
    system = release.manifest.files[SYSTEM_IMAGE].size
    return system + KEEP_FILE_SYSTEM + 3 * RESERVE + profile.esp_mib * MIB


def prepare_stick(
    tools: Runner, release: Release, passphrase: bytes, work: Path, *, size: int, disk_key: bytes
) -> Plan:
    """Make the work files in an empty folder and say what goes where.

    Args:
        tools: runs programs of the tools tree; sees `work`.
        size: bytes of the medium; 0 for a file that is just large enough.
        disk_key: 64 bytes that open a disk, or b"".
    """
    require_free(work, work_bytes(release))
    profile = release.manifest.profile
    system_uuid, keep_uuid = str(uuid.uuid4()), str(uuid.uuid4())
    keep_key = os.urandom(KEY_BYTES)
    system_file = release.file(SYSTEM_IMAGE)
    slot = system_size(release.manifest)
    layout = stick_layout(
        system_uuid,
        esp=profile.esp_mib * MIB,
        system=slot,
        keep=max(profile.keep_mib * MIB, KEEP_FILE_SYSTEM + RESERVE),
        size=size,
    )
    bios_at = layout.partition(LABEL_BIOS).start
    bios = bios_boot(
        release.file(BOOT_IMAGE).read_bytes(), release.file(CORE_IMAGE).read_bytes(), bios_at
    )
    esp = work / "esp.img"
    make_esp(
        tools,
        esp,
        esp_files(release, stick_config(system_uuid, keep_uuid), work),
        size=layout.partition(LABEL_ESP).size,
        serial=fat_serial(system_uuid),
        epoch=release.manifest.epoch,
    )
    system = work / "system.luks"
    kdf = passphrase_kdf(profile)
    make_system(tools, system, system_file, passphrase, keep_key, kdf, system_uuid)
    keep = work / "keep.luks"
    make_keep(tools, keep, keep_key, keep_uuid, disk_key)
    return plan_for(
        layout,
        {
            LABEL_BIOS: (bios.partition,),
            LABEL_ESP: (esp,),
            LABEL_SYSTEM: (system,),
            LABEL_KEEP: (keep,),
        },
        bios.boot_code,
    )


def system_size(manifest: Manifest) -> int:
    """Bytes of one system slot: header, image, key, and room for a larger upgrade."""
    image = manifest.files[SYSTEM_IMAGE].size
    return aligned(image + KEY_BYTES) + RESERVE + manifest.profile.sys_slack_mib * MIB


def stick_config(system_uuid: str, keep_uuid: str) -> bytes:
    """The only text on a stick that is not in the release."""
    return f"set alma_sys={system_uuid}\nset alma_keep={keep_uuid}\n".encode()


def esp_files(release: Release, config: bytes, work: Path) -> dict[str, Path]:
    """What lies on the ESP, copied to where the tools see it: path there → file here."""
    sources = {
        name.removeprefix(ESP_PREFIX): release.folder / name
        for name in release.manifest.files
        if name.startswith(ESP_PREFIX)
    }
    sources |= {
        f"alma/{name}": release.folder / name for name in (NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME)
    }
    files = {}
    for name, source in sources.items():
        files[name] = work / "esp" / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        copied(source, files[name])
    files["alma/stick.cfg"] = work / "stick.cfg"
    files["alma/stick.cfg"].write_bytes(config)
    return files


def make_system(
    tools: Runner,
    volume: Path,
    image: Path,
    passphrase: bytes,
    keep_key: bytes,
    kdf: Kdf,
    volume_uuid: str,
) -> None:
    """The system volume: the image, behind it the keep's key, encrypted."""
    key_at = image.stat().st_size
    copied(image, volume)
    os.truncate(volume, aligned(key_at + KEY_BYTES) + RESERVE)
    encrypt_image(tools, volume, passphrase, kdf, volume_uuid)
    seal(tools, volume, passphrase, key_at, keep_key)


def make_keep(tools: Runner, volume: Path, key: bytes, volume_uuid: str, disk_key: bytes) -> None:
    """The keep: an ext4 with empty folders, opened by the key that lies in the system volume."""
    entries = [
        ext4.Entry("", 0o750, 0, ALMA_ID),
        ext4.Entry("keys", 0o700),
        ext4.Entry("models", 0o2770, ALMA_ID, ALMA_ID),
        *tree_entries("ALMA_RESIST"),
    ]
    if disk_key:
        # A placeholder takes the place on the file system; only its encrypted form is replaced.
        entries.append(ext4.Entry(DISK_KEY, 0o400, content=b"\xff" * KEY_BYTES))
    ext4.make_ext4(
        tools,
        volume,
        size=KEEP_FILE_SYSTEM,
        label=LABEL_KEEP,
        uuid=str(uuid.uuid4()),
        entries=entries,
        grows_to=KEEP_GROWS_TO,
    )
    at = ext4.block_of(tools, volume, DISK_KEY) if disk_key else 0
    os.truncate(volume, KEEP_FILE_SYSTEM + RESERVE)
    encrypt_image(tools, volume, key, Kdf.for_random_key(), volume_uuid)
    if disk_key:
        seal(tools, volume, key, at, disk_key)


def tree_entries(root: str) -> list[ext4.Entry]:
    """The folders of an empty ALMA_RESIST tree below `root` ("" for the file system's own)."""
    folders = {""}
    for folder in FOLDERS:
        parts = folder.split("/")
        folders |= {"/".join(parts[: n + 1]) for n in range(len(parts))}
    names = sorted(f"{root}/{f}".strip("/") for f in folders)
    return [ext4.Entry(name, 0o2770, ALMA_ID, ALMA_ID) for name in names]


def seal(tools: Runner, volume: Path, secret: bytes, offset: int, data: bytes) -> None:
    """Write a few bytes into a volume's payload without their plain form touching a disk."""
    with open_target(volume, write=True) as target:
        payload = open_payload(tools, volume, secret, target, 0, target.size)
        payload.write(offset, data)
        target.flush()


def copied(source: Path, target: Path) -> Path:
    """A copy, sharing blocks where the file system can."""
    shutil.copyfile(source, target)
    return target
