"""What is sent to the model: the system prompt, and as many recent turns as its context holds.

Room is counted by the server. A quarter of the context (1024 tokens at most) is left for the
answer. The oldest turns are left out first, in pairs, and the person is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from alma_runtime.chat.gateway import Gateway, GatewayRefused, Message, Model
from alma_runtime.config import read_toml, settings
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _

PROMPTS = Path(__file__).with_name("prompts.toml")
LONGEST_ANSWER = 1024
CHARACTERS_PER_TOKEN = 3
"""For servers that cannot count; too few rather than too many characters."""


class TooLong(AlmaError):
    """The question alone does not fit into the model's context."""


@dataclass(frozen=True)
class Prompt:
    """What goes to the server; numbers in tokens, `left_out` in turns."""

    messages: list[Message]
    tokens: int
    max_tokens: int | None
    left_out: int


@dataclass
class Conversation:
    """The turns of a session, oldest first."""

    system: str
    turns: list[tuple[str, str]] = field(default_factory=list)
    sent_from: int = 0
    """The first turn that still fits; those before it are no longer tried."""

    def add(self, question: str, answer: str) -> None:
        """A finished turn becomes part of what the model is shown."""
        self.turns.append((question, answer))

    def reset(self) -> None:
        """Forget the session; the log on the disk stays."""
        self.turns.clear()
        self.sent_from = 0

    def messages(self, question: str | None = None) -> list[Message]:
        """The prompt with what fits now and, if given, a question."""
        said: list[Message] = [{"role": "system", "content": self.system}]
        for asked, answered in self.turns[self.sent_from :]:
            said += [{"role": "user", "content": asked}]
            said += [{"role": "assistant", "content": answered}]
        if question is not None:
            said += [{"role": "user", "content": question}]
        return said

    def prompt(self, gateway: Gateway, model: Model, question: str) -> Prompt:
        """The prompt for a question, within the model's context.

        Raises:
            TooLong: the question alone is too much.
            GatewayGone: nobody counts.
        """
        before = self.sent_from
        messages = self.messages(question)
        tokens = count(gateway, messages)
        if not model.context:
            return Prompt(messages, tokens, None, 0)
        room = model.context - min(LONGEST_ANSWER, model.context // 4)
        while tokens > room and self.sent_from < len(self.turns):
            self.sent_from += 1
            messages = self.messages(question)
            tokens = count(gateway, messages)
        if tokens > room:
            self.sent_from = before
            raise TooLong(
                _("that is too long for this model: {tokens} tokens, and it takes {room}").format(
                    tokens=tokens, room=room
                )
            )
        return Prompt(messages, tokens, model.context - tokens, self.sent_from - before)


def count(gateway: Gateway, messages: list[Message]) -> int:
    """Tokens by the server's count, or a careful guess where it has none."""
    try:
        return gateway.count(messages)
    except GatewayRefused:
        return sum(len(m["content"]) // CHARACTERS_PER_TOKEN + 8 for m in messages)


def system_prompt(language: str | None = None) -> str:
    """The fixed first message, in the person's language."""
    return str(read_toml(PROMPTS)["system"][language or settings().language])
