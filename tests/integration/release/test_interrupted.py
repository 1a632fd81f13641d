"""A build that is interrupted leaves no process, no mount, and nothing that looks finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alma_image.release.stages import StageCache
from alma_runtime.config import settings
from tests.checkout import share
from tests.conftest import Built

pytestmark = pytest.mark.image
PROGRAM = "from alma_runtime.cli import main; main()"
LIMIT_SECONDS = 120


def wait_for(condition: object, what: str) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit, what
        time.sleep(0.1)


def processes_about(text: str) -> list[str]:
    """Command lines of living processes that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    cache = tmp_path / "interrupted-cache"
    share(settings().cache_dir, cache, ("debs",))
    environment = {**os.environ, "ALMA_CACHE_DIR": str(cache)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "build", "--profile", "nano", "--out", tmp_path / "out"],
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        # In the middle of the tools tree: packages are being unpacked in a root of their own.
        wait_for(lambda: any((cache / "work").glob("*/mmdebstrap.*/usr/bin")), "no unpacking")
        if number == signal.SIGINT:
            os.killpg(child.pid, number)  # as a terminal does
        else:
            child.send_signal(number)
        assert child.wait(LIMIT_SECONDS) != 0
    wait_for(lambda: not processes_about(str(cache)), "processes are left")
    assert str(cache) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert not (tmp_path / "out").exists()
    assert not list((cache / "stages").glob("*/*"))
    with StageCache(cache, lambda _text: None).locked():
        assert not list((cache / "work").iterdir())


def test_what_was_finished_is_finished(built: Built) -> None:
    assert not list((settings().cache_dir / "work").iterdir())
    assert (built.release.folder / "manifest.json.sig").stat().st_size == 64
