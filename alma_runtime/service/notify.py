"""Telling systemd how a service of Type=notify is doing (protocol: sd_notify(3))."""

from __future__ import annotations

import contextlib
import socket

from alma_runtime.config import settings

PATIENCE_SECONDS = 600


def notify(*, ready: bool = False, stopping: bool = False, status: str = "") -> None:
    """Send a state to systemd; without systemd, or where it cannot be reached, nothing happens.

    Each message before readiness asks for ten more minutes, because a large model on a slow
    port takes that long, while a start that says nothing at all may still be ended by systemd.
    """
    address = settings().notify_socket
    if not address:
        return
    lines = [f"STATUS={' '.join(status.split())}"] if status else []
    if ready:
        lines.append("READY=1")
    elif stopping:
        lines.append("STOPPING=1")
    else:
        lines.append(f"EXTEND_TIMEOUT_USEC={PATIENCE_SECONDS * 1_000_000}")
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
    ):
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall("\n".join(lines).encode())
