"""The same commit gives the same release, and a change gives only what it must."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alma_runtime.config import settings
from tests.checkout import build, copy_checkout, release_contents, share, touch_runtime
from tests.conftest import Built

pytestmark = pytest.mark.image


def test_two_builds_in_two_places_are_the_same_byte_for_byte(built: Built, tmp_path: Path) -> None:
    """The second build shares the downloads and the compiled engine, nothing else."""
    ours, cache = settings().cache_dir, tmp_path / "another cache"
    share(ours, cache, ("debs", "sources", "stages/engine"))
    checkout = copy_checkout(tmp_path / "elsewhere" / "a copy")
    out = tmp_path / "out" / "release"
    before = os.umask(0o077)
    try:
        stages = build(checkout, cache, out, TZ="Pacific/Auckland", LC_ALL="C")
    finally:
        os.umask(before)
    assert [name for name, stage in stages.items() if stage["cached"]] == ["engine"]
    name = built.release.folder.name
    assert release_contents(out / name) == release_contents(built.release.folder)


def test_a_change_in_the_runtime_rebuilds_only_what_follows(built: Built, tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path / "copy")
    touch_runtime(checkout)
    out = tmp_path / "out" / "release"
    stages = build(checkout, settings().cache_dir, out)
    made = [name for name, stage in stages.items() if not stage["cached"]]
    assert made == ["runtime", "system-nano", "boot-nano"]
    assert (out / built.release.folder.name / "manifest.json").exists()
