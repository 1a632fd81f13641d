"""The same commit gives the same release, and a change gives only what it must."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from alma_image.source import CHECKOUT, NOT_SOURCE
from alma_runtime.config import settings
from alma_runtime.files import sha256_of
from alma_runtime.run import run
from tests.conftest import Built

pytestmark = pytest.mark.image
# The key that signs is the person's; everything else must be the release's own.
SIGNED_BY_SOMEBODY = {"manifest.json.sig", "release.pub"}


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in SIGNED_BY_SOMEBODY
    }


def copy_checkout(target: Path) -> Path:
    ignore = shutil.ignore_patterns(*(f"*{name}" for name in NOT_SOURCE), ".git", ".venv", "build")
    shutil.copytree(CHECKOUT, target, ignore=ignore, symlinks=True)
    return target


def build(checkout: Path, cache: Path, out: Path, **environment: str) -> dict[str, bool]:
    """Run the builder of a copied checkout; returns which stages came from the cache."""
    code = "from alma_runtime.cli import main; main()"
    path = os.pathsep.join((str(checkout), str(checkout / "image")))
    run(
        [sys.executable, "-c", code, "build", "--profile", "nano", "--out", out],
        env={"PYTHONPATH": path, "ALMA_CACHE_DIR": str(cache), **environment},
        cwd=out.parent,
    )
    stages = json.loads((out / "stages.json").read_text(encoding="utf-8"))
    return {name: stage["cached"] for name, stage in stages.items()}


def test_two_builds_in_two_places_are_the_same_byte_for_byte(built: Built, tmp_path: Path) -> None:
    """The second build shares the downloads and the compiled engine, nothing else."""
    ours, cache = settings().cache_dir, tmp_path / "another cache"
    for name in ("debs", "sources", "stages/engine"):
        shutil.copytree(ours / name, cache / name, symlinks=True)
    checkout = copy_checkout(tmp_path / "elsewhere" / "a copy")
    out = tmp_path / "out"
    out.mkdir()
    before = os.umask(0o077)
    try:
        cached = build(checkout, cache, out / "release", TZ="Pacific/Auckland", LC_ALL="C")
    finally:
        os.umask(before)
    assert [name for name, was in cached.items() if was] == ["engine"]
    assert contents(out / "release" / built.release.folder.name) == contents(built.release.folder)


def test_a_change_in_the_runtime_rebuilds_only_what_follows(built: Built, tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "copy")
    changed = checkout / "alma_runtime" / "errors.py"
    changed.write_text(changed.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    cached = build(checkout, settings().cache_dir, out / "release")
    made = [name for name, was in cached.items() if not was]
    assert made == ["runtime", "system-nano", "boot-nano"]
    assert (out / "release" / built.release.folder.name / "manifest.json").exists()
