"""The one place that knows the paths of the `ALMA_RESIST` tree.

The names are the specification's and people see them; `system/version` carries the format's
number. Newer code migrates older trees, older code refuses newer ones.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from alma_runtime.errors import AlmaError
from alma_runtime.files import write_file
from alma_runtime.i18n import _

FORMAT_VERSION = 1
FOLDERS = (
    "ALMA_SERVER_LLM/config",
    "ALMA_SERVER_LLM/models",
    "ALMA_SERVER_LLM/adapters",
    "ALMA_SERVER_LLM/cache",
    "ALMA_LOADER/schemas",
    "ALMA_LOADER/rules",
    "ALMA_LOADER/index",
    "ALMA_LOADER/review",
    "system",
    "docs",
    "logs",
    "user/diario",
    "user/notas",
    "user/proyectos",
)


@dataclass(frozen=True)
class Tree:
    """Paths inside one tree; nothing is touched by asking for them."""

    root: Path

    @property
    def llm_config(self) -> Path:
        return self.root / "ALMA_SERVER_LLM" / "config" / "llm_model.json"

    @property
    def models(self) -> Path:
        return self.root / "ALMA_SERVER_LLM" / "models"

    @property
    def llm_cache(self) -> Path:
        return self.root / "ALMA_SERVER_LLM" / "cache"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def system(self) -> Path:
        return self.root / "system"

    @property
    def version_file(self) -> Path:
        return self.system / "version"

    @property
    def settings_file(self) -> Path:
        return self.system / "alma.toml"

    @property
    def chat_history(self) -> Path:
        return self.root / "user" / ".chat_history"

    def day_log(self, day: datetime.date) -> Path:
        """`logs/YYYY-MM-DD.md`."""
        return self.logs / f"{day.isoformat()}.md"


def init_tree(root: Path) -> Tree:
    """Make an empty tree; what is already there stays as it is.

    Raises:
        AlmaError: the folder cannot be made, or holds a tree of a newer format.
    """
    tree = Tree(root)
    try:
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        if not tree.version_file.exists():
            write_file(tree.version_file, f"{FORMAT_VERSION}\n")
    except OSError as exc:
        raise AlmaError(
            _("{path}: the tree cannot be made here: {reason}").format(
                path=root, reason=exc.strerror
            )
        ) from exc
    return open_tree(root)


def open_tree(root: Path) -> Tree:
    """An existing tree whose format this code understands.

    Raises:
        AlmaError: no tree there, its version file says nothing, or its format is newer than ours.
    """
    tree = Tree(root)
    try:
        version = int(tree.version_file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise AlmaError(
            _("{path} is not an ALMA tree; make one with «alma init {path}»").format(path=root)
        ) from exc
    except (OSError, ValueError) as exc:
        raise AlmaError(
            _("{path}: the tree's version cannot be read").format(path=tree.version_file)
        ) from exc
    if version > FORMAT_VERSION:
        raise AlmaError(
            _("{path} was written by a newer ALMA (format {theirs}, mine is {ours})").format(
                path=root, theirs=version, ours=FORMAT_VERSION
            )
        )
    return tree
