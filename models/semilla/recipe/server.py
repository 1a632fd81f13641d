"""A running llama-server: what it answers, and whether it reads the file as numpy does."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from recipe import read_back
from recipe.dialogues import SYSTEM, Turn
from recipe.faults import RecipeFault
from recipe.proof import AWKWARD
from recipe.tokens import chat_prompt

_TIMEOUT = 120  # seconds; an emulated CPU is slow
_CLEAR_LEAD = 0.05  # of a logit; below it two tokens are level and rounding decides


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """One JSON request; RecipeFault names the address that did not answer."""
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
            answer: dict[str, Any] = json.load(reply)
    except (urllib.error.URLError, ValueError) as cause:
        raise RecipeFault(f"{url} gave no answer ({cause}): is the server running?") from cause
    return answer


def agree(server: str, path: Path, talk: list[Turn]) -> str:
    """Ids, chat form and next tokens against the numpy reading; a sentence, or RecipeFault."""
    server = server.rstrip("/")
    written = read_back.read(path)
    tokenizer = read_back.tokenizer(written)
    opening = [Turn("system", SYSTEM["es"]), *talk]
    messages = [{"role": turn.role, "content": turn.text} for turn in opening]
    rendered = post(f"{server}/apply-template", {"messages": messages})["prompt"]
    if rendered != chat_prompt(opening):
        raise RecipeFault(f"{server} renders another chat form than the one trained on")
    for text in (AWKWARD, rendered):
        theirs = post(f"{server}/tokenize", {"content": text, "parse_special": True})["tokens"]
        if theirs != tokenizer.encode(text).ids:
            raise RecipeFault(f"{server} cuts text into other tokens than the trained tokenizer")
    ids = tokenizer.encode(rendered).ids
    logits = read_back.logits(written, ids)
    best_two = np.sort(logits, axis=-1)[:, -2:]
    clear = [at for at in range(len(ids)) if best_two[at, 1] - best_two[at, 0] > _CLEAR_LEAD]
    same = sum(_next(server, ids[: at + 1]) == int(logits[at].argmax()) for at in clear)
    if same < len(clear):
        raise RecipeFault(f"{server} agrees in {same} of {len(clear)} positions: another file?")
    return f"same ids, same chat form, same next token in {same} of {len(clear)} positions"


def _next(server: str, ids: list[int]) -> int:
    body = {"prompt": ids, "n_predict": 1, "temperature": 0, "return_tokens": True}
    tokens: list[int] = post(f"{server}/completion", body)["tokens"]
    return tokens[0]
