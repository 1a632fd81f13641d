"""The signed manifest: made, read back, and refused when one byte is not as signed."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from alma_image.profile import read_profile
from alma_image.release import signing
from alma_image.release.manifest import (
    NAME,
    SIGNATURE_NAME,
    FileEntry,
    manifest_text,
    read_manifest,
    sign_release,
)
from alma_image.release.system_image import Verity
from alma_runtime.errors import AlmaError
from alma_runtime.files import sha256_of

VERITY = Verity("ab" * 32, 4096, 8192)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def release(tmp_path: Path, key: Ed25519PrivateKey) -> Path:
    (tmp_path / "esp" / "alma").mkdir(parents=True)
    (tmp_path / "esp" / "alma" / "vmlinuz").write_bytes(b"kernel")
    text = manifest_text("1.0", 1_700_000_000, read_profile("nano"), tmp_path, VERITY, {})
    sign_release(tmp_path, text, key)
    return tmp_path


def test_what_was_signed_is_read_back(release: Path, key: Ed25519PrivateKey) -> None:
    manifest = read_manifest(release, signing.public_pem(key))
    kernel = release / "esp/alma/vmlinuz"
    assert manifest.files == {"esp/alma/vmlinuz": FileEntry(6, sha256_of(kernel))}
    assert (manifest.profile.name, manifest.verity, manifest.key_offset) == ("nano", VERITY, 8192)


@pytest.mark.parametrize("name", [NAME, SIGNATURE_NAME])
def test_a_changed_byte_is_refused(release: Path, key: Ed25519PrivateKey, name: str) -> None:
    content = bytearray((release / name).read_bytes())
    content[len(content) // 2] ^= 1
    (release / name).write_bytes(content)
    with pytest.raises(AlmaError, match=NAME):
        read_manifest(release, signing.public_pem(key))


def test_another_builders_release_is_refused(release: Path) -> None:
    other = signing.public_pem(Ed25519PrivateKey.generate())
    with pytest.raises(AlmaError, match=NAME):
        read_manifest(release, other)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"format": 99}', b"\xff"])
def test_what_is_no_manifest_is_one_sentence(
    tmp_path: Path, key: Ed25519PrivateKey, text: bytes
) -> None:
    sign_release(tmp_path, text, key)
    with pytest.raises(AlmaError, match=NAME):
        read_manifest(tmp_path, signing.public_pem(key))
