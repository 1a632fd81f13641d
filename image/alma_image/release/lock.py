"""`image/system.lock`: every Debian package of every tree, pinned by version and SHA-256.

One line a package: the sets that it belongs to, its name, version, architecture, archive (the
last part of its URI), path in that archive, size in bytes, SHA-256. The file's epoch is the time
that everything in a release carries, so a release does not depend on when it is built.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from alma_image.source import IMAGE
from alma_runtime.errors import AlmaError
from alma_runtime.files import write_file
from alma_runtime.i18n import _

LOCK_FILE = IMAGE / "system.lock"
HEADER = """\
# Every Debian 13 package of the tools tree and of each profile's system, pinned.
# Renew with: alma build --update-lock
# sets name version architecture archive path size sha256
"""


@dataclass(frozen=True, order=True)
class Package:
    """One .deb: `archive` is `debian` or `debian-security`, `path` lies below it."""

    name: str
    version: str
    architecture: str
    archive: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class SystemLock:
    """The pins of all sets (`tools` and one for each profile), and the release's epoch."""

    epoch: int
    sets: Mapping[str, tuple[Package, ...]]

    def packages(self, name: str) -> tuple[Package, ...]:
        """The packages of one set.

        Raises:
            AlmaError: the lock has no such set.
        """
        if name not in self.sets:
            raise AlmaError(
                _("{file} has no packages for «{name}»; run «alma build --update-lock»").format(
                    file=LOCK_FILE.name, name=name
                )
            )
        return self.sets[name]


def read_lock(path: Path = LOCK_FILE) -> SystemLock:
    """The lock file.

    Raises:
        AlmaError: it is missing, or a line is not as it must be (the message has its number).
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise AlmaError(
            _("{file} cannot be read; run «alma build --update-lock»").format(file=path)
        ) from exc
    epoch: int | None = None
    sets: dict[str, list[Package]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith("epoch "):
                epoch = int(line.split()[1])
                continue
            names, name, version, architecture, archive, place, size, digest = line.split()
            package = Package(name, version, architecture, archive, place, int(size), digest)
            if len(bytes.fromhex(digest)) != 32 or ".." in place:
                raise ValueError
        except (ValueError, IndexError) as exc:
            raise AlmaError(
                _("{file}, line {number}: this is not a pinned package: {line}").format(
                    file=path, number=number, line=line[:80]
                )
            ) from exc
        for member in names.split(","):
            sets.setdefault(member, []).append(package)
    if epoch is None:
        raise AlmaError(_("{file}: the line «epoch …» is missing").format(file=path))
    return SystemLock(epoch, {k: tuple(sorted(v)) for k, v in sets.items()})


def write_lock(sets: Mapping[str, Sequence[Package]], path: Path = LOCK_FILE) -> None:
    """Write the lock file, epoch now."""
    members: dict[Package, list[str]] = {}
    for name in sorted(sets):
        for package in sets[name]:
            members.setdefault(package, []).append(name)
    lines = [
        " ".join((",".join(names), *(str(field) for field in astuple(package))))
        for package, names in sorted(members.items())
    ]
    write_file(path, HEADER + f"epoch {int(time.time())}\n" + "\n".join(lines) + "\n")
