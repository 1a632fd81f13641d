"""Signatures: made once, checked against a key that is trusted, and the key stays private."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_image.release import signing
from alma_runtime.errors import AlmaError


def test_a_signature_holds_for_exactly_these_bytes_and_this_key(tmp_path: Path) -> None:
    key = signing.load_or_create_key(tmp_path / "one")
    public = signing.read_public_key(tmp_path / "one" / "release.pub")
    stranger = signing.public_pem(signing.load_or_create_key(tmp_path / "two"))
    signature = signing.sign(b"manifest", key)
    assert len(signature) == 64
    assert signing.verify(b"manifest", signature, public)
    assert not signing.verify(b"manifesto", signature, public)
    assert not signing.verify(b"manifest", signature, stranger)
    assert not signing.verify(b"manifest", b"", public)


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first = signing.public_pem(signing.load_or_create_key(tmp_path / "keys"))
    assert signing.public_pem(signing.load_or_create_key(tmp_path / "keys")) == first
    assert (tmp_path / "keys" / "release.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n", b"\xff\x00"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "release.pub"
    path.write_bytes(content)
    with pytest.raises(AlmaError):
        signing.read_public_key(path)
    private = tmp_path / "release.key"
    private.write_bytes(content)
    with pytest.raises(AlmaError):
        signing.load_or_create_key(tmp_path)
