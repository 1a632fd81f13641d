"""The plain screen in a pseudo-terminal, as a serial console shows it."""

from __future__ import annotations

import json
import re
import signal
import sys

import pexpect
import pytest

from tests.integration.chat.conftest import Chat

PROMPT = "tú> "
COMPARE = 'a=$(stty -g); "$@"; test "$a" = "$(stty -g)" && echo IGUAL'


class TestTalking:
    def test_question_answer_and_log(self, chat: Chat) -> None:
        child = chat.terminal()
        child.expect_exact("semilla: el único modelo que hay")
        child.expect_exact(PROMPT)
        child.sendline("¿Quién eres?")
        child.expect_exact("pensando…")
        child.expect_exact("alma> ¡Hola, ñandú 🦤!\r\n")
        child.expect_exact(PROMPT)
        (turn,) = chat.turns()
        assert (turn.user, turn.answer) == ("¿Quién eres?", "¡Hola, ñandú 🦤!")
        assert (turn.model, turn.sha256) == ("semilla", "ab" * 6)
        assert (turn.prompt_tokens, turn.answer_tokens, turn.interrupted) == (21, 7, False)

    @pytest.mark.parametrize("chunk", [1, 2, 7, 100_000])
    def test_bytes_may_be_cut_anywhere(self, chat: Chat, chunk: int) -> None:
        chat.script.chunk = chunk
        chat.script.pieces = ["a\u2028b", "\x85", "«ñ»", "\n\n", "fin"]
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.sendline("x")
        child.expect_exact("fin\r\n")
        child.expect_exact(PROMPT)
        assert chat.turns()[0].answer == "a\u2028b\x85«ñ»\n\nfin"

    def test_english_by_locale(self, chat: Chat) -> None:
        child = chat.terminal(ALMA_LANG="en")
        child.expect_exact("you> ")
        child.sendline("hi")
        child.expect_exact("thinking…")
        child.expect_exact("alma> ")
        child.expect_exact("you> ")
        assert "**You**" in chat.tree.day_log(chat.turns()[0].when.date()).read_text()

    def test_the_model_is_shown_the_system_prompt_and_the_turns_before(self, chat: Chat) -> None:
        chat.pipe("uno\ndos\n", "chat")
        system, *rest = chat.script.prompts[1]
        assert system == {
            "role": "system",
            "content": "Eres ALMA, un asistente local que funciona sin conexión. "
            "Responde con frases breves y claras, en el idioma de la persona.",
        }
        assert [(m["role"], m["content"]) for m in rest] == [
            ("user", "uno"),
            ("assistant", "¡Hola, ñandú 🦤!"),
            ("user", "dos"),
        ]

    def test_what_no_longer_fits_is_left_out_and_said(self, chat: Chat) -> None:
        chat.script.context = 400  # the script counts characters; the system prompt has 118
        done = chat.pipe("a" * 100 + "\n" + "b" * 100 + "\n", "chat")
        assert "lo más antiguo ya no cabe" in done.stdout
        assert [m["content"][:1] for m in chat.script.prompts[1]] == ["E", "b"]
        assert chat.script.limits[1] == 400 - sum(len(m["content"]) for m in chat.script.prompts[1])

    def test_a_question_that_cannot_fit_is_not_sent_but_kept(self, chat: Chat) -> None:
        done = chat.pipe("a" * 5000 + "\n", "chat")
        assert "demasiado largo" in done.stdout
        assert chat.script.prompts == []
        assert chat.turns()[0].user == "a" * 5000


class TestTyping:
    def test_a_line_longer_than_the_terminals_own_limit(self, chat: Chat) -> None:
        chat.script.context = 0
        child = chat.terminal()
        child.expect_exact(PROMPT)
        text = "palabra ñ " * 2000 + "fin"
        child.sendline(text)
        child.expect_exact("alma> ")
        child.expect_exact(PROMPT)
        assert chat.turns()[0].user == text

    def test_corrections(self, chat: Chat) -> None:
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.send("todo fuera\x15holaa\x7f, señorx y más\x17\x17\x7f\x7f\x1b[A\x1b[D\r")
        child.expect_exact("alma> ")
        child.expect_exact(PROMPT)
        assert chat.turns()[0].user == "hola, señor"

    def test_lines_typed_ahead_are_answered_in_order(self, chat: Chat) -> None:
        child = chat.terminal()
        child.send("uno\rdos\r")
        for _turn in range(2):
            child.expect_exact("alma> ")
        child.expect_exact(PROMPT)
        child.sendline("!salir")
        child.expect(pexpect.EOF)
        assert [t.user for t in chat.turns()] == ["uno", "dos"]

    def test_the_terminal_is_left_as_it_was(self, chat: Chat) -> None:
        child = pexpect.spawn(
            "/bin/sh",
            ["-c", COMPARE, "sh", sys.executable, *chat.arguments("chat")],
            env=chat.environment(),
            encoding="utf-8",
            timeout=60,
        )
        child.expect_exact(PROMPT)
        child.sendline("!salir")
        child.expect_exact("IGUAL")
        child.close()

    def test_no_control_character_of_an_answer_reaches_the_terminal(self, chat: Chat) -> None:
        chat.script.pieces = ["a\x1b]0;título\x07b", "\x1b[2J", "\x9b31mc", "\r", "d\n\te"]
        done = chat.pipe("x\n", "chat")
        assert "alma> a]0;títulob[2J31mcd\n\te\n" in done.stdout
        assert not re.search("[\x1b\x07\x9b\r]", done.stdout)
        assert chat.turns()[0].answer == "".join(chat.script.pieces)


class TestTrouble:
    def test_ctrl_c_stops_the_answer_and_keeps_what_came(self, chat: Chat) -> None:
        chat.script.hang_after = 2
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.sendline("cuenta")
        child.expect_exact("alma> ¡Hola, ñandú 🦤")
        child.sendintr()
        child.expect_exact("(interrumpido)")
        child.expect_exact(PROMPT)
        assert chat.script.stopped.wait(30), "the server goes on answering nobody"
        (turn,) = chat.turns()
        assert (turn.answer, turn.interrupted) == ("¡Hola, ñandú 🦤", True)

    def test_ctrl_c_twice_leaves(self, chat: Chat) -> None:
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.sendintr()
        child.expect_exact("otra vez Ctrl-C")
        child.expect_exact(PROMPT)
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0

    @pytest.mark.parametrize("way", ["die_after", "error_after"])
    def test_an_answer_that_breaks_off_is_kept_and_said(self, chat: Chat, way: str) -> None:
        setattr(chat.script, way, 1)
        done = chat.pipe("sigue\n", "chat")
        words = {"die_after": "la respuesta se cortó", "error_after": "el motor se paró"}
        assert words[way] in done.stdout
        assert (done.returncode, done.stderr) == (0, "")
        (turn,) = chat.turns()
        assert (turn.user, turn.answer, turn.interrupted) == ("sigue", "¡Hola", True)

    def test_a_refusal_is_the_servers_own_sentence(self, chat: Chat) -> None:
        chat.script.refuse = (503, "no queda memoria para este modelo")
        done = chat.pipe("hola\n", "chat")
        assert "! no queda memoria para este modelo" in done.stdout
        assert chat.turns()[0].user == "hola"

    def test_a_question_is_asked_again_on_request(self, chat: Chat) -> None:
        chat.script.refuse = (503, "ahora no")
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.sendline("pregunta larga")
        child.expect_exact("ahora no")
        chat.script.refuse = None
        child.expect_exact(PROMPT)
        child.sendline("!repetir")
        child.expect_exact("alma> ")
        child.expect_exact(PROMPT)
        assert [t.user for t in chat.turns()] == ["pregunta larga"] * 2

    def test_it_waits_while_the_model_loads(self, chat: Chat) -> None:
        chat.script.status, chat.script.reason = "loading", "leyendo el modelo"
        child = chat.terminal()
        child.expect_exact("leyendo el modelo")
        chat.script.status = "ready"
        child.expect_exact("semilla: el único modelo que hay")
        child.expect_exact(PROMPT)

    def test_a_model_that_cannot_be_used_is_a_sentence_and_a_prompt(self, chat: Chat) -> None:
        chat.script.status, chat.script.reason = "failed", "no hay ningún modelo que quepa"
        done = chat.pipe("¿estás?\n", "chat")
        assert "el modelo no se puede usar: no hay ningún modelo que quepa" in done.stdout
        assert "!repetir" in done.stdout
        assert chat.turns()[0].user == "¿estás?"

    def test_a_log_that_cannot_be_written_is_written_later(self, chat: Chat) -> None:
        child = chat.terminal()
        child.expect_exact(PROMPT)
        aside = chat.tree.root / "aside"
        chat.tree.logs.rename(aside)
        chat.tree.logs.write_text("in the way")
        child.sendline("primera")
        child.expect_exact("no se puede escribir")
        child.expect_exact(PROMPT)
        chat.tree.logs.unlink()
        aside.rename(chat.tree.logs)
        child.sendline("segunda")
        child.expect_exact("alma> ")
        child.expect_exact(PROMPT)
        assert [t.user for t in chat.turns()] == ["primera", "segunda"]

    def test_a_folder_that_is_no_tree_is_one_sentence(self, chat: Chat) -> None:
        chat.tree.version_file.unlink()
        done = chat.pipe("hola\n", "chat")
        assert done.returncode == 1
        assert "alma init" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_closed_terminal_ends_it(self, chat: Chat) -> None:
        child = chat.terminal()
        child.expect_exact(PROMPT)
        child.kill(signal.SIGHUP)
        child.expect(pexpect.EOF)


class TestBanner:
    @pytest.mark.parametrize(
        ("node", "words"),
        [
            ("disk", "Hablas con el disco"),
            ("keep", "SIN DISCO (no hay disco): lo que digas se guarda en el lápiz."),
            ("ram", "está solo en memoria y se perderá"),
        ],
    )
    def test_says_where_what_is_said_is_kept(self, chat: Chat, node: str, words: str) -> None:
        said = {"node": node, "reason": "no hay disco"}
        (chat.run_dir / "node.json").write_text(json.dumps(said))
        assert words in chat.pipe("", "chat").stdout

    def test_without_a_node_it_names_the_folder(self, chat: Chat) -> None:
        assert str(chat.tree.root) in chat.pipe("", "chat").stdout
