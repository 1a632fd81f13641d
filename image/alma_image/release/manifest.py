"""`manifest.json`: what a release consists of, signed by whoever built it.

Format 1: version, epoch (unix seconds), profile, files (size in bytes and SHA-256 by path), the
verity numbers, `key_offset` (bytes into the system volume where a stick keeps its keep's key),
packages, wheels, versions. Signed are the bytes of the file, with Ed25519, in `manifest.json.sig`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from alma_image.profile import Profile, profile_from
from alma_image.release import signing
from alma_image.release.system_image import Verity
from alma_runtime.errors import AlmaError
from alma_runtime.files import sha256_of, write_file
from alma_runtime.i18n import _

FORMAT = 1
NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
PUBLIC_KEY_NAME = "release.pub"


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 of one file of a release."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A release in numbers; `raw` are the signed bytes."""

    version: str
    epoch: int
    profile: Profile
    files: Mapping[str, FileEntry]
    verity: Verity
    raw: bytes

    @property
    def key_offset(self) -> int:
        """Where the keep's key lies in the system volume, in bytes."""
        return self.verity.image_size


def manifest_text(
    version: str,
    epoch: int,
    profile: Profile,
    folder: Path,
    verity: Verity,
    contents: Mapping[str, Any],
) -> bytes:
    """The manifest of a release folder, byte for byte the same for the same release."""
    files = {
        str(path.relative_to(folder)): {"size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME)
    }
    table = {
        "format": FORMAT,
        "version": version,
        "epoch": epoch,
        "profile": profile.as_dict(),
        "files": files,
        "verity": {"root_hash": verity.root_hash, "hash_offset": verity.hash_offset},
        "key_offset": verity.image_size,
        **contents,
    }
    return (json.dumps(table, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sign_release(folder: Path, text: bytes, key: Ed25519PrivateKey) -> None:
    """Write the manifest, its signature, and the public key beside it."""
    write_file(folder / NAME, text)
    write_file(folder / SIGNATURE_NAME, signing.sign(text, key))
    write_file(folder / PUBLIC_KEY_NAME, signing.public_pem(key))


def read_manifest(folder: Path, public_key: bytes | None) -> Manifest:
    """The manifest in a folder, checked against a public key (PEM) if one is given.

    Raises:
        AlmaError: missing, not signed by that key, or not of a format that we know.
    """
    try:
        raw = (folder / NAME).read_bytes()
        signature = (folder / SIGNATURE_NAME).read_bytes()
    except OSError as exc:
        raise AlmaError(
            _("{folder} holds no release: {reason}").format(folder=folder, reason=exc)
        ) from exc
    if public_key is not None and not signing.verify(raw, signature, public_key):
        raise AlmaError(
            _("{path}: the signature is not by the key that is trusted here").format(
                path=folder / NAME
            )
        )
    return parse_manifest(raw, str(folder / NAME))


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """A manifest from its bytes; `where` names it in errors."""
    try:
        table = json.loads(raw)
        if table["format"] != FORMAT:
            raise AlmaError(
                _("{where}: made by another ALMA (format {theirs}, mine is {ours})").format(
                    where=where, theirs=table["format"], ours=FORMAT
                )
            )
        return Manifest(
            version=str(table["version"]),
            epoch=int(table["epoch"]),
            profile=profile_from(table["profile"], where),
            files={k: FileEntry(**v) for k, v in table["files"].items()},
            verity=Verity(**table["verity"], image_size=int(table["key_offset"])),
            raw=raw,
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise AlmaError(_("{where}: this is not a manifest").format(where=where)) from exc
