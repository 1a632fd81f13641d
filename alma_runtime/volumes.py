"""LUKS2 volumes through cryptsetup, on image files (in userspace) and on block devices.

Every function takes the runner first, so that the same code works with the host's programs
(`run.run`) and inside a tools tree (a sandbox's `run`, with the needed folders already bound).
Secrets travel as anonymous memory files that the child inherits, never in argv nor on a disk.
Key derivation costs are always forced: a benchmark would tune them to the machine that formats,
and the volume is opened on another one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma_runtime.errors import AlmaError, ProgramFailed
from alma_runtime.i18n import _
from alma_runtime.run import Completed

Runner = Callable[..., Completed]

CIPHER = "aes-xts-plain64"
KEY_BITS = 512
SECTOR = 4096
RESERVE = 32 << 20
"""Bytes that must be free at the end of an image that is going to be encrypted."""
PAYLOAD_OFFSET = 16 << 20
"""Where the payload begins in a volume made by `encrypt_image`: half of `RESERVE`."""
MAPPER = Path("/dev/mapper")
NO_KEY = 2
"""Exit status of cryptsetup when no key slot accepts the secret."""


@dataclass(frozen=True)
class Kdf:
    """How expensive it is to try a secret.

    Args:
        type: `argon2id` for what a person types, `pbkdf2` for random keys.
        iterations: passes (argon2id) or rounds (pbkdf2).
        memory_kib: memory of one try; argon2id only.
        parallel: threads; argon2id only (cryptsetup lowers it to the CPUs of this machine).
    """

    type: str
    iterations: int
    memory_kib: int = 0
    parallel: int = 0

    @classmethod
    def argon2id(cls, memory_kib: int, iterations: int, parallel: int) -> Kdf:
        return cls("argon2id", iterations, memory_kib, parallel)

    @classmethod
    def for_random_key(cls) -> Kdf:
        """512 random bits cannot be guessed: a slow derivation would only slow the boot."""
        return cls("pbkdf2", 1000)

    @property
    def options(self) -> tuple[str, ...]:
        """The command-line options of cryptsetup that force exactly these costs."""
        costs = (f"--pbkdf={self.type}", f"--pbkdf-force-iterations={self.iterations}")
        if self.type != "argon2id":
            return costs
        return (
            *costs,
            f"--pbkdf-memory={self.memory_kib}",
            f"--pbkdf-parallel={self.parallel}",
        )


class WrongSecret(AlmaError):
    """No key slot of the volume accepts what was given."""


def encrypt_image(runner: Runner, image: Path, secret: bytes, kdf: Kdf, uuid: str) -> None:
    """Turn a plain image file into a LUKS2 volume, in place and without the kernel's help.

    The content moves up by `PAYLOAD_OFFSET`; the last `RESERVE` bytes of the file must be
    free (zero), and a file system in it needs blocks of 4096 bytes. Interrupted, the file is
    neither plain nor encrypted: work on a temporary name.

    Raises:
        AlmaError: empty secret, or a file whose size is not usable.
        ProgramFailed: cryptsetup refused.
    """
    size = image.stat().st_size
    if size <= RESERVE or size % SECTOR:
        raise AlmaError(
            _("{path}: {size} bytes cannot be encrypted: 32 MiB must be free at the end").format(
                path=image, size=size
            )
        )
    _refuse_foreign_end(image, size)
    with _inherited(secret) as (fd, name):
        runner(
            [
                "cryptsetup",
                "reencrypt",
                "--batch-mode",
                "--encrypt",
                "--type=luks2",
                f"--reduce-device-size={RESERVE >> 20}M",
                "--force-offline-reencrypt",
                "--disable-locks",
                f"--sector-size={SECTOR}",
                f"--cipher={CIPHER}",
                f"--key-size={KEY_BITS}",
                *kdf.options,
                f"--uuid={uuid}",
                f"--key-file={name}",
                image.absolute(),
            ],
            # cryptsetup keeps its temporary header in the working folder
            cwd=image.absolute().parent,
            pass_fds=(fd,),
        )


def add_key(runner: Runner, device: Path, existing: bytes, new: bytes, kdf: Kdf) -> None:
    """Give a volume one more secret, authorised by one that it already has.

    Raises:
        WrongSecret: `existing` opens nothing.
    """
    with _inherited(existing) as (old_fd, old), _inherited(new) as (new_fd, added):
        _cryptsetup(
            runner,
            device,
            "luksAddKey",
            (*kdf.options, f"--key-file={old}"),
            (added,),
            (old_fd, new_fd),
        )


def check_secret(runner: Runner, device: Path, secret: bytes) -> bool:
    """Does this secret open the volume?"""
    try:
        with _inherited(secret) as (fd, name):
            options = ("--test-passphrase", f"--key-file={name}")
            _cryptsetup(runner, device, "open", options, (), (fd,))
    except WrongSecret:
        return False
    return True


def uuid_of(runner: Runner, device: Path) -> str:
    """The UUID in a volume's header.

    Raises:
        ProgramFailed: there is no LUKS header.
    """
    return _cryptsetup(runner, device, "luksUUID").text.strip()


def dump(runner: Runner, device: Path) -> dict[str, Any]:
    """The header's metadata (key slots with their costs, segments) as LUKS2 stores it: JSON."""
    done = _cryptsetup(runner, device, "luksDump", ("--dump-json-metadata",))
    header: dict[str, Any] = json.loads(done.text)
    return header


def open_volume(
    runner: Runner, device: Path, name: str, secret: bytes, *, read_only: bool = False
) -> Path:
    """Map a volume under `/dev/mapper`; needs root and device-mapper.

    Raises:
        WrongSecret: the secret opens nothing.
        ProgramFailed: the kernel or cryptsetup refused.
    """
    with _inherited(secret) as (fd, key):
        options = (f"--key-file={key}", *(("--readonly",) if read_only else ()))
        _cryptsetup(runner, device, "open", options, (name,), (fd,))
    return MAPPER / name


def close_volume(runner: Runner, name: str) -> None:
    """Unmap a volume; its key leaves the kernel's memory."""
    runner(["cryptsetup", "close", name])


def grow_volume(runner: Runner, name: str, secret: bytes) -> None:
    """Let an open volume fill its partition. The key is in the kernel, so it is asked again."""
    with _inherited(secret) as (fd, key):
        runner(["cryptsetup", "resize", "--batch-mode", f"--key-file={key}", name], pass_fds=(fd,))


def _cryptsetup(
    runner: Runner,
    device: Path,
    action: str,
    options: tuple[str, ...] = (),
    rest: tuple[str, ...] = (),
    pass_fds: tuple[int, ...] = (),
) -> Completed:
    # A file of ours has no other user, and an unprivileged one could not take the lock anyway.
    locks = ("--disable-locks",) if device.is_file() else ()
    try:
        return runner(
            ["cryptsetup", action, "--batch-mode", *locks, *options, device.absolute(), *rest],
            pass_fds=pass_fds,
        )
    except ProgramFailed as error:
        if error.returncode == NO_KEY:
            raise WrongSecret(_("{device}: this key does not open it").format(device=device)) from (
                error
            )
        raise


def _refuse_foreign_end(image: Path, size: int) -> None:
    """Encryption moves the content up and cuts the end off: it must hold nothing."""
    with image.open("rb") as stream:
        stream.seek(size - RESERVE)
        while chunk := stream.read(1 << 20):
            if chunk.count(0) != len(chunk):
                raise AlmaError(
                    _("{path}: its last 32 MiB are not empty and would be lost").format(path=image)
                )


@contextlib.contextmanager
def _inherited(secret: bytes) -> Iterator[tuple[int, str]]:
    """A secret as a descriptor for a child, with the name under which the child opens it."""
    if not secret:
        raise AlmaError(_("an empty passphrase or key protects nothing"))
    fd = os.memfd_create("alma-secret", os.MFD_CLOEXEC)
    try:
        os.write(fd, secret)
        yield fd, f"/dev/fd/{fd}"
    finally:
        os.close(fd)
