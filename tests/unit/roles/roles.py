"""The roles as their files say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from alma_image.source import ROLES

NAMES = sorted(folder.name for folder in ROLES.iterdir() if (folder / "tasks").is_dir())
TASK_FILES = sorted(ROLES.glob("*/tasks/*.yml"))
UNIT_ENDINGS = (".service", ".mount", ".path", ".target", ".socket", ".timer")


def read(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def installed() -> dict[str, Path]:
    """Every path that the roles put into the system, and the file that it is made from."""
    return {
        f"/{path.relative_to(folder)}": path
        for folder in ROLES.glob("*/files")
        for path in folder.rglob("*")
        if path.is_file()
    }


def links() -> dict[str, str]:
    """Every symbolic link that the roles make."""
    found: dict[str, str] = {}
    for path in ROLES.glob("*/vars/main.yml"):
        for name, value in read(path).items():
            if name.endswith("_links"):
                found |= value
            if name.endswith("_masked"):
                found |= dict.fromkeys(value, "/dev/null")
    return found


def units() -> dict[str, Path]:
    """The unit files among them, by name."""
    return {
        path.name: path
        for name, path in installed().items()
        if "/systemd/system/" in name and path.suffix in UNIT_ENDINGS
    }
