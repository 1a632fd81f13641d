"""The LLM gateway: OpenAI's HTTP shapes over whatever engine is running.

It forwards only the fields it knows, so that no client reaches an engine's private switches, and
passes whole server-sent events on, so that an engine's death in the middle is a clean last event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.llm.relay import (
    EVENT_END,
    ClientGone,
    EventStream,
    while_connected,
    whole_events,
)
from alma_runtime.llm.supervisor import Loaded, Supervisor
from alma_runtime.service.replies import error_object

# fmt: off
COMMON_FIELDS = frozenset({
    "model", "stream", "stream_options", "max_tokens", "n", "stop", "user",
    "temperature", "top_p", "top_k", "min_p", "seed", "logprobs", "logit_bias",
    "frequency_penalty", "presence_penalty", "repeat_penalty",
    "response_format", "grammar", "json_schema",
})
# fmt: on
CHAT_FIELDS = COMMON_FIELDS | {"messages", "max_completion_tokens", "top_logprobs"}
COMPLETION_FIELDS = COMMON_FIELDS | {"prompt", "suffix", "echo"}
DEMONSTRATION_DEFAULTS = {"temperature": 0.2}  # a tiny model talks nonsense when it is bold
MAX_WAITING = 32
NOBODY_THERE = 499  # for the books; the client has gone


class Refused(Exception):
    """A request that is answered with an OpenAI error object."""

    def __init__(self, status: int, message: str, kind: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_object(message, kind, code)


def gateway(supervisor: Supervisor) -> Starlette:
    """The application; its lifespan is the supervisor's."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(supervisor.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    routes = _Routes(supervisor)
    return Starlette(
        routes=[
            Route("/health", routes.health, methods=["GET"]),
            Route("/v1/models", routes.models, methods=["GET"]),
            Route("/v1/chat/completions", routes.chat, methods=["POST"]),
            Route("/v1/completions", routes.completions, methods=["POST"]),
            Route("/v1/tokenize", routes.tokenize, methods=["POST"]),
        ],
        exception_handlers={Refused: _on_refused, HTTPException: _on_http_exception},
        lifespan=lifespan,
    )


class _Routes:
    """The routes' functions, around one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._waiting = 0

    async def health(self, _request: Request) -> Response:
        return JSONResponse(asdict(self._supervisor.health))

    async def models(self, _request: Request) -> Response:
        loaded = self._supervisor.loaded
        return JSONResponse({"object": "list", "data": [_model(loaded)] if loaded else []})

    async def chat(self, request: Request) -> Response:
        body = await _json_object(request)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise Refused(400, _("«messages» must be a list of messages"), "invalid_request_error")
        return await self._generate(request, "/v1/chat/completions", body, CHAT_FIELDS)

    async def completions(self, request: Request) -> Response:
        body = await _json_object(request)
        if not isinstance(body.get("prompt"), str | list):
            raise Refused(400, _("«prompt» must be a text"), "invalid_request_error")
        return await self._generate(request, "/v1/completions", body, COMPLETION_FIELDS)

    async def tokenize(self, request: Request) -> Response:
        body = await _json_object(request)
        engine = self._loaded().engine
        try:
            if isinstance(body.get("content"), str):
                count = await engine.count_text(body["content"])
            elif isinstance(body.get("messages"), list):
                count = await engine.count_messages({"messages": body["messages"]})
            else:
                message = _("«content» (a text) or «messages» is missing")
                raise Refused(400, message, "invalid_request_error")
        except AlmaError as exc:
            raise Refused(400, str(exc), "invalid_request_error") from exc
        except httpx.HTTPError as exc:
            raise _engine_gone() from exc
        return JSONResponse({"count": count})

    def _loaded(self) -> Loaded:
        loaded, health = self._supervisor.loaded, self._supervisor.health
        if loaded is None:
            raise Refused(503, health.reason or health.status, "unavailable", health.status)
        return loaded

    async def _generate(
        self, request: Request, path: str, body: dict[str, Any], fields: frozenset[str]
    ) -> Response:
        """Forward a request; its place in the queue and its connection end with its answer."""
        loaded = self._loaded()
        forwarded = {k: v for k, v in body.items() if k in fields and v is not None}
        if loaded.candidate.model.lock.demonstration:
            forwarded = {**DEMONSTRATION_DEFAULTS, **forwarded}
        http = loaded.engine.http
        sent = http.build_request("POST", path, json=forwarded)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._place())
            try:
                answer = await while_connected(request.receive, http.send(sent, stream=True))
                stack.push_async_callback(answer.aclose)
                if _is_stream(answer):
                    return EventStream(whole_events(answer, _last_words()), stack.pop_all())
                content = await while_connected(request.receive, answer.aread())
            except httpx.HTTPError as exc:
                raise _engine_gone() from exc
            except ClientGone:
                return Response(status_code=NOBODY_THERE)
        if answer.status_code != 200:
            raise _engine_refused(answer.status_code, content)
        return Response(content, media_type="application/json")

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """A place among those who wait for the engine or are being answered."""
        if self._waiting >= MAX_WAITING:
            raise Refused(429, _("too many requests are waiting"), "rate_limit_error", "queue_full")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def _is_stream(answer: httpx.Response) -> bool:
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as exc:
        raise Refused(400, _("the request is not JSON"), "invalid_request_error") from exc
    if not isinstance(body, dict):
        raise Refused(400, _("the request must be a JSON object"), "invalid_request_error")
    return body


def _engine_gone() -> Refused:
    message = _("the engine stopped while answering; it is being started again, please repeat")
    return Refused(502, message, "server_error", "engine_gone")


def _last_words() -> bytes:
    return b"data: " + json.dumps(_engine_gone().body, ensure_ascii=False).encode() + EVENT_END


def _engine_refused(status: int, content: bytes) -> Refused:
    """The engine's own error as OpenAI would say it."""
    try:
        error = json.loads(content)["error"]
        message, kind = str(error["message"]), str(error["type"])
    except (ValueError, KeyError, TypeError):
        return Refused(502, _("the engine's answer cannot be read"), "server_error")
    if kind == "exceed_context_size_error":
        used, limit = int(error.get("n_prompt_tokens", 0)), int(error.get("n_ctx", 0))
        message = _("the request has {used} tokens, {over} more than the context of {limit}")
        message = message.format(used=used, over=used - limit, limit=limit)
        return Refused(400, message, "invalid_request_error", "context_length_exceeded")
    return Refused(status if 400 <= status < 600 else 502, message, kind)


async def _on_refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101
    return JSONResponse(exc.body, status_code=exc.status)


async def _on_http_exception(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101
    body = error_object(exc.detail, "invalid_request_error")
    return JSONResponse(body, status_code=exc.status_code, headers=exc.headers)


def _model(loaded: Loaded) -> dict[str, Any]:
    lock = loaded.candidate.model.lock
    return {
        "id": lock.id,
        "object": "model",
        "created": 0,
        "owned_by": "alma",
        "context": loaded.candidate.context,
        "sha256": lock.sha256,
        "demonstration": lock.demonstration,
    }
