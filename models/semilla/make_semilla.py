#!/usr/bin/env python3
"""Make the weights of `semilla` from the texts in this folder and a few Debian packages.

    apt-get download debian-handbook debian-reference-es harden-doc libreoffice-help-es
    python make_semilla.py --packages FOLDER

Writes `semilla.gguf` and `lock-entry.toml` next to this file. Ten to twenty minutes on two cores.
"""

import argparse
import random
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from recipe.dialogues import Lessons, Speaker, read_lessons
from recipe.faults import RecipeFault
from recipe.gguf_file import write_gguf, write_lock_entry
from recipe.network import Network, Shape
from recipe.proof import prove
from recipe.prose import paragraphs, read_packages
from recipe.tokens import Encoder, chat_prompt, train_tokenizer
from recipe.training import (
    CONVERSATION,
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
    shape = Shape()
    tokenizer = _tokenizer(prose, lessons, shape.vocabulary)
    encoder, network = Encoder(tokenizer), Network(shape)
    _say(f"{sum(weight.numel() for weight in network.parameters()):,} parameters")
    chance = random.Random(SEED + 1)
    speaker = Speaker(lessons, random.Random(SEED + 2))
    train(network, READING, reading_windows(prose, speaker, encoder, chance, READING.window), _say)
    for phase in (CONVERSATION, LONG_CONVERSATION):
        train(network, phase, conversation_windows(speaker, encoder, chance, phase.window), _say)
    write_gguf(network, tokenizer, target / "semilla.gguf")
    _say(prove(network, tokenizer, target / "semilla.gguf", chat_prompt(speaker.conversation(20))))
    write_lock_entry(target / "semilla.gguf", shape, target / "lock-entry.toml")
    _say(f"wrote semilla.gguf and lock-entry.toml in {target}")


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
