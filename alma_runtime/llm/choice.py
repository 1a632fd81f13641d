"""Choosing a model: the most capable one that fits into the memory that is free, and saying why.

Capable means large: among quantised chat models the file's size is the best simple measure. The
demonstration comes last and always, whatever the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.llm.gguf_header import read_header
from alma_runtime.llm.hardware import Machine
from alma_runtime.llm.memory import memory_needed
from alma_runtime.llm.models import InstalledModel
from alma_runtime.llm.wishes import Wishes

CONTEXTS = (8192, 4096, 2048)  # tokens; the first that fits
RESERVE = 256 << 20  # for the gateway, the chat, and what the person does beside it
TINY = 32 << 20  # bytes of a model whose threads would wait for each other longer than they compute
GIB = 1 << 30


@dataclass(frozen=True)
class Candidate:
    """A model with the context and threads to load it with; `memory` in bytes is our estimate."""

    model: InstalledModel
    context: int
    threads: int
    memory: int


@dataclass(frozen=True)
class Plan:
    """Candidates to try in this order; `notes` say in words what was passed over, and why."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    memory_available: int


def make_plan(models: Sequence[InstalledModel], machine: Machine, wishes: Wishes) -> Plan:
    """What to load on this machine.

    Args:
        models: those installed, largest first, the demonstration last.
    """
    notes: list[str] = []
    candidates: list[Candidate] = []
    for model in _in_order(models, wishes, notes):
        try:
            candidate = _fitting(model, machine, wishes)
        except AlmaError as exc:
            notes.append(str(exc))
            continue
        if candidate.memory + RESERVE <= machine.memory_available or model.lock.demonstration:
            candidates.append(candidate)
        else:
            reason = _("{id} does not fit: it needs {needed} and {free} are free")
            notes.append(
                reason.format(
                    id=model.lock.id,
                    needed=gib(candidate.memory + RESERVE),
                    free=gib(machine.memory_available),
                )
            )
    return Plan(tuple(candidates), tuple(notes), machine.memory_available)


def reason_for(candidate: Candidate, plan: Plan, wishes: Wishes, notes: Sequence[str]) -> str:
    """One line for the person: which model answers, and why this one."""
    lock = candidate.model.lock
    if lock.demonstration:
        why = _("only a demonstration, because no other model can be used here")
    elif wishes.model == lock.id:
        why = _("the one you chose")
    else:
        why = _("the best one that fits into the {free} of free memory").format(
            free=gib(plan.memory_available)
        )
    line = _("Model: {id} ({context} tokens of context), {why}").format(
        id=lock.id, context=candidate.context, why=why
    )
    return ". ".join([line, *notes])


def gib(size: int) -> str:
    """A size as people say it: GiB with one decimal, MiB below one."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size >> 20} MiB"


def _in_order(
    models: Sequence[InstalledModel], wishes: Wishes, notes: list[str]
) -> Sequence[InstalledModel]:
    """All models, or from the wished one on downwards."""
    if wishes.model is None:
        return models
    ids = [m.lock.id for m in models]
    if wishes.model not in ids:
        notes.append(_("the model «{id}» is not installed").format(id=wishes.model))
        return models
    return models[ids.index(wishes.model) :]


def _fitting(model: InstalledModel, machine: Machine, wishes: Wishes) -> Candidate:
    """The model with the longest context that fits, else with the shortest."""
    header = read_header(model.path)
    longest = header.context or model.lock.context
    contexts = [wishes.context] if wishes.context else list(CONTEXTS)
    threads = wishes.threads or (1 if model.lock.size < TINY else machine.cores)
    options = [
        Candidate(model, context, threads, memory_needed(model.lock.size, header, context))
        for context in dict.fromkeys(min(context, longest) for context in contexts)
    ]
    fitting = [o for o in options if o.memory + RESERVE <= machine.memory_available]
    return (fitting or options[-1:])[0]
