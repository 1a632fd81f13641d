"""The client reads the key of the moment, systemd hears what it must, a taken port is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from alma_runtime.errors import AlmaError
from alma_runtime.service.client import client
from alma_runtime.service.guard import Guard
from alma_runtime.service.listen import bind_loopback, server
from alma_runtime.service.notify import notify


async def hello(_request: Request) -> JSONResponse:
    return JSONResponse({"hello": True})


class _Threaded:
    """A real server of ours in a thread, guarded by a key."""

    def __init__(self, key: str) -> None:
        self._socket = bind_loopback(0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = Guard(Starlette(routes=[Route("/hello", hello)]), key)
        self._server: uvicorn.Server = server(app)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


@pytest.fixture
def service() -> Iterator[_Threaded]:
    running = _Threaded("first")
    yield running
    running.stop()


def test_the_client_reads_the_key_anew_for_every_request(
    service: _Threaded, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    with client(service.url, key_file) as http:
        assert http.get("/hello").status_code == 401
        key_file.write_text("old\n")
        assert http.get("/hello").status_code == 401
        key_file.write_text("first\n")
        assert http.get("/hello").json() == {"hello": True}


def test_the_client_trusts_no_proxy_of_the_surroundings(
    service: _Threaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    (tmp_path / "key").write_text("first")
    with client(service.url, tmp_path / "key") as http:
        assert http.get("/hello").status_code == 200


def test_an_unreadable_key_is_said_in_words(service: _Threaded, tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with client(service.url, tmp_path / "key") as http, pytest.raises(AlmaError, match="key"):
        http.get("/hello")


def test_a_taken_port_is_refused_in_words() -> None:
    with bind_loopback(0) as taken, pytest.raises(AlmaError, match="--port"):
        bind_loopback(taken.getsockname()[1])


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_status_readiness_and_patience(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"alma-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        notify(status="loading\nslowly")
        assert systemd.recv(999) == b"STATUS=loading slowly\nEXTEND_TIMEOUT_USEC=600000000"
        notify(ready=True, status="ready")
        assert systemd.recv(999) == b"STATUS=ready\nREADY=1"
        notify(stopping=True)
        assert systemd.recv(999) == b"STOPPING=1"


def test_without_systemd_notifying_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify(ready=True)
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify(ready=True)
