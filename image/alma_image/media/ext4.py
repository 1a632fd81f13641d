"""ext4 images made from a list of entries, with any owner, by whoever runs the builder.

mke2fs copies a folder's content; the owners and modes are then set inside the image by debugfs,
so neither root nor a kernel that can mount is needed. Blocks of 4096 bytes (LUKS2 sectors).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.volumes import Runner

BLOCK = 4096
FOLDER = 0o040000
FILE = 0o100000


@dataclass(frozen=True)
class Entry:
    """A folder, or a file where `content` is not None; path relative to the root ("" = root)."""

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    content: bytes | None = None


def make_ext4(
    tools: Runner,
    image: Path,
    *,
    size: int,
    label: str,
    uuid: str,
    entries: Sequence[Entry],
    grows_to: int,
    journal_mib: int = 8,
) -> None:
    """Make the image file.

    Args:
        size: bytes of the file system now.
        grows_to: bytes up to which it can be grown later while mounted.
    """
    image.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=image.parent, prefix="tree.") as name:
        tree = Path(name)
        for entry in entries:
            path = tree / entry.path
            if entry.content is None:
                path.mkdir(exist_ok=True, parents=True)
            else:
                path.write_bytes(entry.content)
        tools(
            [
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-b",
                str(BLOCK),
                "-m",
                "0",
                "-L",
                label,
                "-U",
                uuid,
                "-J",
                f"size={journal_mib}",
                "-i",
                "65536",
                "-E",
                f"resize={grows_to // BLOCK},root_owner=0:0",
                "-d",
                tree,
                image.absolute(),
                f"{size // 1024}k",
            ]
        )
    lines = []
    for entry in entries:
        kind = FOLDER if entry.content is None else FILE
        path_in_image = "/" + entry.path
        lines += [
            f"sif {path_in_image} mode 0{kind | entry.mode:o}",
            f"sif {path_in_image} uid {entry.uid}",
            f"sif {path_in_image} gid {entry.gid}",
        ]
    script = "\n".join(lines).encode()
    done = tools(["debugfs", "-w", "-f", "-", image.absolute()], stdin=script + b"\n")
    # debugfs ends with status 0 whatever happens; its banner and the echo of commands are known.
    noise = [x for x in done.stderr.decode().splitlines() if x and not x.startswith("debugfs ")]
    if noise:
        raise AlmaError(_("{path}: {reason}").format(path=image, reason=noise[0]))


def block_of(tools: Runner, image: Path, path: str) -> int:
    """Offset in bytes of a one-block file's content within the image.

    Raises:
        AlmaError: no such file, or it has no block of its own.
    """
    words = tools(["debugfs", "-R", f"blocks /{path}", image.absolute()]).text
    if not re.fullmatch(r"\d+\s*", words):
        raise AlmaError(_("{path}: {reason}").format(path=image, reason=words.strip() or path))
    return int(words) * BLOCK


def check_ext4(tools: Runner, image: Path) -> None:
    """Raises ProgramFailed, with e2fsck's words, unless the file system is sound."""
    tools(["e2fsck", "-f", "-n", image.absolute()])
