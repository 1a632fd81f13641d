"""Stages whose results are kept under a key made from their real inputs.

A stage's folder appears under its final name only when it is complete, so what lies in the cache
is always whole. Work in progress lies in `work/`, is removed on every way out, and what a killed
run left there is removed by the next one. One build at a time uses a cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alma_image.release.sandbox import as_root
from alma_runtime.errors import AlmaError
from alma_runtime.files import fsync_folder
from alma_runtime.i18n import _
from alma_runtime.run import run

KEPT_PER_STAGE = 3


@dataclass(frozen=True)
class Stage:
    """A finished stage: its name, its key, where its files are, and what it took."""

    name: str
    key: str
    folder: Path
    seconds: float
    cached: bool


@dataclass
class StageCache:
    """A folder of finished stages, and a record of those used in this build."""

    folder: Path
    report: Callable[[str], None] = print
    used: list[Stage] = field(default_factory=list)

    def stage(self, name: str, inputs: Mapping[str, str], make: Callable[[Path], None]) -> Stage:
        """The stage's result: from the cache, or made now by `make(empty folder)`."""
        key, final = self._place(name, inputs)
        started = time.monotonic()
        cached = final.is_dir()
        if not cached:
            self.report(_("{stage}: building …").format(stage=name))
            self._make(final, make)
        os.utime(final)
        done = Stage(name, key, final, time.monotonic() - started, cached)
        how = _("{stage}: as before") if cached else f"{{stage}}: {done.seconds:.1f} s"
        self.report(how.format(stage=name))
        self.used.append(done)
        self._forget_old(final)
        return done

    def find(self, name: str, inputs: Mapping[str, str]) -> Path | None:
        """The folder of a stage's result if it is in the cache; needs no lock."""
        final = self._place(name, inputs)[1]
        return final if final.is_dir() else None

    def _place(self, name: str, inputs: Mapping[str, str]) -> tuple[str, Path]:
        text = json.dumps([name, dict(inputs)], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        return key, self.folder / "stages" / name / key[:24]

    def _make(self, final: Path, make: Callable[[Path], None]) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        with self.workspace() as work:
            result = work / "result"
            result.mkdir()
            make(result)
            # The builder's umask is nobody's business.
            run(["chmod", "-R", "u=rwX,go=rX", result])
            run(["sync", "--file-system", work])
            result.rename(final)
            fsync_folder(final.parent)

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder for work that is gone afterwards, whoever owns the files in it."""
        parent = self.folder / "work"
        parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix="w", dir=parent))
        path.chmod(0o755)
        try:
            yield path
        finally:
            remove(path)

    def _forget_old(self, current: Path) -> None:
        """Keep the newest few results of each stage, so the cache does not grow for ever."""
        others = [p for p in current.parent.iterdir() if p != current]
        others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for old in others[KEPT_PER_STAGE - 1 :]:
            remove(old)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cache for one build, and sweep out what a killed one left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise AlmaError(
                    _("another build is using {folder}; wait for it or set ALMA_CACHE_DIR").format(
                        folder=self.folder
                    )
                ) from exc
            for left in (self.folder / "work").glob("*"):
                remove(left)
            yield


def remove(path: Path) -> None:
    """Remove a folder even where its files belong to subordinate ids."""
    run(as_root(["rm", "-rf", "--", path]))
