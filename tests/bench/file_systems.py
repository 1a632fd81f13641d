"""squashfs against EROFS for the same tree: size, and seconds to make."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from alma_image.profile import read_profile
from alma_image.release.build import build_release, tools_sandbox
from alma_image.release.system_image import EXCLUDED, assemble
from alma_image.source import BUILD
from alma_runtime.config import settings

SQUASHFS = ["-noappend", "-no-progress", "-no-xattrs", "-b", "1M", "-comp", "zstd"]
CANDIDATES = {
    "squashfs zstd-3": ["mksquashfs", "TREE", "IMAGE", *SQUASHFS, "-Xcompression-level", "3"],
    "squashfs zstd-19": ["mksquashfs", "TREE", "IMAGE", *SQUASHFS, "-Xcompression-level", "19"],
    "erofs lz4hc-12": ["mkfs.erofs", "-zlz4hc,12", "-C65536", "IMAGE", "TREE"],
    "erofs zstd-3": ["mkfs.erofs", "-zzstd,level=3", "-C1048576", "IMAGE", "TREE"],
    "erofs zstd-19": ["mkfs.erofs", "-zzstd,level=19", "-C1048576", "IMAGE", "TREE"],
}


def main() -> None:
    """Make each candidate once from the nano system tree."""

    def quiet(_text: str) -> None:
        pass

    release = build_release(read_profile("nano"), BUILD / "release", quiet)
    sandbox = tools_sandbox(quiet)
    stages = {stage.name: stage.folder for stage in release.stages}
    with tempfile.TemporaryDirectory(dir=settings().cache_dir) as name:
        work = Path(name)
        tree = work / "tree"
        tree.mkdir()
        layers = [stages[layer] for layer in ("engine", "wheels", "runtime")]
        assemble(sandbox, stages["tree-nano"] / "tree.tar", layers, tree)
        for pattern in EXCLUDED.read_text(encoding="utf-8").split():
            found = [str(path) for path in tree.glob(pattern)]
            if found:
                sandbox.run(["rm", "-rf", *found], binds=[tree])
        for title, command in CANDIDATES.items():
            image = work / "image"
            image.unlink(missing_ok=True)
            argv = [{"TREE": str(tree), "IMAGE": str(image)}.get(word, word) for word in command]
            started = time.monotonic()
            sandbox.run(argv, binds=[work])
            seconds = time.monotonic() - started
            print(f"{title:<18}{image.stat().st_size / 1e6:>9.1f} MB{seconds:>9.1f} s", flush=True)
        sandbox.run(["rm", "-rf", tree], binds=[work])
