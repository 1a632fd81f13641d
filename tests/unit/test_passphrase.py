"""Passphrases from a real pseudo-terminal and from a file."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pexpect
import pytest

from alma_runtime import passphrase
from alma_runtime.errors import AlmaError

ASK = "from alma_runtime.passphrase import *\nprint('[', {call}.hex(), ']', sep='')"
NEW = ASK.format(call="ask_new_passphrase()")


def ask(code: str, **environment: str) -> pexpect.spawn[str]:
    env = {**os.environ, "ALMA_LANG": "en", **environment}
    return pexpect.spawn(sys.executable, ["-c", code], env=env, encoding="utf-8", timeout=60)


def answer(child: pexpect.spawn[str]) -> bytes:
    """What the functions returned, as the child prints it."""
    child.expect(r"\[(\w+)\]")
    assert isinstance(child.match, re.Match)
    return bytes.fromhex(child.match.group(1))


class TestOnATerminal:
    def test_new_one_is_asked_twice_and_never_shown(self) -> None:
        child = ask(NEW)
        shown = child.logfile_read = io.StringIO()
        child.expect("New passphrase")
        child.sendline("frase de paso")
        child.expect("Once more: ")
        child.sendline("frase de paso")
        assert answer(child) == b"frase de paso"
        assert "frase de paso" not in shown.getvalue()

    def test_two_different_ones_are_asked_again(self) -> None:
        child = ask(NEW)
        for text in ("uno", "dos", "tres", "tres"):
            child.expect("New passphrase|Once more: ")
            child.sendline(text)
        assert answer(child) == b"tres"

    def test_existing_one_is_asked_once_and_only_its_newline_is_cut(self) -> None:
        child = ask(ASK.format(call="read_passphrase()"))
        child.expect("Passphrase: ")
        child.sendline(" con espacios ")
        assert answer(child) == b" con espacios "

    def test_empty_one_is_refused(self) -> None:
        child = ask(NEW)
        child.expect("New passphrase")
        child.sendline("")
        child.expect("AlmaError: an empty passphrase")


def test_without_a_terminal_the_way_out_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NEW],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        env={**os.environ, "ALMA_LANG": "en"},
    )
    assert done.returncode == 1
    assert "ALMA_PASSPHRASE_FILE" in done.stderr


class TestFromAFile:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_line_end_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        file = tmp_path / "passphrase"
        file.write_bytes(f"  señal {end}".encode())
        monkeypatch.setenv("ALMA_PASSPHRASE_FILE", str(file))
        assert passphrase.read_passphrase() == "  señal ".encode()
        assert passphrase.ask_new_passphrase() == "  señal ".encode()

    @pytest.mark.parametrize("content", [b"", b"\n", b"dos\nlineas\n", b"\xff\xfe", b"a" * 513])
    def test_unusable_one_is_refused_without_showing_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        file = tmp_path / "passphrase"
        file.write_bytes(content)
        monkeypatch.setenv("ALMA_PASSPHRASE_FILE", str(file))
        with pytest.raises(AlmaError) as caught:
            passphrase.read_passphrase()
        assert "lineas" not in str(caught.value)
        assert "aaaa" not in str(caught.value)

    def test_missing_one_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALMA_PASSPHRASE_FILE", str(tmp_path / "none"))
        with pytest.raises(AlmaError, match="none"):
            passphrase.read_passphrase()


def test_both_ways_to_type_an_accent_give_the_same_bytes() -> None:
    decomposed = unicodedata.normalize("NFD", "canción")
    assert passphrase.usable(decomposed) == passphrase.usable("canción")
