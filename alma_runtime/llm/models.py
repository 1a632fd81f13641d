"""Which locked models are here: found by size, believed only by SHA-256.

A name proves nothing (files are re-uploaded under the same name). The size is compared first,
which is free; the hash is taken when a model is about to be loaded, once, and remembered by
size, time and inode.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alma_runtime.files import sha256_of, write_file
from alma_runtime.models_lock import LockedModel

SUFFIX = ".gguf"
MEMORY_FILE = "checked-models.json"


@dataclass(frozen=True)
class InstalledModel:
    """A file that has the size of a locked model."""

    path: Path
    lock: LockedModel


def installed(folders: Iterable[Path], lock: Sequence[LockedModel]) -> list[InstalledModel]:
    """Chat models in these folders, largest first, the demonstration last; each id once.

    The first folder wins where two hold the same model. What cannot be read is not there.
    """
    found: dict[str, InstalledModel] = {}
    for folder in folders:
        for path in _model_files(folder):
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                for entry in lock:
                    if entry.size == size and entry.role == "chat":
                        found.setdefault(entry.id, InstalledModel(path, entry))
    return sorted(found.values(), key=lambda m: (m.lock.demonstration, -m.lock.size, m.lock.id))


def _model_files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix == SUFFIX and p.is_file())
    except OSError:
        return []


class Verifier:
    """Compares files with the lock and remembers the result in a folder of the tree.

    A folder that cannot be written only means that the next start takes the hash again.
    """

    def __init__(self, cache: Path) -> None:
        self._file = cache / MEMORY_FILE
        self._known = _read_known(self._file)

    def is_genuine(self, model: InstalledModel) -> bool:
        """Whether the file is the locked one, byte for byte; may read the whole file."""
        try:
            identity = _identity(model.path)
            digest = self._known.get(identity)
            if digest is None:
                digest = sha256_of(model.path)
                if _identity(model.path) == identity:  # nobody wrote meanwhile
                    self._remember(identity, digest)
        except OSError:
            return False
        return digest == model.lock.sha256

    def _remember(self, identity: str, digest: str) -> None:
        self._known[identity] = digest
        with contextlib.suppress(OSError):
            write_file(self._file, json.dumps(self._known, indent=1), 0o660)


def _identity(path: Path) -> str:
    stat = path.stat()
    return f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"


def _read_known(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: v for k, v in known.items() if isinstance(v, str)}
