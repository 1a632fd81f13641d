"""Typing without the terminal's help, on a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
from collections.abc import Iterator

import pytest

from alma_runtime.chat.plain_input import PipeLines, TerminalLines, unedited

Typist = tuple[int, int]


@pytest.fixture
def terminal() -> Iterator[Typist]:
    """(where we type, where the program reads)."""
    ours, theirs = pty.openpty()
    with unedited(theirs):
        yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("hola\r", "hola"),
        ("holaa\x7f\r", "hola"),
        ("\x7f\x08hola\n", "hola"),
        ("uno dos\x17tres\r", "uno tres"),
        ("borrado\x15nuevo\r", "nuevo"),
        ("a\x1b[Ab\x1b[1;5Dc\x1bOPd\r", "abcd"),
        ("ñ漢\x7f字\r", "ñ字"),
        ("a\tb\x01\x02\r", "a\tb"),
        ("a\x04b\r", "ab"),
    ],
)
def test_a_line_is_edited(terminal: Typist, typed: str, line: str) -> None:
    ours, theirs = terminal
    os.write(ours, typed.encode())
    assert TerminalLines(theirs, io.StringIO()).line() == line


def test_a_character_may_come_in_pieces(terminal: Typist) -> None:
    ours, theirs = terminal
    source = TerminalLines(theirs, io.StringIO())
    first, second = "ñ".encode()
    os.write(ours, bytes([first]))
    assert list(source._characters()) == []
    os.write(ours, bytes([second]) + b"\r")
    assert source.line() == "ñ"


def test_erasing_takes_a_wide_characters_two_columns_back(terminal: Typist) -> None:
    ours, theirs = terminal
    shown = io.StringIO()
    os.write(ours, "漢\x7f\r".encode())
    TerminalLines(theirs, shown).line()
    assert shown.getvalue() == "漢\b\b  \b\b\n"


def test_the_end_of_input_is_the_end(terminal: Typist) -> None:
    ours, theirs = terminal
    os.write(ours, b"\x04")
    with pytest.raises(EOFError):
        TerminalLines(theirs, io.StringIO()).line()


def test_a_pipes_last_line_needs_no_end() -> None:
    source = PipeLines(io.BytesIO("uno\r\n\nñ".encode()))
    assert [source.line() for _line in range(3)] == ["uno", "", "ñ"]
    with pytest.raises(EOFError):
        source.line()
