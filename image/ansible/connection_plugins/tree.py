"""Ansible connection `tree`: commands run in a folder that holds a whole system, by chroot.

No ssh and no agent inside. Whoever calls Ansible gives the tree its /proc and /dev and is root
there (really, or in a user namespace). Files go in and out as files: the tree is a folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: tree
short_description: run in a folder that holds a system, by chroot
description: Commands run in the folder by chroot(8); files are copied into and out of it.
options:
  tree:
    description: the folder
    type: path
    required: true
    vars:
      - name: tree
"""
INSIDE_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Connection(ConnectionBase):  # type: ignore[misc]  # Ansible ships no types
    """One tree."""

    transport = "tree"
    has_pipelining = True

    @property
    def root(self) -> Path:
        """The tree's folder."""
        return Path(self.get_option("tree"))

    def _connect(self) -> Connection:
        if not (self.root / "usr/bin/python3").exists():
            raise AnsibleConnectionFailure(f"{self.root}: no system is there (no usr/bin/python3)")
        self._connected = True
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run one command line of Ansible's in the tree."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        done = subprocess.run(
            ["chroot", str(self.root), "/bin/sh", "-c", cmd],
            input=in_data,
            stdin=subprocess.DEVNULL if in_data is None else None,
            capture_output=True,
            check=False,
            env={**os.environ, "PATH": INSIDE_PATH, "HOME": "/root", "LC_ALL": "C.UTF-8"},
        )
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the tree."""
        super().put_file(in_path, out_path)
        self._copy(Path(in_path), self._inside(out_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the tree."""
        super().fetch_file(in_path, out_path)
        self._copy(self._inside(in_path), Path(out_path))

    def close(self) -> None:
        """Nothing is held open."""
        self._connected = False

    def _inside(self, path: str) -> Path:
        return self.root / os.path.normpath("/" + path).lstrip("/")

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError as exc:
            raise AnsibleFileNotFound(f"{source} → {target}: {exc.strerror}") from exc
        except OSError as exc:
            raise AnsibleConnectionFailure(f"{source} → {target}: {exc.strerror}") from exc
