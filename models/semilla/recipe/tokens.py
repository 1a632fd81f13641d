"""Byte-level BPE and the chat form, as llama.cpp reads them from the file."""

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from recipe.dialogues import Turn

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (END_OF_TEXT, TURN_START, TURN_END)  # ids 0, 1, 2 in this order
END_OF_TEXT_ID, TURN_START_ID, TURN_END_ID = range(3)

# ChatML. The line break after each turn is part of the form.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Piece:
    """Token ids, and for each whether the model is graded on producing it."""

    ids: list[int]
    graded: list[bool]


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """A BPE of `size` tokens, the specials and the whole byte alphabet among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def chat_prompt(talk: Iterable[Turn]) -> str:
    """The conversation as text, open for the assistant's next turn: what CHAT_TEMPLATE renders."""
    turns = "".join(f"{TURN_START}{turn.role}\n{turn.text}{TURN_END}\n" for turn in talk)
    return f"{turns}{TURN_START}assistant\n"


class Encoder:
    """Text to ids, with a memory: conversations repeat the same lines thousands of times."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._known[text]

    def conversation(self, talk: Iterable[Turn]) -> Piece:
        """The chat form; graded are the assistant's words and the end of its turn."""
        ids: list[int] = []
        graded: list[bool] = []
        for turn in talk:
            head = [TURN_START_ID, *self.ids(f"{turn.role}\n")]
            body = [*self.ids(turn.text), TURN_END_ID]
            tail = self.ids("\n")
            ids += head + body + tail
            graded += [False] * len(head)
            graded += [turn.role == "assistant"] * len(body) + [False] * len(tail)
        return Piece(ids, graded)
