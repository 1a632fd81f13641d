"""What stands before every HTTP service of ours, as pure ASGI.

A web page that a person has open can send requests to the loopback too. So: the Host must be a
loopback name (against DNS rebinding), an Origin must be our own (no CORS headers are ever sent),
a body must say that it is JSON (a plain form cannot), bodies are bounded, and the bearer key is
compared in constant time. `/health` needs no key: it tells nothing of the person.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from alma_runtime.i18n import _
from alma_runtime.service.replies import error_bytes

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
OPEN_PATHS = frozenset({"/health"})
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
MAX_BODY = 8 << 20


@dataclass(frozen=True)
class Refusal:
    """An answer of the guard's own."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None


class Guard:
    """An ASGI application that lets only decent requests through to another one.

    Args:
        key: the bearer key; empty lets everybody on the loopback in (tests of a service only).
        max_body: bytes of a request body that are still accepted.
    """

    def __init__(self, app: ASGIApp, key: str, max_body: int = MAX_BODY) -> None:
        self._app = app
        self._key = key.encode("ascii")
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        body = b""
        if refusal is None and scope["method"] in METHODS_WITH_BODY:
            content = await _whole_body(receive, self._max_body)
            if content is None:
                return
            body = content
            if len(body) > self._max_body:
                refusal = _too_large(self._max_body)
        if refusal is not None:
            await _answer(send, refusal)
            return
        await self._app(scope, _replayed(body, receive), send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = _headers(scope)
        port = (scope.get("server") or ("", None))[1]
        if headers.get(b"host", []) not in [[name] for name in _our_hosts(port)]:
            return Refusal(403, _("this service answers only on the loopback"), code="bad_host")
        own_origins = [b"http://" + name for name in _our_hosts(port)]
        if any(origin not in own_origins for origin in headers.get(b"origin", [])):
            return Refusal(403, _("web pages may not talk to this service"), code="bad_origin")
        if scope["path"] not in OPEN_PATHS and not self._key_matches(headers):
            return Refusal(401, _("the key is missing or wrong"), code="invalid_api_key")
        if scope["method"] in METHODS_WITH_BODY:
            return self._body_refusal(headers)
        return None

    def _key_matches(self, headers: dict[bytes, list[bytes]]) -> bool:
        if not self._key:
            return True
        given = headers.get(b"authorization", [b""])[0]
        scheme, _space, key = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key)

    def _body_refusal(self, headers: dict[bytes, list[bytes]]) -> Refusal | None:
        length = headers.get(b"content-length", [b"0"])[0]
        if length.isdigit() and int(length) > self._max_body:
            return _too_large(self._max_body)
        kind = headers.get(b"content-type", [b""])[0].split(b";")[0].strip().lower()
        if kind != b"application/json":
            return Refusal(415, _("the request must be application/json"))
        return None


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def _our_hosts(port: int | None) -> list[bytes]:
    plain = [name.encode() for name in LOOPBACK_NAMES]
    return plain if port is None else [*plain, *(b"%s:%d" % (name, port) for name in plain)]


def _too_large(limit: int) -> Refusal:
    return Refusal(413, _("the request is larger than {limit} bytes").format(limit=limit))


async def _whole_body(receive: Receive, limit: int) -> bytes | None:
    """The body, or a little more than `limit` of it; None when the client has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > limit or not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what really comes (a disconnect)."""
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay


async def _answer(send: Send, refusal: Refusal) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    body = error_bytes(refusal.message, refusal.kind, refusal.code)
    await send({"type": "http.response.body", "body": body})
