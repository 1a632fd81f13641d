"""A copy of this checkout, and builds from it: for tests and measurements that change sources."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any

from alma_image.source import CHECKOUT, NOT_SOURCE
from alma_runtime.files import sha256_of
from alma_runtime.run import run


def copy_checkout(target: Path) -> Path:
    """The sources as they are now, without what tools and builds leave in them."""
    ignore = shutil.ignore_patterns(*(f"*{name}" for name in NOT_SOURCE), ".git", ".venv", "build")
    shutil.copytree(CHECKOUT, target, ignore=ignore, symlinks=True)
    return target


def release_contents(out: Path) -> dict[str, str]:
    """SHA-256 by name of what a build put into `out`.

    The key that signs is the person's, and times are the machine's: they are left out.
    """
    ours = ("manifest.json.sig", "release.pub", "stages.json")
    return {
        str(path.relative_to(out)): sha256_of(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ours
    }


def touch_runtime(checkout: Path) -> None:
    """The smallest change of the runtime, and one that no cache has seen."""
    changed = checkout / "alma_runtime" / "errors.py"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(f"{text}\n# changed: {uuid.uuid4()}\n", encoding="utf-8")


def share(ours: Path, cache: Path, names: tuple[str, ...]) -> None:
    """Give another cache parts of ours."""
    for name in names:
        if (ours / name).exists():
            shutil.copytree(ours / name, cache / name, symlinks=True)


def build(checkout: Path, cache: Path, out: Path, **environment: str) -> dict[str, Any]:
    """Run the nano build of a checkout; what each stage took and whether it was cached."""
    out.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join((str(checkout), str(checkout / "image")))
    program = "from alma_runtime.cli import main; main()"
    run(
        [sys.executable, "-c", program, "build", "--profile", "nano", "--out", out],
        env={"PYTHONPATH": path, "ALMA_CACHE_DIR": str(cache), **environment},
        cwd=out.parent,
    )
    stages: dict[str, Any] = json.loads((out / "stages.json").read_text(encoding="utf-8"))
    return stages
