"""The guard lets decent requests through and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from alma_runtime.service.guard import Guard

KEY = "correct-key"
AUTHORISED = {"Authorization": f"Bearer {KEY}"}
LIMIT = 1000


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"got": (await request.body()).decode()})


APP = Starlette(
    routes=[Route("/health", echo), Route("/echo", echo), Route("/echo", echo, methods=["POST"])]
)


def ask(
    method: str = "GET",
    path: str = "/echo",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    content: bytes | AsyncIterator[bytes] | None = None,
    base: str = "http://127.0.0.1:5000",
) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(APP, KEY, max_body=LIMIT))
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            return await http.request(method, path, headers=headers, content=content)

    return asyncio.run(go())


@pytest.mark.parametrize(
    "base", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"]
)
def test_loopback_names_with_the_right_key_are_served(base: str) -> None:
    assert ask(headers=AUTHORISED, base=base).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "127.0.0.1:5001", "127.0.0.1.evil.example:5000", ""],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    answer = ask(headers={**AUTHORISED, "Host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "bad_host"


def test_two_host_headers_are_refused() -> None:
    headers = [*AUTHORISED.items(), ("Host", "127.0.0.1:5000"), ("Host", "evil.example")]
    assert ask(headers=headers).status_code == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:5001", "https://127.0.0.1:5000"]
)
def test_a_foreign_origin_is_refused_without_cors_headers(origin: str) -> None:
    answer = ask(headers={**AUTHORISED, "Origin": origin})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_our_own_origin_is_served() -> None:
    assert ask(headers={**AUTHORISED, "Origin": "http://127.0.0.1:5000"}).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x"])
def test_a_missing_or_wrong_key_is_refused(value: str) -> None:
    answer = ask(headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_health_needs_no_key_but_a_good_host() -> None:
    assert ask(path="/health").status_code == 200
    assert ask(path="/health", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_json_is_refused(kind: str) -> None:
    answer = ask("POST", headers={**AUTHORISED, "Content-Type": kind}, content=b"{}")
    assert answer.status_code == 415


def test_a_json_body_arrives_whole() -> None:
    body = json.dumps({"ñ": "x" * 500}).encode()
    headers = {**AUTHORISED, "Content-Type": "application/json; charset=utf-8"}
    assert ask("POST", headers=headers, content=body).json() == {"got": body.decode()}


def test_a_body_that_announces_too_much_is_refused() -> None:
    headers = {**AUTHORISED, "Content-Type": "application/json"}
    assert ask("POST", headers=headers, content=b"x" * (LIMIT + 1)).status_code == 413


def test_a_body_that_announces_nothing_is_counted() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _number in range(100):
            yield b"x" * 100

    headers = {**AUTHORISED, "Content-Type": "application/json"}
    assert ask("POST", headers=headers, content=endless()).status_code == 413
