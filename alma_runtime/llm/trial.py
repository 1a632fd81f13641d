"""Finding the CPU variant that really works here: each is tried in a child process, best first.

What a processor says it can do is not enough: a variant has been seen to die of an illegal
instruction on a processor that announced everything it needed. The result is remembered in the
tree for each kind of machine, so that only the first start on a PC pays for the trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from alma_runtime.files import write_file
from alma_runtime.i18n import _
from alma_runtime.llm.cpu import Variant, library, usable
from alma_runtime.llm.engine import Death, EngineFailed, Load, OpenEngine
from alma_runtime.llm.hardware import Machine
from alma_runtime.llm.models import InstalledModel

TRIAL_CONTEXT = 512
TRIAL_SECONDS = 300.0  # an emulated processor is slow; a variant that hangs must not stop us
TRIAL_TEXT = "uno dos tres cuatro cinco seis siete ocho nueve diez " * 8  # enough for a full batch
FINGERPRINT_DIGITS = 16


@dataclass
class Known:
    """What was learnt on this kind of machine with this build of the engine."""

    good: str = ""
    failed: dict[str, str] = field(default_factory=dict)


class VariantChooser:
    """The variant to use now, and what to do when it turns out bad later.

    Args:
        cache: folder of the tree; where it cannot be written, nothing is remembered.
        model: a small genuine model to try with; None: the best variant is taken untried.
    """

    def __init__(
        self,
        engine_dir: Path,
        machine: Machine,
        cache: Path,
        open_engine: OpenEngine,
        model: InstalledModel | None,
    ) -> None:
        self._engine_dir = engine_dir
        self._variants = usable(engine_dir, machine.flags)
        self._build = _build_stamp(engine_dir, self._variants)
        self._file = cache / f"machine-{machine.fingerprint[:FINGERPRINT_DIGITS]}.json"
        self._open_engine = open_engine
        self._model = model
        self.known = _read(self._file, self._build)

    async def choose(self) -> Path:
        """The library of the best variant that works.

        Raises:
            EngineFailed: none is installed or none works; the reason is the last one's.
        """
        death = Death(_("no CPU variant of the engine fits this processor"))
        for variant in self._variants:
            if variant.name in self.known.failed:
                continue
            path = library(self._engine_dir, variant)
            if variant.name == self.known.good or self._model is None:
                return path
            try:
                await self._try(path)
            except EngineFailed as exc:
                death = exc.death
                self.known.failed[variant.name] = death.reason
                continue
            self.known.good = variant.name
            self._remember()
            return path
        raise EngineFailed(death)

    def reject(self, path: Path, reason: str) -> None:
        """A variant crashed at work although it had passed: never again on this machine."""
        for variant in self._variants:
            if library(self._engine_dir, variant) == path:
                self.known.failed[variant.name] = reason
                self.known.good = ""
        self._remember()

    async def _try(self, path: Path) -> None:
        assert self._model is not None  # noqa: S101
        load = Load("trial", self._model.path, TRIAL_CONTEXT, 1, path)
        try:
            async with asyncio.timeout(TRIAL_SECONDS), self._open_engine(load) as engine:
                await engine.ready()
                request = {"prompt": TRIAL_TEXT, "max_tokens": 4, "temperature": 0}
                try:
                    answer = await engine.http.post("/v1/completions", json=request)
                except httpx.HTTPError:
                    raise EngineFailed(await engine.death()) from None
                if answer.status_code != 200:
                    raise EngineFailed(Death(f"{answer.status_code}: {answer.text[:200]}"))
        except TimeoutError:
            raise EngineFailed(Death(_("no answer in the trial"))) from None

    def _remember(self) -> None:
        content = {"engine": self._build, "good": self.known.good, "failed": self.known.failed}
        with contextlib.suppress(OSError):
            write_file(self._file, json.dumps(content, indent=1), 0o660)


def trial_model(models: Sequence[InstalledModel]) -> InstalledModel | None:
    """The smallest model: the trial is about the processor."""
    return min(models, key=lambda m: m.lock.size, default=None)


def _build_stamp(engine_dir: Path, variants: Sequence[Variant]) -> str:
    """Changes when the engine is another one: sizes and times of its files."""
    parts = []
    for path in [engine_dir / "llama-server", *(library(engine_dir, v) for v in variants)]:
        with contextlib.suppress(OSError):
            stat = path.stat()
            parts.append(f"{path.stem}:{stat.st_size}:{int(stat.st_mtime)}")
    return " ".join(parts)


def _read(path: Path, build: str) -> Known:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["engine"] != build:
            return Known()
        return Known(str(data["good"]), {str(k): str(v) for k, v in data["failed"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Known()
