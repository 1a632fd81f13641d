"""Keeps one engine running: chooses, loads, restarts with a limit, goes on to a smaller model.

The gateway reads `health` and `engine`; everything that takes time happens in `run`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.llm.choice import Candidate, Plan, make_plan, reason_for
from alma_runtime.llm.engine import Death, Engine, EngineFailed, Load, OpenEngine
from alma_runtime.llm.hardware import Machine
from alma_runtime.llm.models import InstalledModel, Verifier, installed
from alma_runtime.llm.trial import VariantChooser, trial_model
from alma_runtime.llm.wishes import Wishes, read_wishes
from alma_runtime.models_lock import read_models_lock
from alma_runtime.tree import Tree

MAX_RESTARTS = 3
RESTART_WINDOW_SECONDS = 600.0


@dataclass(frozen=True)
class Surroundings:
    """Everything the supervisor looks at; `machine` and `open_engine` are asked when needed."""

    tree: Tree
    model_folders: tuple[Path, ...]
    models_lock: Path
    engine_dir: Path
    machine: Callable[[], Machine]
    open_engine: OpenEngine


@dataclass(frozen=True)
class Health:
    """What `/health` tells: status is loading, ready or failed."""

    status: str
    reason: str = ""
    model: str | None = None
    choice: str = ""


@dataclass(frozen=True)
class Loaded:
    """The engine that answers now, and what it was loaded with."""

    engine: Engine
    candidate: Candidate


class Supervisor:
    """One engine's life. `on_change` is called with every new state."""

    def __init__(self, around: Surroundings, on_change: Callable[[Health], None]) -> None:
        self._around = around
        self._on_change = on_change
        self._verifier = Verifier(around.tree.llm_cache)
        self._wishes = Wishes()
        self._notes: list[str] = []
        self.health = Health("loading")
        self.loaded: Loaded | None = None

    async def run(self) -> None:
        """Until cancelled; a failure is a state with its reason, not an exception."""
        try:
            await self._run()
        except AlmaError as exc:
            self._enter(Health("failed", str(exc)))

    async def _run(self) -> None:
        self._enter(Health("loading", _("looking at this machine")))
        machine = await asyncio.to_thread(self._around.machine)
        try:
            self._wishes = read_wishes(self._around.tree.llm_config)
        except AlmaError as exc:
            self._notes.append(str(exc))
        models = installed(self._around.model_folders, read_models_lock(self._around.models_lock))
        plan = make_plan(models, machine, self._wishes)
        self._notes += plan.notes
        chooser = await self._chooser(machine, models)
        for candidate in plan.candidates:
            if await self._genuine(candidate.model):
                death = await self._serve(candidate, plan, chooser)
                note = _("{id} could not be kept running: {reason}")
                self._notes.append(note.format(id=candidate.model.lock.id, reason=death.reason))
        folders = ", ".join(str(f) for f in self._around.model_folders)
        problems = self._notes or [
            _("no model of the lock is in {folders}").format(folders=folders)
        ]
        raise AlmaError(_("No model can answer: {reasons}").format(reasons="; ".join(problems)))

    async def _chooser(self, machine: Machine, models: list[InstalledModel]) -> VariantChooser:
        genuine = [m for m in models if m.lock.demonstration and await self._genuine(m)]
        around = self._around
        return VariantChooser(
            around.engine_dir,
            machine,
            around.tree.llm_cache,
            around.open_engine,
            trial_model(genuine or models),
        )

    async def _genuine(self, model: InstalledModel) -> bool:
        self._enter(Health("loading", _("checking {file}").format(file=model.path.name)))
        if await asyncio.to_thread(self._verifier.is_genuine, model):
            return True
        note = _("{path} is not the file that models.lock names «{id}»; it is not loaded")
        self._notes.append(note.format(path=model.path, id=model.lock.id))
        return False

    async def _serve(self, candidate: Candidate, plan: Plan, chooser: VariantChooser) -> Death:
        """Keep one model running; return when it is not to be tried again."""
        lock, deaths = candidate.model.lock, list[float]()
        reason = _("loading {id}").format(id=lock.id)
        while True:
            library = await self._variant(chooser)
            line = reason_for(candidate, plan, self._wishes, self._notes)
            self._enter(Health("loading", reason, lock.id, line))
            load = Load(
                lock.id, candidate.model.path, candidate.context, candidate.threads, library
            )
            death, answered = await self._one_life(load, candidate, line)
            if death.illegal_instruction:
                chooser.reject(library, death.reason)
                continue
            now = time.monotonic()
            deaths = [t for t in deaths if now - t < RESTART_WINDOW_SECONDS] + [now]
            if not answered or len(deaths) > MAX_RESTARTS:
                return death
            reason = _("{reason}; starting it again").format(reason=death.reason)

    async def _variant(self, chooser: VariantChooser) -> Path:
        if not chooser.known.good:
            self._enter(Health("loading", _("trying what this processor can do")))
        return await chooser.choose()

    async def _one_life(self, load: Load, candidate: Candidate, line: str) -> tuple[Death, bool]:
        """From start to death; and whether it ever got ready."""
        try:
            async with self._around.open_engine(load) as engine:
                await engine.ready()
                self.loaded = Loaded(engine, candidate)
                self._enter(Health("ready", "", load.model_id, line))
                return await engine.death(), True
        except EngineFailed as exc:
            return exc.death, False
        finally:
            self.loaded = None

    def _enter(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            self._on_change(health)
