"""Is a stick's public part, byte for byte, what the signed manifest says?

The files on the ESP and the BIOS images are checked one by one against the manifest. Then
everything public is made again from them (table, BIOS partition, ESP, gaps) and compared with
the medium, so that nothing can hide beside the files. Only a key known beforehand is trusted,
never the one that lies on the stick. The encrypted volumes are looked at from outside; what is
in the system volume is checked with the passphrase (`check_system`), or by dm-verity at boot.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from alma_image.media import compare, gpt
from alma_image.media.bios import unpatched
from alma_image.media.esp import extract, list_files
from alma_image.media.luks import HEADER_BYTES, open_payload, read_header, require_ours
from alma_image.media.partitions import (
    BIOS_BYTES,
    LABEL_BIOS,
    LABEL_ESP,
    LABEL_KEEP,
    LABEL_OTHER,
    LABEL_SYSTEM,
    Layout,
    table_end,
)
from alma_image.media.stick import (
    BOOT_IMAGE,
    CORE_IMAGE,
    ESP_PREFIX,
    SYSTEM_IMAGE,
    passphrase_kdf,
)
from alma_image.media.target import BLOCK, FdTarget
from alma_image.release.manifest import (
    NAME,
    PUBLIC_KEY_NAME,
    SIGNATURE_NAME,
    Manifest,
    parse_manifest,
)
from alma_image.release.signing import fingerprint, verify
from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.i18n import _
from alma_runtime.volumes import Kdf, Runner

STICK_CONFIG = re.compile(
    rb"set alma_sys=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n"
    rb"set alma_keep=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\n"
)
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Report:
    """What was found. No differences: the public part is what the manifest says.

    Args:
        differences: sentences, each naming a file or a range of bytes.
        notes: what a person should know and is no sign of tampering.
    """

    version: str
    signed_by: str
    differences: tuple[str, ...]
    notes: tuple[str, ...]


class Altered(AlmaError):
    """The stick differs so much that looking further makes no sense."""


def verify_stick(tools: Runner, target: FdTarget, public_key: bytes, work: Path) -> Report:
    """Compare a stick with the manifest on it, which must be signed by `public_key` (PEM).

    Raises:
        Altered: it is no stick of ours, or its manifest is not signed by that key.
    """
    found = _table(target)
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        files = _files_on_esp(tools, target, found, folder)
        manifest = _trusted_manifest(files, public_key, target.name)
        differences = list(_check_files(files, manifest, public_key))
        ids = _ids(files, target, found, differences)
        bios = target.read(found.partition(LABEL_BIOS).start, BIOS_BYTES)
        differences += _check_bios(bios, manifest)
        volume_differences, notes = _check_volumes(target, found, manifest)
        differences += volume_differences
        if ids:
            expected = compare.expected_layout(found, manifest, ids[0])
            differences += compare.compare_layout(found, expected)
            differences += compare.compare_table(target, found, bios, manifest)
            if not differences:
                differences += compare.compare_esp(
                    tools, target, found, files, manifest, ids[0], folder
                )
        gaps, gap_notes = compare.unused_space(target, found)
        differences += gaps
        notes += [*gap_notes, *compare.size_note(target, found)]
    return Report(manifest.version, fingerprint(public_key), tuple(differences), tuple(notes))


def check_system(
    tools: Runner, target: FdTarget, secret: bytes, manifest: Manifest, work: Path, advance: Advance
) -> list[str]:
    """Decrypt the system volume and compare the image in it with the manifest.

    Raises:
        AlmaError: the passphrase does not open it.
    """
    slot = _table(target).partition(LABEL_SYSTEM)
    with tempfile.TemporaryDirectory(dir=work) as name:
        header = Path(name) / "header"
        header.write_bytes(target.read(slot.start, HEADER_BYTES))
        payload = open_payload(tools, header, secret, target, slot.start, slot.size)
    entry = manifest.files[SYSTEM_IMAGE]
    digest = hashlib.sha256()
    for offset in range(0, entry.size, BLOCK):
        block = payload.read(offset, min(BLOCK, entry.size - offset))
        digest.update(block)
        advance(len(block))
    if digest.hexdigest() == entry.sha256:
        return []
    return [_("the system image inside {label} is not the release's").format(label=LABEL_SYSTEM)]


def manifest_on(tools: Runner, target: FdTarget, public_key: bytes, work: Path) -> Manifest:
    """The trusted manifest of a stick."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        files = _files_on_esp(tools, target, _table(target), Path(name))
        return _trusted_manifest(files, public_key, target.name)


def _table(target: FdTarget) -> Layout:
    try:
        layout = gpt.read_table(target.read(0, table_end(512)))
        for label in (LABEL_BIOS, LABEL_ESP, LABEL_SYSTEM, LABEL_OTHER, LABEL_KEEP):
            layout.partition(label)
    except KeyError as exc:
        raise Altered(
            _("{name} is not an ALMA stick: it has no partition {label}").format(
                name=target.name, label=exc.args[0]
            )
        ) from exc
    except AlmaError as exc:
        raise Altered(f"{target.name}: {exc}") from exc
    if any(p.end > target.size or p.size <= 0 for p in layout.partitions):
        raise Altered(_("{name}: a partition lies beyond its end").format(name=target.name))
    return layout


def _files_on_esp(tools: Runner, target: FdTarget, found: Layout, work: Path) -> dict[str, Path]:
    """Every file of the ESP, copied out: path there → file here. `work/esp.found` is the image."""
    image = work / "esp.found"
    place = found.partition(LABEL_ESP)
    with image.open("wb") as stream:
        for offset in range(place.start, place.end, BLOCK):
            stream.write(target.read(offset, min(BLOCK, place.end - offset)))
    try:
        names = list_files(tools, image)
        files = {name: work / "files" / str(number) for number, name in enumerate(names)}
        for name, path in files.items():
            extract(tools, image, name, path)
    except ProgramFailed as exc:
        raise Altered(
            _("{name}: the file system on {label} cannot be read: {reason}").format(
                name=target.name, label=LABEL_ESP, reason=(exc.stderr or str(exc)).splitlines()[-1]
            )
        ) from exc
    return files


def _trusted_manifest(files: dict[str, Path], public_key: bytes, name: str) -> Manifest:
    try:
        raw = files[f"alma/{NAME}"].read_bytes()
        signature = files[f"alma/{SIGNATURE_NAME}"].read_bytes()
    except KeyError as exc:
        raise Altered(_("{name}: {file} is missing").format(name=name, file=exc.args[0])) from exc
    if not verify(raw, signature, public_key):
        raise Altered(
            _(
                "{name}: its manifest is not signed by the key that is trusted here ({key}); "
                "either the stick was altered or somebody else made it"
            ).format(name=name, key=fingerprint(public_key))
        )
    return parse_manifest(raw, f"{name}: alma/{NAME}")


def _check_files(files: dict[str, Path], manifest: Manifest, key: bytes) -> Iterator[str]:
    ours = {f"alma/{n}" for n in (NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME, "stick.cfg")}
    signed = {
        n.removeprefix(ESP_PREFIX): e for n, e in manifest.files.items() if n.startswith(ESP_PREFIX)
    }
    for name in sorted(set(files) - set(signed) - ours):
        yield _("{file} on {label} does not belong there").format(file=name, label=LABEL_ESP)
    for name in sorted((set(signed) | ours) - set(files)):
        yield _("{file} is missing on {label}").format(file=name, label=LABEL_ESP)
    for name in sorted(set(signed) & set(files)):
        content = files[name].read_bytes()
        if hashlib.sha256(content).hexdigest() != signed[name].sha256:
            yield _("{file} on {label} was altered").format(file=name, label=LABEL_ESP)
    key_file = files.get(f"alma/{PUBLIC_KEY_NAME}")
    if key_file and key_file.read_bytes() != key:
        yield _("{file} on {label} was altered").format(
            file=f"alma/{PUBLIC_KEY_NAME}", label=LABEL_ESP
        )


def _ids(
    files: dict[str, Path], target: FdTarget, found: Layout, differences: list[str]
) -> tuple[str, str] | None:
    """The two UUIDs of stick.cfg, if its grammar is right; they must be those of the volumes."""
    path = files.get("alma/stick.cfg")
    match = STICK_CONFIG.fullmatch(path.read_bytes()) if path else None
    if match is None:
        differences.append(_("alma/stick.cfg holds something else than the two lines it may hold"))
        return None
    ids = (match[1].decode(), match[2].decode())
    for label, wanted in zip((LABEL_SYSTEM, LABEL_KEEP), ids, strict=True):
        try:
            header = read_header(target, found.partition(label).start, label)
        except AlmaError as exc:
            differences.append(str(exc))
            continue
        if header.uuid != wanted:
            differences.append(
                _("alma/stick.cfg names another volume than {label}").format(label=label)
            )
    return ids


def _check_bios(partition: bytes, manifest: Manifest) -> Iterator[str]:
    boot, core = unpatched(partition, manifest.files[CORE_IMAGE].size)
    for name, content in ((BOOT_IMAGE, boot), (CORE_IMAGE, core)):
        if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
            yield _("{file} in {label} was altered").format(file=name, label=LABEL_BIOS)


def _check_volumes(
    target: FdTarget, found: Layout, manifest: Manifest
) -> tuple[list[str], list[str]]:
    """Differences: not encrypted as ALMA encrypts. Notes: key slots with costs of their own."""
    costs = {
        LABEL_SYSTEM: passphrase_kdf(manifest.profile),
        LABEL_KEEP: Kdf.for_random_key(),
    }
    differences: list[str] = []
    notes: list[str] = []
    for label, cost in costs.items():
        try:
            header = read_header(target, found.partition(label).start, label)
            require_ours(header, label)
            notes += cost_notes(header.kdfs, cost, label)
        except AlmaError as exc:
            differences.append(str(exc))
    return differences, notes


def cost_notes(kdfs: list[Kdf], wanted: Kdf, label: str) -> Iterator[str]:
    """Sentences about key slots whose cost is not the profile's.

    Threads are not compared: cryptsetup lowers them to the CPUs of whoever makes the volume.
    """
    for number, kdf in enumerate(kdfs):
        if replace(kdf, parallel=0) != replace(wanted, parallel=0):
            yield _("{label}: key slot {number} has other costs than the profile's").format(
                label=label, number=number
            )
