"""Lines from a pipe, or from a terminal that can do nothing.

A terminal's own line editing loses everything after 4095 bytes, so we switch it off and edit here:
backspace, Ctrl-W (word), Ctrl-U (line), Ctrl-D (end, on an empty line). Ctrl-C stays a signal.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import termios
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO, Protocol, TextIO

CHUNK = 4096
ESCAPE = "\x1b"


class LineSource(Protocol):
    """Something that gives one line after another."""

    def line(self) -> str:
        """The next line without its end. Raises EOFError when there are no more."""


class PipeLines:
    """Lines of a file or pipe."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def line(self) -> str:
        read = self._stream.readline()
        if not read:
            raise EOFError
        return read.decode("utf-8", "replace").rstrip("\r\n")


class TerminalLines:
    """Lines typed on a terminal, echoed by us."""

    def __init__(self, fd: int, output: TextIO) -> None:
        self._fd = fd
        self._output = output
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting: list[str] = []
        self._escape = ""

    def line(self) -> str:
        typed: list[str] = []
        while True:
            self._output.flush()
            for character in self._characters():
                if character in "\r\n":
                    self._echo("\n")
                    return "".join(typed)
                if character == "\x04" and not typed:
                    raise EOFError
                self._edit(typed, character)

    def _characters(self) -> Iterator[str]:
        """What has been typed; what comes after a line's end is kept for the next line."""
        if not self._waiting:
            read = os.read(self._fd, CHUNK)
            if not read:
                raise EOFError
            self._waiting = list(self._decoder.decode(read))
        while self._waiting:
            character = self._waiting.pop(0)
            if not self._swallow(character):
                yield character

    def _swallow(self, character: str) -> bool:
        """Is this part of an escape sequence (an arrow key)? Those are ignored whole."""
        if not self._escape:
            self._escape = character if character == ESCAPE else ""
            return bool(self._escape)
        if self._escape == ESCAPE and character in "[O":
            self._escape += character
        elif self._escape == ESCAPE or "@" <= character <= "~":
            self._escape = ""
        return True

    def _edit(self, typed: list[str], character: str) -> None:
        if character in "\x7f\x08":
            self._erase(typed, 1)
        elif character == "\x15":
            self._erase(typed, len(typed))
        elif character == "\x17":
            kept = "".join(typed).rstrip(" ").rpartition(" ")
            self._erase(typed, len(typed) - len(kept[0] + kept[1]))
        elif character == "\t" or character.isprintable():
            typed.append(character)
            self._echo(character)

    def _erase(self, typed: list[str], number: int) -> None:
        for _number in range(min(number, len(typed))):
            columns = columns_of(typed.pop())
            self._echo("\b" * columns + " " * columns + "\b" * columns)

    def _echo(self, text: str) -> None:
        self._output.write(text)


def columns_of(character: str) -> int:
    """Columns that a character takes on a terminal."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@contextlib.contextmanager
def unedited(fd: int) -> Iterator[None]:
    """A terminal without its own editing and echo, and as it was afterwards."""
    before = termios.tcgetattr(fd)
    changed = [
        *before[:3],
        before[3] & ~(termios.ICANON | termios.ECHO),
        *before[4:6],
        [*before[6]],
    ]
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def lines_of_pipe() -> PipeLines:
    """Lines of standard input."""
    return PipeLines(sys.stdin.buffer)
