"""Ed25519 signatures of releases: the builder's key pair, signing, checking.

The key pair lies in one folder (`~/.config/alma`): `release.key` (PEM, PKCS#8, mode 0600) and
`release.pub` (PEM). A signature is the raw 64 bytes of RFC 8032.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from alma_runtime.errors import AlmaError
from alma_runtime.files import write_file
from alma_runtime.i18n import _

PRIVATE_NAME = "release.key"
PUBLIC_NAME = "release.pub"


def load_or_create_key(folder: Path) -> Ed25519PrivateKey:
    """The builder's private key; made at first use, with its public half beside it.

    Raises:
        AlmaError: the folder cannot be written, or the key in it cannot be read.
    """
    path = folder / PRIVATE_NAME
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(path, _private_pem(Ed25519PrivateKey.generate()), mode=0o600)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise AlmaError(
            _("{path}: the signing key cannot be used: {reason}").format(
                path=path, reason=exc.strerror
            )
        ) from exc
    except (ValueError, TypeError) as exc:
        raise AlmaError(_("{path}: this is not a private key").format(path=path)) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise AlmaError(_("{path}: this is not an Ed25519 key").format(path=path))
    public = folder / PUBLIC_NAME
    if not public.exists() or public.read_bytes() != public_pem(key):
        write_file(public, public_pem(key))
    return key


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public half as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public_key(path: Path) -> bytes:
    """A PEM public key from a file, checked to be one.

    Raises:
        AlmaError: not there, or no Ed25519 public key.
    """
    try:
        pem = path.read_bytes()
    except OSError as exc:
        raise AlmaError(
            _("{path}: the public key cannot be read: {reason}").format(
                path=path, reason=exc.strerror
            )
        ) from exc
    _public(pem)
    return pem


def fingerprint(public_key: bytes) -> str:
    """A public key (PEM) as 16 hexadecimal digits that a person can compare."""
    raw = _public(public_key).public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return hashlib.sha256(raw).hexdigest()[:16]


def sign(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """The 64-byte signature of some bytes."""
    return key.sign(data)


def verify(data: bytes, signature: bytes, public_key: bytes) -> bool:
    """Did the owner of this public key (PEM) sign exactly these bytes?"""
    try:
        _public(public_key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as exc:
        raise AlmaError(_("this is not a public key in PEM form")) from exc
    if not isinstance(key, Ed25519PublicKey):
        raise AlmaError(_("this is not an Ed25519 public key"))
    return key
