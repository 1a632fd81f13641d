"""What `alma doctor` reports about the model side of this machine."""

from __future__ import annotations

from dataclasses import dataclass

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.llm.choice import gib, make_plan, reason_for
from alma_runtime.llm.cpu import usable
from alma_runtime.llm.models import installed
from alma_runtime.llm.supervisor import Surroundings
from alma_runtime.llm.wishes import Wishes, read_wishes
from alma_runtime.models_lock import read_models_lock


@dataclass(frozen=True)
class Report:
    """Memory in bytes; `variants` best first; `models` as found by size, not yet by hash."""

    processor: str
    cores: int
    variants: tuple[str, ...]
    memory_total: int
    memory_available: int
    models: tuple[str, ...]
    chosen: str | None
    choice: str
    problems: tuple[str, ...]


def examine(around: Surroundings) -> Report:
    """Look at everything, load nothing, and collect problems instead of stopping at the first."""
    machine = around.machine()
    problems: list[str] = []
    wishes = Wishes()
    try:
        wishes = read_wishes(around.tree.llm_config)
    except AlmaError as exc:
        problems.append(str(exc))
    try:
        models = installed(around.model_folders, read_models_lock(around.models_lock))
    except AlmaError as exc:
        problems.append(str(exc))
        models = []
    if not (around.engine_dir / "llama-server").is_file():
        problems.append(_("the engine is not installed in {path}").format(path=around.engine_dir))
    plan = make_plan(models, machine, wishes)
    first = plan.candidates[0] if plan.candidates else None
    return Report(
        processor=machine.processor,
        cores=machine.cores,
        variants=tuple(v.name for v in usable(around.engine_dir, machine.flags)),
        memory_total=machine.memory_total,
        memory_available=machine.memory_available,
        models=tuple(m.lock.id for m in models),
        chosen=first.model.lock.id if first else None,
        choice=reason_for(first, plan, wishes, plan.notes) if first else "",
        problems=tuple(problems),
    )


def lines(report: Report) -> list[str]:
    """The report as people read it."""
    none = _("none")
    return [
        _("Processor: {name}, {cores} cores").format(name=report.processor, cores=report.cores),
        _("CPU variants: {names}").format(names=", ".join(report.variants) or none),
        _("Memory: {free} free of {total}").format(
            free=gib(report.memory_available), total=gib(report.memory_total)
        ),
        _("Models: {names}").format(names=", ".join(report.models) or none),
        report.choice or _("No model can be loaded"),
        *(_("Problem: {text}").format(text=p) for p in report.problems),
    ]
