"""`models.lock`: which model files may be loaded, by size and SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma_runtime.config import read_toml
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

ROLES = ("chat", "embedding", "voice")


@dataclass(frozen=True)
class LockedModel:
    """One model file: size in bytes, context in tokens, `memory_mib` in MiB for a context of 4096
    tokens (or for all of it, where that is shorter)."""

    id: str
    role: str
    repository: str
    revision: str
    file: str
    size: int
    sha256: str
    licence: str
    languages: tuple[str, ...]
    context: int
    memory_mib: int
    demonstration: bool = False

    @property
    def file_name(self) -> str:
        return Path(self.file).name


def read_models_lock(path: Path) -> tuple[LockedModel, ...]:
    """Every entry of a lock file, in its order.

    Raises:
        AlmaError: the file or an entry is not as it must be; the message names the entry.
    """
    entries = read_toml(path).get("model", [])
    models = tuple(_entry(path, number, entry) for number, entry in enumerate(entries, 1))
    ids = [m.id for m in models]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise AlmaError(
                _("{path}: two models are called «{id}»").format(path=path, id=model_id)
            )
    return models


def _entry(path: Path, number: int, entry: dict[str, Any]) -> LockedModel:
    try:
        model = LockedModel(**{**entry, "languages": tuple(entry.get("languages", ()))})
    except TypeError as exc:
        raise AlmaError(
            _("{path}: model number {number}: {reason}").format(
                path=path, number=number, reason=str(exc).replace("LockedModel.__init__() ", "")
            )
        ) from exc
    if model.role not in ROLES or len(model.sha256) != 64 or model.size <= 0:
        raise AlmaError(
            _("{path}: model «{id}»: role, size or sha256 is wrong").format(path=path, id=model.id)
        )
    return model
