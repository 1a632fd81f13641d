"""A scripted server, an empty tree, and the real program in a pseudo-terminal."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from alma_runtime.daylog import Turn, read_day
from alma_runtime.tree import Tree, init_tree
from tests.integration.chat.scripted_llm import KEY, Script, ScriptedLlm

ALMA = [sys.executable, "-m", "alma_runtime.cli"]


class Chat:
    """Ways to start `alma` against the scripted server."""

    def __init__(self, server: ScriptedLlm, folder: Path) -> None:
        self.server = server
        self.tree = init_tree(folder / "tree")
        self.run_dir = folder / "run"
        (self.run_dir / "llm").mkdir(parents=True)
        (self.run_dir / "llm/key").write_text(KEY)
        self._children: list[pexpect.spawn[str]] = []

    @property
    def script(self) -> Script:
        return self.server.script

    def environment(self, **more: str) -> dict[str, str]:
        base = {"ALMA_LANG": "es", "ALMA_RUN_DIR": str(self.run_dir), "TERM": "vt220"}
        return {**os.environ, **base, **more}

    def arguments(self, *command: str) -> list[str]:
        port = ["--port", str(self.server.port)]
        return [*ALMA[1:], "--root", str(self.tree.root), command[0], *port, *command[1:]]

    def terminal(self, columns: int = 80, rows: int = 24, **more: str) -> pexpect.spawn[str]:
        """`alma chat` in a pseudo-terminal."""
        child = pexpect.spawn(
            ALMA[0],
            self.arguments("chat"),
            env=self.environment(**more),
            encoding="utf-8",
            timeout=60,
            dimensions=(rows, columns),
        )
        child.delaybeforesend = None
        self._children.append(child)
        return child

    def pipe(self, text: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command whose standard input is a pipe."""
        return subprocess.run(
            [ALMA[0], *self.arguments(*command)],
            input=text,
            text=True,
            capture_output=True,
            env=self.environment(),
            check=False,
            timeout=120,
        )

    def turns(self) -> list[Turn]:
        return read_day(self.tree.day_log(datetime.date.today()))

    def close(self) -> None:
        for child in self._children:
            child.close(force=True)


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    server = ScriptedLlm()
    chat = Chat(server, tmp_path)
    yield chat
    chat.close()
    server.stop()


@pytest.fixture
def tree(chat: Chat) -> Tree:
    return chat.tree
