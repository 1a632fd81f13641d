"""The engine `llama-server`: a child process of ours behind a UNIX socket that only we can reach.

The child starts in `/` and with a small environment: it would load libraries from its working
folder and take options from variables. Which CPU variant it computes with is decided by one
variable, GGML_BACKEND_PATH, and never by the engine's own search. It dies with us on every way
out: we stop it, and if we are killed the kernel does (PR_SET_PDEATHSIG, through setpriv).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import httpx

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.llm.engine import Death, EngineFailed, Load
from alma_runtime.llm.memory import BATCH
from alma_runtime.run import spawn, stop

PROGRAM = "llama-server"
POLL_SECONDS = 0.1
PROMPT_CACHE_MIB = 64  # the default of 8192 would take all the memory of a small PC
LONGEST_SOCKET = 100  # bytes; the kernel's limit is 107
LAST_BYTES = 4096


class LlamaServer:
    """One running child; see `engine.Engine` for what its methods promise."""

    def __init__(self, process: subprocess.Popen[bytes], socket: Path, log: IO[bytes]) -> None:
        self._process = process
        self._log = log
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://engine",
            timeout=httpx.Timeout(None, connect=10.0),
            trust_env=False,
        )
        self._ended = asyncio.Event()
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._note_end)

    @property
    def http(self) -> httpx.AsyncClient:
        return self._client

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        while True:
            if self._ended.is_set():
                raise EngineFailed(await self.death())
            with contextlib.suppress(httpx.HTTPError):
                if (await self._client.get("/health")).status_code == 200:
                    return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), POLL_SECONDS)

    async def death(self) -> Death:
        await self._ended.wait()
        status = self._process.wait()
        if status < 0:
            name = signal.Signals(-status).name
            reason = _("the engine was ended by the signal {name}").format(name=name)
            return Death(reason, illegal_instruction=-status == signal.SIGILL)
        words = self._last_words()
        reason = _("the engine ended with status {status}: {words}")
        return Death(reason.format(status=status, words=words or "?"))

    async def count_text(self, text: str) -> int:
        answer = await self._client.post("/tokenize", json={"content": text})
        return len(_checked(answer)["tokens"])

    async def count_messages(self, body: dict[str, Any]) -> int:
        answer = await self._client.post("/v1/chat/completions/input_tokens", json=body)
        return int(_checked(answer)["input_tokens"])

    async def close(self) -> None:
        """End the child and let go of everything."""
        await self._client.aclose()
        await asyncio.to_thread(stop, self._process)
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._ended.set()

    def _last_words(self) -> str:
        """The last error line of the child's log, which holds no prompt (verbosity: errors)."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LAST_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _checked(answer: httpx.Response) -> dict[str, Any]:
    data: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        raise AlmaError(str(data.get("error", {}).get("message", answer.status_code)))
    return data


@contextlib.asynccontextmanager
async def open_llama_server(
    load: Load, engine_dir: Path, sockets: Path
) -> AsyncIterator[LlamaServer]:
    """A child with the model, loading; ended when the block is left.

    The block must be entered in a thread that lives as long as the engine: the kernel's signal
    for «the parent is gone» is about the thread that made the child.

    Args:
        sockets: a folder of mode 0700 for the socket.

    Raises:
        EngineFailed: the program is not there.
    """
    socket = sockets / f"{load.model_id[:24]}.sock"
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise AlmaError(_("{path}: the path of the socket is too long").format(path=socket))
    program = engine_dir / PROGRAM
    if not program.is_file():
        raise EngineFailed(Death(_("the engine {path} is not installed").format(path=program)))
    socket.unlink(missing_ok=True)
    environment = {"GGML_BACKEND_PATH": str(load.library)} if load.library else {}
    with (
        os.fdopen(os.memfd_create("engine-log"), "w+b") as log,
        spawn(
            ["setpriv", "--pdeathsig", "KILL", program, *_options(load, socket)],
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=Path("/"),
            env=environment,
            new_session=True,
        ) as process,
    ):
        engine = LlamaServer(process, socket, log)
        try:
            yield engine
        finally:
            await asyncio.shield(engine.close())
            socket.unlink(missing_ok=True)


def _options(load: Load, socket: Path) -> list[str]:
    # fmt: off
    return [
        "--model", str(load.model),
        "--alias", load.model_id,
        "--host", str(socket),
        "--offline",
        "--no-webui",
        "--no-slots",
        "--metrics",                       # counts only; reached by nobody but us
        "--ctx-size", str(load.context),
        "--parallel", "1",                 # one conversation has all the context; others queue
        "--threads", str(load.threads),
        "--threads-batch", str(load.threads),
        "--batch-size", str(BATCH),
        "--ubatch-size", str(BATCH),
        "--cache-ram", str(PROMPT_CACHE_MIB),
        "--n-gpu-layers", "0",
        "--fit", "off",                    # we have chosen what fits, and say so
        "--jinja",
        "--log-verbosity", "1",            # errors only: prompts stay out of logs
    ]
    # fmt: on
