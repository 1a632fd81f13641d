"""What media are read from and written to: a file or a block device behind a descriptor.

`read` comes from the medium itself and not from the page cache where the kernel allows it
(O_DIRECT), because a cache would confirm bytes that a bad stick has already lost.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

BLOCK = 1 << 20
DIRECT_ALIGNMENT = 4096
GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOMEDIUM)


class Reader(Protocol):
    """Anything with bytes at offsets."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes: ...


class Target(Reader, Protocol):
    """Something a medium is written to."""

    @property
    def name(self) -> str: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True)
class FdTarget:
    """An open file or block device; `direct` is a second descriptor for uncached reads, or -1."""

    fd: int
    size: int
    name: str
    direct: int = -1

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, past the cache where possible.

        Raises:
            AlmaError: the medium went away, failed, or ends before.
        """
        with failing_in_words(self.name, offset):
            if self.direct < 0:
                os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_DONTNEED)
                data = _read_all(self.fd, offset, length)
            else:
                data = self._read_direct(offset, length)
        if len(data) != length:
            raise AlmaError(
                _("{name} ends at byte {end}, before what should be there").format(
                    name=self.name, end=offset + len(data)
                )
            )
        return data

    def write(self, offset: int, data: bytes) -> None:
        """All of the bytes, into the cache: `flush` makes them durable."""
        with failing_in_words(self.name, offset):
            view = memoryview(data)
            while view:
                written = os.pwrite(self.fd, view, offset)
                view = view[written:]
                offset += written

    def flush(self) -> None:
        """Wait until everything written is on the medium."""
        with failing_in_words(self.name, None):
            os.fsync(self.fd)

    def _read_direct(self, offset: int, length: int) -> bytes:
        start = offset // DIRECT_ALIGNMENT * DIRECT_ALIGNMENT
        end = -(-(offset + length) // DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT
        # An anonymous mapping is page aligned, as O_DIRECT demands.
        with mmap.mmap(-1, end - start) as buffer:
            count = os.preadv(self.direct, [buffer], start)
            return buffer[offset - start : min(count, offset - start + length)]


@contextlib.contextmanager
def open_target(path: Path, *, write: bool = False, exclusive: bool = True) -> Iterator[FdTarget]:
    """A file or a block device.

    Args:
        exclusive: a block device is refused (by the kernel) while something uses it.

    Raises:
        AlmaError: it cannot be opened.
    """
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC
    if write and exclusive and path.is_block_device():
        flags |= os.O_EXCL
    direct = -1
    try:
        fd = os.open(path, flags)
    except OSError as exc:
        raise AlmaError(
            _("{path} cannot be opened: {reason}").format(path=path, reason=exc.strerror)
        ) from exc
    try:
        with contextlib.suppress(OSError):  # a file system without O_DIRECT, tmpfs for one
            direct = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        yield FdTarget(fd, os.lseek(fd, 0, os.SEEK_END), str(path), direct)
    finally:
        os.close(fd)
        if direct >= 0:
            os.close(direct)


@contextlib.contextmanager
def failing_in_words(name: str, offset: int | None) -> Iterator[None]:
    """Only what a medium is expected to do to us becomes a sentence; other errors are bugs."""
    try:
        yield
    except OSError as exc:
        where = "" if offset is None else _(" at byte {offset}").format(offset=offset)
        if exc.errno in GONE:
            raise AlmaError(
                _(
                    "{name} stopped answering{where}: it was pulled out or is failing; nothing on "
                    "it is usable now, plug it in and start again"
                ).format(name=name, where=where)
            ) from exc
        if exc.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise AlmaError(_("{name} is full{where}").format(name=name, where=where)) from exc
        if exc.errno in (errno.EROFS, errno.EPERM, errno.EACCES):
            raise AlmaError(
                _("{name} cannot be written (write protection?): {reason}").format(
                    name=name, reason=exc.strerror
                )
            ) from exc
        raise


def _read_all(fd: int, offset: int, length: int) -> bytes:
    parts = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
