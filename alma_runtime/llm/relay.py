"""Passing an engine's answer on while watching the client: one that goes away frees the engine.

Cancelling a request to the engine closes its connection, and the engine stops computing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
EVENT_END = b"\n\n"


class ClientGone(Exception):
    """Nobody is there any more to read an answer."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The work's result; it is cancelled when the client disconnects.

    Args:
        receive: of a request whose body has been read, so that only a disconnect can come.

    Raises:
        ClientGone: the client left first.
    """
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for each in (task, watcher):
            each.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def whole_events(answer: httpx.Response, last_words: bytes) -> AsyncGenerator[bytes, None]:
    """The server-sent events of an answer, never a part of one.

    Args:
        last_words: the event to end with when the engine dies in the middle.
    """
    pending = b""
    try:
        async for piece in answer.aiter_raw():
            whole, end, pending = (pending + piece).rpartition(EVENT_END)
            if end:
                yield whole + end
    except httpx.HTTPError:
        yield last_words


class EventStream(Response):
    """A response of server-sent events that ends its source whichever way it ends."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], closing: AsyncExitStack) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._events = events
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._closing, contextlib.aclosing(self._events):
            with contextlib.suppress(ClientGone):
                await while_connected(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
