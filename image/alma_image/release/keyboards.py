"""`image/keyboards.toml`: the languages and keyboards that the boot menu offers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alma_image.source import IMAGE
from alma_runtime.config import read_toml
from alma_runtime.errors import AlmaError

KEYBOARDS = IMAGE / "keyboards.toml"


@dataclass(frozen=True)
class Keyboard:
    """One entry of the boot menu."""

    title: str
    language: str
    keymap: str
    layout: str
    variant: str = ""


def read_keyboards(path: Path = KEYBOARDS) -> tuple[Keyboard, ...]:
    """The menu's entries, in their order."""
    try:
        return tuple(Keyboard(**entry) for entry in read_toml(path)["keyboard"])
    except (KeyError, TypeError) as exc:
        raise AlmaError(f"{path}: {exc}") from exc
