"""`system.img`: the whole system as one read-only squashfs with its dm-verity tree behind it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alma_image.profile import Profile
from alma_image.release.lock import SystemLock
from alma_image.release.sandbox import Sandbox
from alma_image.release.stages import Stage, StageCache
from alma_image.release.system_tree import unpack_tree
from alma_image.source import IMAGE

EXCLUDED = IMAGE / "boot" / "excluded.txt"
BLOCK = 4096


@dataclass(frozen=True)
class Verity:
    """Where the hash tree begins (bytes), the whole image's size (bytes), and its root hash."""

    root_hash: str
    hash_offset: int
    image_size: int


def read_verity(stage: Stage) -> Verity:
    """The numbers that a finished `system` stage wrote down."""
    return Verity(**json.loads((stage.folder / "verity.json").read_text(encoding="utf-8")))


def assemble(sandbox: Sandbox, archive: Path, layers: Sequence[Path], tree: Path) -> None:
    """The system tree with the layers laid over it, everything in them owned by root."""
    unpack_tree(sandbox, archive, tree)
    for layer in layers:
        sandbox.run(
            ["cp", "-r", "--no-dereference", "--preserve=mode,links", "--no-preserve=ownership",
             f"{layer}/.", tree],
            binds=[tree], ro_binds=[layer],
        )  # fmt: skip


def make_squashfs(sandbox: Sandbox, tree: Path, image: Path, level: int, epoch: int) -> None:
    """A squashfs that depends on nothing but the tree, padded to whole blocks."""
    sandbox.run(
        ["mksquashfs", tree, image, "-noappend", "-no-progress", "-no-xattrs", "-comp", "zstd",
         "-Xcompression-level", str(level), "-b", "1M", "-mkfs-time", str(epoch),
         "-all-time", str(epoch), "-wildcards", "-ef", EXCLUDED],
        binds=[image.parent], ro_binds=[tree, EXCLUDED],
    )  # fmt: skip


def add_verity(sandbox: Sandbox, image: Path) -> Verity:
    """Append the hash tree; its salt and UUID come from the content, so they are reproducible.

    The superblock carries them (cryptsetup, lib/verity/verity.c).
    """
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    padding = -image.stat().st_size % BLOCK
    with image.open("ab") as stream:
        stream.write(bytes(padding))
    offset = image.stat().st_size
    uuid = "-".join(
        (digest[:8], digest[8:12], "4" + digest[13:16], "8" + digest[17:20], digest[20:32])
    )
    said = sandbox.run(
        ["veritysetup", "format", f"--hash-offset={offset}", f"--salt={digest}", f"--uuid={uuid}",
         image, image],
        binds=[image.parent],
    ).text  # fmt: skip
    root = re.search(r"Root hash:\s+([0-9a-f]{64})", said)
    if root is None:
        raise RuntimeError(f"veritysetup printed no root hash: {said}")
    with image.open("ab") as stream:
        stream.write(bytes(-image.stat().st_size % BLOCK))
    return Verity(root.group(1), offset, image.stat().st_size)


def build_system_image(
    cache: StageCache,
    lock: SystemLock,
    profile: Profile,
    sandbox: Sandbox,
    tree: Stage,
    layers: Sequence[Stage],
) -> Stage:
    """Stage `system`: `system.img` and `verity.json`."""

    def make(result: Path) -> None:
        with cache.workspace() as work:
            whole = work / "tree"
            whole.mkdir()
            assemble(sandbox, tree.folder / "tree.tar", [stage.folder for stage in layers], whole)
            image = result / "system.img"
            make_squashfs(sandbox, whole, image, profile.squashfs_level, lock.epoch)
        verity = add_verity(sandbox, image)
        (result / "verity.json").write_text(json.dumps(asdict(verity)), encoding="utf-8")

    inputs = {
        "tree": tree.key,
        "excluded": EXCLUDED.read_text(encoding="utf-8"),
        "level": str(profile.squashfs_level),
        "epoch": str(lock.epoch),
        "form": "1",
        **{stage.name: stage.key for stage in layers},
    }
    return cache.stage(f"system-{profile.name}", inputs, make)
