"""The chat with the real gateway, the real engine and the model that the repository carries."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from alma_runtime.daylog import read_day
from alma_runtime.run import spawn
from alma_runtime.tree import init_tree

SEMILLA = Path(__file__).parents[3] / "models" / "semilla"


@pytest.mark.image
def test_a_question_is_answered_and_logged(tmp_path: Path, engine_dir: Path) -> None:
    tree = init_tree(tmp_path / "tree")
    for name in ("run/llm", "models"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(SEMILLA / "semilla.gguf", tmp_path / "models")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    places = {
        "ALMA_LANG": "es",
        "ALMA_RUN_DIR": str(tmp_path / "run"),
        "ALMA_ENGINE_DIR": str(engine_dir),
        "ALMA_MODELS_DIR": str(tmp_path / "models"),
        "ALMA_MODELS_LOCK": str(SEMILLA.parents[1] / "models.lock"),
    }
    alma = [sys.executable, "-m", "alma_runtime.cli", "--root", str(tree.root)]
    key = str(tmp_path / "run/llm/key")
    with spawn([*alma, "serve", "--port", port, "--key-file", key], env=places):
        done = subprocess.run(
            [*alma, "chat", "--port", port],
            input="¿Quién eres?\n!salir\n",
            text=True,
            capture_output=True,
            env={**os.environ, **places},
            check=False,
            timeout=300,
        )
    assert (done.returncode, done.stderr) == (0, "")
    (log,) = tree.logs.iterdir()
    (turn,) = read_day(log)
    assert (turn.user, turn.model, turn.interrupted) == ("¿Quién eres?", "semilla", False)
    assert "ALMA" in turn.answer
    assert f"alma> {turn.answer.strip()}" in done.stdout
