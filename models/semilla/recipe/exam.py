"""Questions with known answers, put to whatever can answer a conversation."""

import random
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipe import read_back
from recipe.dialogues import SYSTEM, Lessons, Speaker, Turn
from recipe.server import post
from recipe.tokens import TURN_END_ID, chat_prompt

Answerer = Callable[[list[Turn]], str]
_LONGEST_ANSWER = 96  # tokens
_ASKED_PER_TOPIC = 4


@dataclass(frozen=True)
class Case:
    """A conversation that ends with a question, and the only right answer."""

    part: str
    talk: list[Turn]
    answer: str


def cases(lessons: Lessons, folder: Path, seed: int) -> Iterator[Case]:
    """Held-out wordings with and without system prompt, some trained ones, talks of 2–4 turns."""
    chance = random.Random(seed)
    held_out = tomllib.loads((folder / "held_out.toml").read_text(encoding="utf-8"))
    for lang, topics in lessons.topics.items():
        answers = {topic.name: topic.answer for topic in topics}
        system = Turn("system", SYSTEM[lang])
        for entry in held_out[lang]:
            for question in entry["ask"]:
                asked = Turn("user", question)
                yield Case(f"{lang}, new wording", [system, asked], answers[entry["id"]])
                yield Case(f"{lang}, new wording, no system prompt", [asked], answers[entry["id"]])
        for topic in topics:
            for question in chance.sample(topic.asks, min(_ASKED_PER_TOPIC, len(topic.asks))):
                yield Case(
                    f"{lang}, trained wording", [system, Turn("user", question)], topic.answer
                )
    speaker = Speaker(lessons, chance)
    for _ in range(60):
        talk = speaker.conversation(chance.randint(2, 4))
        yield Case("last of 2 to 4 turns", talk[:-1], talk[-1].text)


def from_file(path: Path) -> Answerer:
    """Answers computed by the numpy reading of the file, always the likeliest token."""
    written = read_back.read(path)
    tokenizer = read_back.tokenizer(written)

    def answer(talk: list[Turn]) -> str:
        ids = tokenizer.encode(chat_prompt(talk)).ids
        said: list[int] = []
        while len(said) < _LONGEST_ANSWER:
            best = int(np.argmax(read_back.logits(written, ids + said)[-1]))
            if best == TURN_END_ID:
                break
            said.append(best)
        return tokenizer.decode(said)

    return answer


def from_server(url: str, temperature: float) -> Answerer:
    """Answers of an OpenAI-compatible server, such as llama-server on the loopback address."""

    def answer(talk: list[Turn]) -> str:
        body = {
            "messages": [{"role": turn.role, "content": turn.text} for turn in talk],
            "temperature": temperature,
            "max_tokens": _LONGEST_ANSWER,
            "seed": 1,
        }
        reply = post(f"{url.rstrip('/')}/v1/chat/completions", body)
        said: str = reply["choices"][0]["message"]["content"]
        return said

    return answer
