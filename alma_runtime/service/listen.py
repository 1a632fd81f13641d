"""Serving an ASGI application on a loopback port that was bound before anything else began."""

from __future__ import annotations

import socket

import uvicorn

from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.service.guard import ASGIApp

LOOPBACK = "127.0.0.1"
GRACE_SECONDS = 2


def bind_loopback(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one.

    Raises:
        AlmaError: another program has the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise AlmaError(
            _("port {port} cannot be used ({reason}); choose another one with --port").format(
                port=port, reason=exc.strerror
            )
        ) from exc
    return listener


def server(app: ASGIApp) -> uvicorn.Server:
    """A quiet uvicorn: no access log (questions stay out of logs), no signature in answers.

    Start-up and shutdown belong in the application's lifespan: on SIGTERM it runs to its end
    before the process goes.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            lifespan="on",
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
