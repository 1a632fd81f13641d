"""LUKS2 volumes seen as bytes: the header without cryptsetup, the payload without the kernel.

Header: LUKS2 On-Disk Format Specification 1.1.1 (binary header of 4096 bytes, then JSON, SHA-256
over both with the checksum field zeroed). Payload: AES-XTS with a 512-bit key over sectors of
4096 bytes; the tweak (plain64) counts units of 512 bytes, so it rises by eight from sector to
sector.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from alma_image.media.target import Reader, Target
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import CIPHER, KEY_BITS, SECTOR, Kdf, Runner

MAGIC = b"LUKS\xba\xbe"
BINARY = struct.Struct(">6sHQQ48s32s64s40s48sQ184x64s")
BINARY_BYTES = 4096
LONGEST_HEADER = 4 << 20
CHECKSUM_AT = 448
HEADER_BYTES = 16 << 20
"""Both headers and the key slots, of volumes that `volumes.encrypt_image` makes."""
TWEAK_UNIT = 512


@dataclass(frozen=True)
class LuksHeader:
    """What a header says; offsets in bytes from the volume's start."""

    uuid: str
    metadata: dict[str, Any]

    @property
    def payload_offset(self) -> int:
        return int(self._segment["offset"])

    @property
    def encryption(self) -> tuple[str, int]:
        """Cipher and sector size in bytes."""
        return str(self._segment["encryption"]), int(self._segment["sector_size"])

    @property
    def kdfs(self) -> list[Kdf]:
        """The cost of trying a secret, for each key slot in the order of their numbers."""
        slots = sorted(self.metadata["keyslots"].items(), key=lambda item: int(item[0]))
        return [_kdf(slot["kdf"]) for _number, slot in slots]

    @property
    def key_bits(self) -> set[int]:
        return {int(slot["key_size"]) * 8 for slot in self.metadata["keyslots"].values()}

    @property
    def _segment(self) -> dict[str, Any]:
        segments: dict[str, dict[str, Any]] = self.metadata["segments"]
        return next(iter(segments.values()))


def read_header(source: Reader, offset: int, name: str) -> LuksHeader:
    """The primary header of the volume that begins at `offset`.

    Raises:
        AlmaError: no LUKS2 header there, or its checksum is wrong; `name` is in the message.
    """
    fields = BINARY.unpack_from(source.read(offset, BINARY_BYTES))
    magic, version, size, uuid, checksum = fields[0], fields[1], fields[2], fields[7], fields[10]
    if magic != MAGIC or version != 2 or not BINARY_BYTES < size <= LONGEST_HEADER:
        raise AlmaError(_("{name}: there is no LUKS2 volume").format(name=name))
    whole = bytearray(source.read(offset, size))
    whole[CHECKSUM_AT : CHECKSUM_AT + 64] = bytes(64)
    if hashlib.sha256(whole).digest() != checksum[:32]:
        raise AlmaError(_("{name}: the LUKS2 header is damaged").format(name=name))
    text = bytes(whole[BINARY_BYTES:]).split(b"\0", 1)[0]
    return LuksHeader(uuid.rstrip(b"\0").decode("ascii", "replace"), json.loads(text))


def require_ours(header: LuksHeader, name: str) -> None:
    """Raises AlmaError unless the volume is encrypted as ALMA encrypts."""
    if header.encryption != (CIPHER, SECTOR) or header.key_bits != {KEY_BITS}:
        raise AlmaError(
            _("{name}: the volume is encrypted with {cipher}, sectors of {sector} bytes").format(
                name=name, cipher=header.encryption[0], sector=header.encryption[1]
            )
        )


@dataclass(frozen=True)
class Payload:
    """The decrypted content of a volume, readable and writable in userspace.

    Args:
        start: where the payload begins on the medium, in bytes.
        key: the 64-byte volume key; never shown.
    """

    medium: Target
    start: int
    size: int
    key: bytes

    def __repr__(self) -> str:
        return f"Payload(start={self.start}, size={self.size})"

    def read(self, offset: int, length: int) -> bytes:
        """Decrypted bytes."""
        first, last = offset // SECTOR, -(-(offset + length) // SECTOR)
        data = self.medium.read(self.start + first * SECTOR, (last - first) * SECTOR)
        parts = (self._sector(first + i, data, i, decrypt=True) for i in range(last - first))
        plain = b"".join(parts)
        return plain[offset - first * SECTOR :][:length]

    def write(self, offset: int, data: bytes) -> None:
        """Encrypt and put in place; whole sectors are read, changed and written."""
        first, last = offset // SECTOR, -(-(offset + len(data)) // SECTOR)
        plain = bytearray(self.read(first * SECTOR, (last - first) * SECTOR))
        plain[offset - first * SECTOR : offset - first * SECTOR + len(data)] = data
        sealed = (self._sector(first + i, plain, i, decrypt=False) for i in range(last - first))
        self.medium.write(self.start + first * SECTOR, b"".join(sealed))

    def _sector(self, number: int, data: bytes | bytearray, index: int, *, decrypt: bool) -> bytes:
        tweak = (number * (SECTOR // TWEAK_UNIT)).to_bytes(16, "little")
        cipher = Cipher(algorithms.AES(self.key), modes.XTS(tweak))
        work = cipher.decryptor() if decrypt else cipher.encryptor()
        return work.update(bytes(data[index * SECTOR : (index + 1) * SECTOR])) + work.finalize()


def open_payload(
    tools: Runner, header_file: Path, secret: bytes, medium: Target, offset: int, size: int
) -> Payload:
    """Open the volume that lies at `offset` of a medium and is `size` bytes long.

    Args:
        header_file: the volume itself, or a file with a copy of its first `HEADER_BYTES`.

    Raises:
        AlmaError: the secret opens nothing.
    """
    header = read_header(medium, offset, medium.name)
    start = offset + header.payload_offset
    whole = (offset + size - start) // SECTOR * SECTOR
    return Payload(medium, start, whole, volume_key(tools, header_file, secret))


def volume_key(tools: Runner, device: Path, secret: bytes) -> bytes:
    """The 64 bytes that encrypt a volume's payload; through a pipe, never a file.

    Raises:
        AlmaError: the secret opens nothing.
    """
    command = ["cryptsetup", "luksDump", "--batch-mode", "--disable-locks", "--dump-volume-key"]
    done = tools([*command, "--key-file=-", device.absolute()], stdin=secret, check=False)
    if done.returncode == 2:
        raise AlmaError(_("{device}: this passphrase does not open it").format(device=device))
    found = re.search(rb"MK dump:((?:\s+[0-9a-f]{2})+)", done.stdout)
    if done.returncode or not found:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise AlmaError(_("{device}: {reason}").format(device=device, reason=words))
    return bytes.fromhex(found.group(1).decode())


def _kdf(table: dict[str, Any]) -> Kdf:
    if table["type"] == "argon2id":
        return Kdf.argon2id(int(table["memory"]), int(table["time"]), int(table["cpus"]))
    return Kdf(str(table["type"]), int(table.get("iterations", table.get("time", 0))))
