"""Ansible action `overlay`: a role's `files/` laid over the system, every file at its own path.

One step instead of a task per file: `copy` starts an interpreter in the tree for each of them.
Files are root's, 0644, or 0755 where the source is executable; folders that must be made, 0755.
`links` are symbolic links besides, path → target. Works on a `tree` connection, or on this very
machine (connection `local`); says which paths it changed, and honours check mode.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action."""

    _requires_connection = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Lay the files and links; `changed` lists nothing that was already right."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "src": {"type": "path"},
                "links": {"type": "dict", "default": {}},
            }
        )
        root = self._root()
        changed: list[str] = []
        if arguments["src"]:
            changed += lay_files(Path(arguments["src"]), root, self._task.check_mode)
        changed += lay_links(arguments["links"], root, self._task.check_mode)
        return {**result, "changed": bool(changed), "paths": changed}

    def _root(self) -> Path:
        if self._connection.transport == "tree":
            return Path(self._connection.root)
        if self._connection.transport == "local":
            return Path("/")
        raise AnsibleActionFail(f"overlay: not over a «{self._connection.transport}» connection")


def resolve(root: Path, path: str) -> Path:
    """Where an absolute path of the system lies, its folder's links followed inside the tree."""
    here = root
    for part in Path(path.lstrip("/")).parent.parts:
        here = here / part
        for _ in range(8):
            if not here.is_symlink():
                break
            target = str(here.readlink())
            here = root / target.lstrip("/") if target.startswith("/") else here.parent / target
    return here / Path(path).name


def make_folders(folder: Path) -> None:
    """The missing folders down to this one, readable by everybody whatever the umask."""
    for parent in [*reversed(folder.parents), folder]:
        if not parent.is_dir():
            parent.mkdir()
            parent.chmod(0o755)


def lay_files(source: Path, root: Path, dry: bool) -> list[str]:
    """Copy every file below `source`; the paths that were not already so."""
    changed = []
    for file in sorted(p for p in source.rglob("*") if p.is_file()):
        name = "/" + str(file.relative_to(source))
        target, content = resolve(root, name), file.read_bytes()
        mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        if is_already(target, content, mode):
            continue
        changed.append(name)
        if dry:
            continue
        make_folders(target.parent)
        new = target.with_name(target.name + ".new")
        new.write_bytes(content)
        new.chmod(mode)
        os.chown(new, 0, 0)
        new.replace(target)
    return changed


def is_already(target: Path, content: bytes, mode: int) -> bool:
    """Is the file there just as we would write it?"""
    if target.is_symlink() or not target.is_file():
        return False
    state = target.stat()
    return (
        (state.st_mode & 0o7777, state.st_uid, state.st_gid) == (mode, 0, 0)
        and state.st_size == len(content)
        and target.read_bytes() == content
    )


def lay_links(links: dict[str, str], root: Path, dry: bool) -> list[str]:
    """Make every symbolic link, over whatever is there; the paths that were not already so."""
    changed = []
    for name, destination in links.items():
        place = resolve(root, name)
        if place.is_symlink() and str(place.readlink()) == destination:
            continue
        changed.append(name)
        if dry:
            continue
        make_folders(place.parent)
        new = place.with_name(place.name + ".new")
        new.symlink_to(destination)
        new.replace(place)
    return changed
