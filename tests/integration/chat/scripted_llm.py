"""A small real HTTP server that speaks the gateway's shapes, and fails on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "llave-de-prueba"


@dataclass
class Script:
    """What the server does; a test changes it while it runs."""

    pieces: list[str] = field(default_factory=lambda: ["¡Hola", ", ñandú 🦤", "!"])
    chunk: int = 3  # bytes of each network write: characters and lines are cut anywhere
    status: str = "ready"
    reason: str = ""
    choice: str = "semilla: el único modelo que hay"
    context: int = 1000
    finish: str = "stop"
    hang_after: int | None = None  # pieces, then silence
    die_after: int | None = None  # pieces, then the connection is cut
    error_after: int | None = None  # pieces, then an error event
    refuse: tuple[int, str] | None = None
    prompts: list[list[dict[str, str]]] = field(default_factory=list)
    limits: list[int | None] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class ScriptedLlm:
    """The server, in a thread of this process."""

    def __init__(self) -> None:
        self.script = Script()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        routes = [
            Route("/health", self._health),
            Route("/v1/models", self._models),
            Route("/v1/tokenize", self._tokenize, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End the server and every answer that it is still giving."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def _health(self, _request: Request) -> Response:
        s = self.script
        said = {"status": s.status, "reason": s.reason, "model": "semilla", "choice": s.choice}
        return JSONResponse(said)

    async def _models(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "no key", "unauthorized")
        model = {"id": "semilla", "context": self.script.context, "sha256": "ab" * 32}
        return JSONResponse({"data": [model]})

    async def _tokenize(self, request: Request) -> Response:
        messages = (await request.json())["messages"]
        return JSONResponse({"count": sum(len(m["content"]) for m in messages)})

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.script.prompts.append(body["messages"])
        self.script.limits.append(body.get("max_tokens"))
        if self.script.refuse:
            status, message = self.script.refuse
            return _error(status, message, "refused")
        return StreamingResponse(self._bytes(), media_type="text/event-stream")

    async def _bytes(self) -> AsyncIterator[bytes]:
        script = self.script
        try:
            async for event in self._events(script):
                for start in range(0, len(event), script.chunk):
                    yield event[start : start + script.chunk]
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            script.stopped.set()
            raise

    async def _events(self, script: Script) -> AsyncIterator[bytes]:
        yield b": a comment\n\n"
        for number, piece in enumerate([*script.pieces, None]):
            if number == script.hang_after:
                await asyncio.sleep(3600)
            if number == script.die_after:
                raise ConnectionResetError
            if number == script.error_after:
                yield _event({"error": {"message": "el motor se paró", "code": "engine_gone"}})
                return
            if piece is not None:
                yield _event({"choices": [{"delta": {"content": piece}}]})
        yield _event({"choices": [{"delta": {}, "finish_reason": script.finish}]})
        yield _event({"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 7}})
        yield b"data: [DONE]\n\n"


def _event(said: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"


def _error(status: int, message: str, code: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": code}}, status_code=status)
