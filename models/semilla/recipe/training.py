"""Phases of training: reading (every token graded), then conversation (only the answers graded)."""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recipe.dialogues import Speaker
from recipe.network import Network
from recipe.tokens import END_OF_TEXT_ID, Encoder, Piece

_WARM_UP_STEPS = 40
_CLIP = 1.0
_WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Phase:
    """Length, batch and learning rate of a phase; `window` is in tokens."""

    name: str
    steps: int
    batch: int
    window: int
    peak_rate: float
    last_rate: float


# Short windows first: attention to far places is dear and nothing there is worth looking at yet.
READING = Phase("reading", steps=250, batch=8, window=256, peak_rate=3e-3, last_rate=2e-3)
CONVERSATION = Phase(
    "conversation", steps=1000, batch=4, window=512, peak_rate=2.5e-3, last_rate=5e-4
)
LONG_CONVERSATION = Phase(
    "long conversation", steps=160, batch=2, window=1024, peak_rate=5e-4, last_rate=2e-5
)

# The second round: more repetition, which asks to look back and is learned last, and the first
# things that people type.
AGAIN = Phase("again", steps=260, batch=4, window=512, peak_rate=1.2e-3, last_rate=1e-4)
LONG_AGAIN = Phase("long again", steps=40, batch=2, window=1024, peak_rate=1e-4, last_rate=2e-5)
AGAIN_REPEAT_SHARE = 0.35
AGAIN_STRESS = frozenset(
    [
        "hello",
        "who",
        "alma",
        "demo",
        "able",
        "help",
        "exit",
        "memory",
        "remember",
        "poweroff",
        "flash",
        "boot",
        "open-disk",
        "mother",
    ]
)


def reading_windows(
    prose: dict[str, list[str]],
    speaker: Speaker,
    encoder: Encoder,
    chance: random.Random,
    window: int,
) -> Iterator[Piece]:
    """Prose with conversations strewn in, cut into windows without regard to where a text ends."""
    ids: list[int] = []
    while True:
        draw = chance.random()
        if draw < 0.25:
            ids += speaker_piece(speaker, encoder, chance.randint(1, 3)).ids
        else:
            ids += encoder.ids(chance.choice(prose["es" if draw < 0.85 else "en"]))
        ids.append(END_OF_TEXT_ID)
        while len(ids) > window:
            yield Piece(ids[: window + 1], [True] * (window + 1))
            ids = ids[window:]


def conversation_windows(
    speaker: Speaker, encoder: Encoder, chance: random.Random, window: int
) -> Iterator[Piece]:
    """Windows of one long conversation or of several short ones: practice near and far."""
    while True:
        ids: list[int] = []
        graded: list[bool] = []
        long_talk = chance.random() < 0.35
        while len(ids) <= window:
            turns = 40 if long_talk else chance.choice((1, 1, 1, 2, 3, 4))
            piece = speaker_piece(speaker, encoder, turns)
            ids += piece.ids
            graded += piece.graded
        yield Piece(ids[: window + 1], graded[: window + 1])


def speaker_piece(speaker: Speaker, encoder: Encoder, turns: int) -> Piece:
    """One conversation, encoded."""
    return encoder.conversation(speaker.conversation(turns))


def train(
    network: Network, phase: Phase, windows: Iterator[Piece], say: Callable[[str], None]
) -> None:
    """Run a phase to its end; progress is told every twenty steps."""
    matrices = [weight for weight in network.parameters() if weight.dim() == 2]
    vectors = [weight for weight in network.parameters() if weight.dim() != 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": _WEIGHT_DECAY},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=phase.peak_rate,
        betas=(0.9, 0.98),
    )
    network.train()
    started, recent = time.monotonic(), 0.0
    for step in range(phase.steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(phase, step)
        loss = _loss(network, [next(windows) for _ in range(phase.batch)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        recent = loss.item() if step == 0 else 0.95 * recent + 0.05 * loss.item()
        if step % 20 == 19 or step == phase.steps - 1:
            spent = time.monotonic() - started
            speed = (step + 1) * phase.batch * phase.window / spent
            say(
                f"{phase.name} {step + 1}/{phase.steps}  loss {recent:.3f}  "
                f"{speed:.0f} tokens/s  {spent:.0f} s"
            )


def _rate(phase: Phase, step: int) -> float:
    """Linear warm-up, then half a cosine down to the last rate."""
    if step < _WARM_UP_STEPS:
        return phase.peak_rate * (step + 1) / _WARM_UP_STEPS
    done = (step - _WARM_UP_STEPS) / max(1, phase.steps - _WARM_UP_STEPS)
    above = (phase.peak_rate - phase.last_rate) * 0.5 * (1 + math.cos(math.pi * done))
    return phase.last_rate + above


def _loss(network: Network, pieces: list[Piece]) -> Tensor:
    ids = torch.tensor([piece.ids for piece in pieces])
    graded = torch.tensor([piece.graded for piece in pieces])[:, 1:]
    # Logits only where they are graded: the vocabulary matrix is a fifth of the work.
    states = network.hidden(ids[:, :-1])[graded]
    logits = functional.linear(states, network.token_embd.weight)
    return functional.cross_entropy(logits, ids[:, 1:][graded])
