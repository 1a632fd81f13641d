"""Fetching pinned packages from a real HTTP server that misbehaves in the ways that happen."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from alma_image.release.archive import fetch_all
from alma_image.release.lock import Package
from alma_runtime.errors import AlmaError

CONTENT = b"a package " * 5000


class Archive(http.server.BaseHTTPRequestHandler):
    """`good` whole, `cut` half, `other` something else, anything else not found."""

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        body = {"good": CONTENT, "cut": CONTENT, "other": CONTENT[::-1]}.get(name)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "cut" else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/debian"
    monkeypatch.setenv("ALMA_ARCHIVE", address)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def pin(name: str, archive: str = "debian") -> Package:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Package(name, "1.0-1", "all", archive, f"pool/{name}", len(CONTENT), digest)


def fetch(package: Package, folder: Path) -> Path:
    return fetch_all([package], folder, lambda _text: None)[package]


@pytest.mark.usefixtures("archive")
def test_a_pinned_package_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(pin("good"), tmp_path).read_bytes() == CONTENT
    monkeypatch.setenv("ALMA_ARCHIVE", "http://127.0.0.1:1/debian")
    assert fetch(pin("good"), tmp_path).read_bytes() == CONTENT


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", r"gone 1\.0-1.*--update-lock"),
        ("cut", r"cut 1\.0-1"),
        ("other", r"other 1\.0-1.*system\.lock"),
    ],
)
def test_a_pin_that_cannot_be_had_is_named_and_leaves_nothing(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(AlmaError, match=said):
        fetch(pin(name), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("archive")
def test_an_archive_that_is_not_configured_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlmaError, match="debian-security"):
        fetch(pin("good", "debian-security"), tmp_path)


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMA_ARCHIVE", "http://127.0.0.1:1/debian")
    with pytest.raises(AlmaError, match=r"good 1\.0-1"):
        fetch(pin("good"), tmp_path)
