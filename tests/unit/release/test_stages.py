"""A stage is in the cache whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alma_image.release.stages import KEPT_PER_STAGE, StageCache
from alma_runtime.errors import AlmaError


def make_one(result: Path) -> None:
    (result / "file").write_text("made", encoding="utf-8")


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    return StageCache(tmp_path / "cache", lambda _text: None)


def test_the_same_inputs_are_made_once(cache: StageCache) -> None:
    first = cache.stage("one", {"a": "1"}, make_one)
    again = cache.stage("one", {"a": "1"}, lambda _result: pytest.fail("made twice"))
    assert (first.cached, again.cached) == (False, True)
    assert first.folder == again.folder


def test_another_input_or_stage_name_is_another_result(cache: StageCache) -> None:
    folders = {
        cache.stage("one", {"a": "1"}, make_one).folder,
        cache.stage("one", {"a": "2"}, make_one).folder,
        cache.stage("two", {"a": "1"}, make_one).folder,
    }
    assert len(folders) == 3


def test_a_failed_step_leaves_nothing(cache: StageCache) -> None:
    def fail(result: Path) -> None:
        make_one(result)
        raise AlmaError("no")

    with pytest.raises(AlmaError):
        cache.stage("one", {}, fail)
    assert not list((cache.folder / "work").iterdir())
    assert not list((cache.folder / "stages" / "one").iterdir())


def test_a_killed_build_is_swept_out_and_its_stage_made_again(cache: StageCache) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from alma_image.release.stages import StageCache\n"
        f"cache = StageCache(Path({str(cache.folder)!r}), lambda text: None)\n"
        "def make(result):\n"
        "    (result / 'half').touch(); print('working', flush=True); time.sleep(60)\n"
        "with cache.locked():\n    cache.stage('one', {}, make)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(AlmaError), cache.locked():
            pass
        os.kill(child.pid, signal.SIGKILL)
    assert list((cache.folder / "work").iterdir())
    with cache.locked():
        assert not list((cache.folder / "work").iterdir())
        stage = cache.stage("one", {}, make_one)
    assert [path.name for path in stage.folder.iterdir()] == ["file"]


def test_only_the_newest_results_of_a_stage_are_kept(cache: StageCache) -> None:
    for number in range(KEPT_PER_STAGE + 2):
        newest = cache.stage("one", {"n": str(number)}, make_one)
        time.sleep(0.01)  # so that modification times differ
    kept = list((cache.folder / "stages" / "one").iterdir())
    assert len(kept) == KEPT_PER_STAGE
    assert newest.folder in kept
