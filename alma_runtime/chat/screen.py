"""What the person sees and types on: what both kinds of terminal share, and the plain one.

The plain screen serves serial consoles, pipes and terminals without colours: it never moves the
cursor back, flushes after every piece, and takes lines of any length.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from alma_runtime.chat.plain_input import LineSource
from alma_runtime.i18n import _

PLAIN_TERMINALS = ("", "dumb", "unknown", "vt52", "vt100", "vt102", "vt220", "vt220-8bit")
ANSWER_PREFIX = "alma> "
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]|\u202a|\u202b|\u202d|\u202e")
"""What a text may use to move the cursor, change colours or reorder the line."""

Show = Callable[[str], None]


class Screen(Protocol):
    """Where a chat takes place."""

    def ask(self) -> str:
        """The next message. Raises EOFError at the end, KeyboardInterrupt at Ctrl-C."""

    def say(self, text: str) -> None:
        """A text of ours."""

    def error(self, text: str) -> None:
        """A sentence that says what went wrong."""

    def answering(self) -> contextlib.AbstractContextManager[Show]:
        """While an answer comes: says that the model thinks, then shows each piece."""


def harmless(text: str) -> str:
    """A text without what could make the terminal do things; newlines and tabs stay."""
    return CONTROLS.sub("", text)


def is_plain(terminal: str) -> bool:
    """Must this program do without colours and cursor movement?"""
    return terminal in PLAIN_TERMINALS or not (sys.stdin.isatty() and sys.stdout.isatty())


class PlainScreen:
    """Lines in, text out."""

    def __init__(self, source: LineSource, output: TextIO, *, echo_prompt: bool = True) -> None:
        self._source = source
        self._output = output
        self._prompt = _("you> ") if echo_prompt else ""

    def ask(self) -> str:
        self._write(self._prompt)
        return self._source.line()

    def say(self, text: str) -> None:
        self._write(harmless(text) + "\n")

    def error(self, text: str) -> None:
        self.say(f"! {text}")

    @contextlib.contextmanager
    def answering(self) -> Iterator[Show]:
        started = False
        self._write(_("thinking…") + "\n")

        def show(piece: str) -> None:
            nonlocal started
            if not started:
                self._write(ANSWER_PREFIX)
                started = True
            self._write(harmless(piece))

        try:
            yield show
        finally:
            if started:
                self._write("\n")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
