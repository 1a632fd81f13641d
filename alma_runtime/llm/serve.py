"""Running the gateway: the key of this start, the listening socket, the engine's private folder."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from alma_runtime.config import Settings
from alma_runtime.errors import AlmaError
from alma_runtime.files import write_file
from alma_runtime.i18n import _
from alma_runtime.llm.gateway import gateway
from alma_runtime.llm.hardware import machine
from alma_runtime.llm.llama_server import open_llama_server
from alma_runtime.llm.supervisor import Health, Supervisor, Surroundings
from alma_runtime.service.guard import Guard
from alma_runtime.service.listen import bind_loopback, server
from alma_runtime.service.notify import notify
from alma_runtime.tree import Tree

KEY_BYTES = 32


def surroundings(settings: Settings, root: Path, sockets: Path) -> Surroundings:
    """Where models, lock and engine are, for a tree at `root`."""
    tree = Tree(root)
    return Surroundings(
        tree=tree,
        model_folders=(tree.models, settings.keep_dir / "models", settings.models_dir),
        models_lock=settings.models_lock,
        engine_dir=settings.engine_dir,
        machine=machine,
        open_engine=functools.partial(
            open_llama_server, engine_dir=settings.engine_dir, sockets=sockets
        ),
    )


def serve(settings: Settings, root: Path, port: int, key_file: Path | None) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        AlmaError: the port is taken, or the run folder cannot be written.
    """
    folder = settings.run_dir / "llm"
    sockets = folder / "engine"
    signal.signal(signal.SIGTERM, _leave)
    with bind_loopback(port) as listener:
        _make_private_folder(sockets)
        with _key(key_file or folder / "key") as key, contextlib.suppress(KeyboardInterrupt):
            host, bound = listener.getsockname()
            _say(_("listening on {host}:{port}").format(host=host, port=bound))
            supervisor = Supervisor(surroundings(settings, root, sockets), _announcer())
            server(Guard(gateway(supervisor), key)).run(sockets=[listener])
            notify(stopping=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that the key goes too; uvicorn raises it again at its end."""
    raise KeyboardInterrupt


def _announcer() -> Callable[[Health], None]:
    """Tells systemd and the journal about each new state; a failure is served too, so it is
    «ready» for systemd as well: whoever asks `/health` hears the reason."""

    def announce(health: Health) -> None:
        line = " ".join(part for part in (health.reason, health.choice) if part)
        _say(f"{health.status}: {line}")
        notify(ready=health.status != "loading", status=line)

    return announce


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _make_private_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as exc:
        raise AlmaError(
            _("{path}: cannot be made ({reason}); set ALMA_RUN_DIR to a folder of yours").format(
                path=path, reason=exc.strerror
            )
        ) from exc


@contextlib.contextmanager
def _key(path: Path) -> Iterator[str]:
    """A new random key in a file that the folder's group may read; gone with the service."""
    key = secrets.token_urlsafe(KEY_BYTES)
    try:
        write_file(path, key + "\n", 0o600)
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, path.parent.stat().st_gid)
        path.chmod(0o640)
    except OSError as exc:
        raise AlmaError(
            _("{path}: the key cannot be written: {reason}").format(path=path, reason=exc.strerror)
        ) from exc
    try:
        yield key
    finally:
        path.unlink(missing_ok=True)
