"""What the gateway asks of an engine. Adapters: `llama_server`; others fit the same two shapes.

An engine is opened with `async with open_engine(load) as engine`; leaving the block ends it. All
engines speak OpenAI's HTTP shapes, over whatever transport their client hides (a UNIX socket, an
application in this process, a remote address).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from alma_runtime.errors import AlmaError


@dataclass(frozen=True)
class Load:
    """What to load: a model file under a name, with context (tokens) and threads.

    `library` is the CPU variant to compute with.
    """

    model_id: str
    model: Path
    context: int
    threads: int
    library: Path | None = None


@dataclass(frozen=True)
class Death:
    """How an engine ended: a sentence, and whether it met an instruction the CPU does not have."""

    reason: str
    illegal_instruction: bool = False


class EngineFailed(AlmaError):
    """The engine ended, or could not start."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.reason)
        self.death = death


class Engine(Protocol):
    """A running engine."""

    @property
    def http(self) -> httpx.AsyncClient:
        """Requests to it; `/v1/chat/completions` and `/v1/completions` in OpenAI's shapes."""
        ...

    async def ready(self) -> None:
        """Return when it can answer. Raises `EngineFailed` when it ended instead."""
        ...

    async def death(self) -> Death:
        """Return when it has ended."""
        ...

    async def count_text(self, text: str) -> int:
        """Tokens of a plain text. Raises httpx errors and `AlmaError`."""
        ...

    async def count_messages(self, body: dict[str, Any]) -> int:
        """Tokens of a chat request once the model's template is applied."""
        ...


OpenEngine = Callable[[Load], AbstractAsyncContextManager[Engine]]
