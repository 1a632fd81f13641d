"""A real gateway with a real engine, and random models in the shape of real ones."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest

from alma_runtime.files import sha256_of
from alma_runtime.service.client import client
from alma_runtime.tree import Tree, init_tree

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>"]
CONTROL, NORMAL = 3, 1
HEADS, HEAD_SIZE = 2, 32
WIDTH = HEADS * HEAD_SIZE
PATIENCE = 120  # seconds before a test gives up waiting for what must come


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    stand_ins = dict(zip(printable, printable, strict=True))
    stand_ins |= {b: 256 + i for i, b in enumerate(others)}
    return [chr(stand_ins[b]) for b in range(256)]


TOKENS = [*byte_alphabet(), "ab", *SPECIAL]
END_OF_TURN = len(TOKENS) - 1


def write_model(path: Path, layers: int) -> Path:
    """A llama-type GGUF with random weights: everything works with it except making sense."""
    rng, inner = np.random.default_rng(7), 2 * WIDTH
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(HEAD_SIZE)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([NORMAL] * (len(TOKENS) - 2) + [CONTROL] * 2)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(END_OF_TURN)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = rng.normal(0.0, 0.2, (rows, columns)).astype(np.float16)
        writer.add_tensor(f"{name}.weight", values)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))

    matrix("token_embd", len(TOKENS), WIDTH)
    for block in (f"blk.{layer}" for layer in range(layers)):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{name}", WIDTH, WIDTH)
        matrix(f"{block}.ffn_gate", inner, WIDTH)
        matrix(f"{block}.ffn_up", inner, WIDTH)
        matrix(f"{block}.ffn_down", WIDTH, inner)
        norm(f"{block}.attn_norm")
        norm(f"{block}.ffn_norm")
    norm("output_norm")
    matrix("output", len(TOKENS), WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`seed.gguf` (the demonstration) and `big.gguf`, slow enough to be interrupted."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "seed.gguf", layers=1)
    write_model(folder / "big.gguf", layers=150)
    return folder


@dataclass
class Place:
    """Everything around one gateway; start it when the test has arranged things."""

    home: Path
    engine_dir: Path
    models: Path
    tree: Tree
    process: subprocess.Popen[str] | None = None
    url: str = ""
    said: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        return self.home / "run"

    @property
    def key_file(self) -> Path:
        return self.run_dir / "llm" / "key"

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "ALMA_LANG": "es",
            "ALMA_ENGINE_DIR": str(self.engine_dir),
            "ALMA_MODELS_DIR": str(self.models),
            "ALMA_MODELS_LOCK": str(self.home / "models.lock"),
            "ALMA_KEEP_DIR": str(self.home / "keep"),
            "ALMA_RUN_DIR": str(self.run_dir),
            "ALMA_ROOT": str(self.tree.root),
            **self.variables,
        }

    def lock(self) -> None:
        """Declare the models as they are now."""
        entries = []
        for path in sorted(self.models.glob("*.gguf")):
            fields = {"id": path.stem, "role": "chat", "repository": ".", "revision": ""}
            fields |= {"file": path.name, "sha256": sha256_of(path), "licence": "x"}
            lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
            lines += [f"size = {path.stat().st_size}", 'languages = ["es"]', "context = 2048"]
            lines += ["memory_mib = 64", f"demonstration = {json.dumps(path.stem == 'seed')}"]
            entries.append("[[model]]\n" + "\n".join(lines))
        (self.home / "models.lock").write_text("\n\n".join(entries))

    def __post_init__(self) -> None:
        self.lock()

    def start(self) -> None:
        command = [sys.executable, "-m", "alma_runtime.cli", "serve", "--port", "0"]
        self.process = subprocess.Popen(
            command, env=self.environment(), stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said = []
        self.url = "http://" + self.process.stderr.readline().split()[-1]

    def stop(self) -> int:
        """End the gateway politely; its exit status, 0 if it never ran."""
        if self.process is None:
            return 0
        self.process.terminate()
        _out, rest = self.process.communicate(timeout=PATIENCE)
        self.said += rest.splitlines()
        return self.process.returncode

    def kill(self) -> None:
        """End it so that it can do nothing about it."""
        assert self.process is not None
        self.process.kill()

    def client(self) -> httpx.Client:
        return client(self.url, self.key_file, timeout=PATIENCE)

    def health(self) -> dict[str, Any]:
        with self.client() as http:
            answer: dict[str, Any] = http.get("/health").json()
            return answer

    def wait_for(self, status: str) -> dict[str, Any]:
        """The health once it has this status."""
        deadline = time.monotonic() + PATIENCE
        while (health := self.health())["status"] != status:
            assert time.monotonic() < deadline, health
            time.sleep(0.05)
        return health

    def children(self) -> list[int]:
        """The gateway's child processes."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def engine_pid(self) -> int:
        """The child of the gateway."""
        (pid,) = self.children()
        return pid

    def wait_for_loss(self, pid: int) -> None:
        """Until this engine's end was noticed; the next one may be ready again by then."""
        deadline = time.monotonic() + PATIENCE
        while self.health()["status"] == "ready" and self.children() in ([], [pid]):
            assert time.monotonic() < deadline, "nobody noticed"
            time.sleep(0.01)

    def remembered(self) -> dict[str, Any]:
        """What the tree remembers about this machine."""
        (path,) = self.tree.llm_cache.glob("machine-*.json")
        known: dict[str, Any] = json.loads(path.read_text())
        return known


@pytest.fixture
def place(engine_dir: Path, models: Path) -> Iterator[Place]:
    """A private copy of everything; folders with short names, for the socket's sake."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alma-")))
        shutil.copytree(models, home / "models")
        arranged = Place(home, engine_dir, home / "models", init_tree(home / "tree"))
        stack.callback(arranged.stop)
        yield arranged


@pytest.fixture(scope="module")
def running(engine_dir: Path, models: Path) -> Iterator[Place]:
    """One gateway with the big model, for tests that leave it as it was."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alma-")))
        arranged = Place(home, engine_dir, models, init_tree(home / "tree"))
        stack.callback(arranged.stop)
        arranged.start()
        arranged.wait_for("ready")
        yield arranged


@pytest.fixture
def own_engine(engine_dir: Path, tmp_path: Path) -> Path:
    """An engine folder whose CPU variants a test may spoil."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "llama-server").symlink_to(engine_dir / "llama-server")
    shutil.copytree(engine_dir / "cpu", folder / "cpu")
    return folder
