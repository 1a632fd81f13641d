#!/usr/bin/env python3
"""Make the weights of `semilla` from the texts in this folder and a few Debian packages.

    apt-get download debian-handbook debian-reference-es harden-doc libreoffice-help-es
    python make_semilla.py --packages FOLDER

Writes `semilla.gguf` next to this file, and `lock-entry.toml`: what then belongs into models.lock.
Fifteen to twenty-five minutes on two cores.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from recipe import read_back
from recipe.dialogues import Lessons, Speaker, read_lessons
from recipe.faults import RecipeFault
from recipe.gguf_file import write_gguf, write_lock_entry
from recipe.network import Network, Shape
from recipe.proof import prove
from recipe.prose import paragraphs, read_packages
from recipe.tokens import Encoder, chat_prompt, train_tokenizer
from recipe.training import (
    AGAIN,
    AGAIN_REPEAT_SHARE,
    AGAIN_STRESS,
    CONVERSATION,
    LONG_AGAIN,
    LONG_CONVERSATION,
    READING,
    conversation_windows,
    reading_windows,
    train,
)

HERE = Path(__file__).resolve().parent
SEED = 20261121
_STRAY_LENGTH = 140  # characters; longer sentences are no likely thing to type


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _strays(prose: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        lang: [text for text in texts if len(text) <= _STRAY_LENGTH]
        for lang, texts in prose.items()
    }


def _tokenizer(prose: dict[str, list[str]], lessons: Lessons, size: int) -> Tokenizer:
    """Trained on as much conversation as prose, so that ALMA's own words become few tokens."""
    speaker = Speaker(lessons, random.Random(SEED))
    talks = [
        chat_prompt(t for t in speaker.conversation(3) if t.role != "system") for _ in range(6000)
    ]
    return train_tokenizer([*prose["es"], *prose["en"][::3], *talks], size)


def make(packages: Path, target: Path, threads: int) -> None:
    """All steps in order; the same inputs, versions and thread count give the same weights."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    prose = paragraphs(read_packages(HERE / "texts" / "prose.toml"), packages)
    lessons = read_lessons(HERE / "texts", _strays(prose))
    with tempfile.TemporaryDirectory(prefix="semilla-") as folder:
        first, second = Path(folder) / "first.gguf", Path(folder) / "second.gguf"
        _first_round(prose, lessons, first)
        _second_round(lessons, first, second)
        finish(lessons, first, second, target)


def _first_round(prose: dict[str, list[str]], lessons: Lessons, path: Path) -> None:
    tokenizer = _tokenizer(prose, lessons, Shape().vocabulary)
    encoder, network = Encoder(tokenizer), Network(Shape())
    _say(f"{sum(weight.numel() for weight in network.parameters()):,} parameters")
    chance = random.Random(SEED + 1)
    speaker = Speaker(lessons, random.Random(SEED + 2))
    train(network, READING, reading_windows(prose, speaker, encoder, chance, READING.window), _say)
    for phase in (CONVERSATION, LONG_CONVERSATION):
        train(network, phase, conversation_windows(speaker, encoder, chance, phase.window), _say)
    write_gguf(network, tokenizer, path)


def _second_round(lessons: Lessons, first: Path, second: Path) -> None:
    written = read_back.read(first)
    network, tokenizer = _network(written.tensors), read_back.tokenizer(written)
    encoder, chance = Encoder(tokenizer), random.Random(SEED + 3)
    speaker = Speaker(lessons, random.Random(SEED + 4), AGAIN_REPEAT_SHARE, AGAIN_STRESS)
    for phase in (AGAIN, LONG_AGAIN):
        train(network, phase, conversation_windows(speaker, encoder, chance, phase.window), _say)
    write_gguf(network, tokenizer, second)


def finish(lessons: Lessons, first: Path, second: Path, target: Path) -> None:
    """The mean of both rounds, which answers better than either, proved and written to `target`."""
    one, other = read_back.read(first), read_back.read(second)
    means: dict[str, read_back.Array] = {
        name: np.asarray((array + other.tensors[name]) / 2, dtype=np.float32)
        for name, array in one.tensors.items()
    }
    network, tokenizer = _network(means), read_back.tokenizer(one)
    path = target / "semilla.gguf"
    write_gguf(network, tokenizer, path)
    talk = Speaker(lessons, random.Random(SEED + 5)).conversation(20)
    _say(prove(network, tokenizer, path, chat_prompt(talk)))
    write_lock_entry(path, network.shape, target / "lock-entry.toml")
    _say(f"wrote semilla.gguf and lock-entry.toml in {target}")


def _network(tensors: dict[str, read_back.Array]) -> Network:
    network = Network(Shape())
    network.load_state_dict({name: torch.tensor(array) for name, array in tensors.items()})
    return network


def main() -> int:
    """Exit status 0 done, 1 bad input (one sentence says which)."""
    parser = argparse.ArgumentParser(description="Make semilla.gguf.")
    parser.add_argument(
        "--packages", type=Path, required=True, help="folder with the Debian packages"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="CPU threads (changes the last bits)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the results")
    arguments = parser.parse_args()
    try:
        make(arguments.packages, arguments.out, arguments.threads)
    except RecipeFault as fault:
        _say(f"make_semilla: {fault}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
