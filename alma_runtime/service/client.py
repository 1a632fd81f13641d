"""The client side of our services: HTTP on the loopback with the bearer key of the moment."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

CONNECT_SECONDS = 5.0


class KeyFileAuth(httpx.Auth):
    """Bearer key read anew for every request: a service makes a new one each time it starts.

    A missing file sends no key; the service then answers 401 in its own words.
    """

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            key = self._key_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            key = ""
        except (OSError, UnicodeDecodeError) as exc:
            raise AlmaError(
                _("{path}: the service's key cannot be read by this user").format(
                    path=self._key_file
                )
            ) from exc
        if key:
            request.headers["Authorization"] = f"Bearer {key}"
        yield request


def client(base_url: str, key_file: Path | None, timeout: float | None = None) -> httpx.Client:
    """A client for one of our services; close it, or use it in a `with` block.

    Args:
        base_url: such as `http://127.0.0.1:5000`.
        key_file: where the service left its key; none for a service without one.
        timeout: seconds to wait for each piece of an answer; none waits for ever, since a slow
            machine may think for minutes. Connecting never takes longer than five seconds.

    Raises:
        AlmaError: (when a request is made) the key file is there but not for this user.
    """
    return httpx.Client(
        base_url=base_url,
        auth=KeyFileAuth(key_file) if key_file else None,
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
        trust_env=False,  # a proxy of the surroundings must never see a question
        follow_redirects=False,
    )
