"""Where the builder finds what it builds from: the checkout that this package lies in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGE = CHECKOUT / "image"
ROLES = CHECKOUT / "roles"
RUNTIME = CHECKOUT / "alma_runtime"
REQUIREMENTS = CHECKOUT / "requirements"
MODELS_LOCK = CHECKOUT / "models.lock"
SEMILLA = CHECKOUT / "models" / "semilla" / "semilla.gguf"
BUILD = CHECKOUT / "build"
NOT_SOURCE = ("__pycache__", ".egg-info", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def source_files(roots: Iterable[Path]) -> list[Path]:
    """Every source file below the given files and folders, sorted, without what tools leave."""
    found: list[Path] = []
    for root in roots:
        found += [root] if root.is_file() else [p for p in root.rglob("*") if p.is_file()]
    return sorted(p for p in found if not any(p_part.endswith(NOT_SOURCE) for p_part in p.parts))


def digest_of(roots: Iterable[Path], extra: Iterable[str] = ()) -> str:
    """SHA-256 over names, modes and contents of source files, and over some strings besides."""
    digest = hashlib.sha256()
    for path in source_files(roots):
        name = path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path.name
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(f"{name}\0{executable}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for text in extra:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()
