"""The file must say what was trained: checked before anybody relies on it."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from recipe import read_back
from recipe.faults import RecipeFault
from recipe.network import Network

# Text on which tokenizers differ in silence: blanks, digit groups, line breaks, accents, emoji.
AWKWARD = (
    "¿Qué es ALMA?  12345\t1.234,56\n\n  ñandú, pingüino «así» — ¡ÁÉÍÓÚ! it's we'll o'clock 🙂 "
    "日本 `sudo alma stick create /dev/sdX`  !ayuda 2026-11-21\r\n   fin "
)
_MOST_DIFFERENCE = 0.05  # of a logit; F16 rounding gives about a tenth of it
_LEAST_AGREEMENT = 0.99


def prove(network: Network, tokenizer: Tokenizer, path: Path, text: str) -> str:
    """The finding as a sentence; raises RecipeFault if file and network differ on `text`."""
    written = read_back.read(path)
    reread = read_back.tokenizer(written)
    for sample in (AWKWARD, text):
        if tokenizer.encode(sample).ids != reread.encode(sample).ids:
            raise RecipeFault(f"{path}: its tokenizer gives other ids than the trained one")
    ids = tokenizer.encode(text).ids[: network.shape.context]
    with torch.no_grad():
        ours = network.eval()(torch.tensor([ids]))[0].numpy()
    theirs = read_back.logits(written, ids)
    difference = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(-1) == theirs.argmax(-1)).mean())
    finding = (
        f"{len(ids)} positions: same best token in {agreement:.1%}, "
        f"logits differ by {difference:.4f} at most"
    )
    if difference > _MOST_DIFFERENCE or agreement < _LEAST_AGREEMENT:
        raise RecipeFault(f"{path} does not compute what was trained ({finding})")
    return finding
