"""Commands of the chat, typed into the real program."""

from __future__ import annotations

import datetime

import pytest

from alma_runtime.chat.conversation import system_prompt
from alma_runtime.daylog import Turn, append_turn
from tests.integration.chat.conftest import Chat


def test_help_names_every_command(chat: Chat) -> None:
    said = chat.pipe("!ayuda\n", "chat").stdout
    for name in ("!ayuda", "!memoria", "!modelo", "!tokens", "!reset", "!salir", "!apagar"):
        assert name in said


@pytest.mark.parametrize("line", ["!memria hoy", "!APAGARR", "!xyzzy", "!"])
def test_an_unknown_command_is_never_sent(chat: Chat, line: str) -> None:
    said = chat.pipe(line + "\n", "chat").stdout
    assert "no es una orden" in said
    assert chat.script.prompts == []
    assert chat.turns() == []


def test_the_closest_command_is_named(chat: Chat) -> None:
    assert "«!memoria»" in chat.pipe("!memria ayer\n", "chat").stdout


def test_power_off_leaves_a_request_and_ends(chat: Chat) -> None:
    (chat.run_dir / "requests").mkdir()
    done = chat.pipe("!apagar\nesto ya no\n", "chat")
    assert (chat.run_dir / "requests/poweroff").read_bytes() == b""
    assert "Apagando" in done.stdout
    assert chat.script.prompts == []


def test_power_off_says_when_it_cannot(chat: Chat) -> None:
    done = chat.pipe("!poweroff\n!salir\n", "chat")
    assert "no se puede apagar" in done.stdout
    assert "Hasta luego." in done.stdout


def test_memory_shows_the_day_asked_for(chat: Chat) -> None:
    when = datetime.datetime(2026, 11, 20, 9, 30, tzinfo=datetime.UTC)
    turn = Turn(when, "t-093000-00000000", "¿llueve?", "no lo sé")
    append_turn(chat.tree.day_log(when.date()), turn)
    said = chat.pipe("hola\n!memoria hoy\n!memoria 20/11/2026\n!memoria 1999-01-01\n", "chat")
    assert "tú> hola" in said.stdout
    assert "[09:30] tú> ¿llueve?\nalma> no lo sé" in said.stdout
    assert "el 1999-01-01 no se dijo nada" in said.stdout
    assert "no es un día" in chat.pipe("!memoria mañana\n", "chat").stdout


def test_model_and_tokens(chat: Chat) -> None:
    said = chat.pipe("hola\n!modelo\n!tokens\n", "chat").stdout
    assert "semilla (sha256 abababababab…), contexto de 1000 tokens" in said
    # the script counts characters
    used = sum(map(len, (system_prompt("es"), "hola", "¡Hola, ñandú 🦤!")))
    assert f"{used} de 1000 tokens en uso" in said


def test_reset_forgets_for_the_model_only(chat: Chat) -> None:
    chat.pipe("uno\n!reset\ndos\n", "chat")
    assert [m["content"] for m in chat.script.prompts[1][1:]] == ["dos"]
    assert [t.user for t in chat.turns()] == ["uno", "dos"]


class TestAsk:
    def test_the_answer_alone_is_on_standard_output(self, chat: Chat) -> None:
        done = chat.pipe("", "ask", "¿Quién", "eres?")
        assert (done.returncode, done.stdout) == (0, "¡Hola, ñandú 🦤!\n")
        assert chat.turns()[0].user == "¿Quién eres?"

    def test_what_is_piped_in_is_added(self, chat: Chat) -> None:
        chat.pipe("línea 1\nlínea 2\n", "ask", "Resume:")
        assert chat.script.prompts[0][-1]["content"] == "Resume:\n\nlínea 1\nlínea 2"

    def test_nothing_to_ask_is_refused(self, chat: Chat) -> None:
        assert chat.pipe("", "ask").returncode == 1

    def test_a_broken_answer_is_a_failure(self, chat: Chat) -> None:
        chat.script.die_after = 1
        done = chat.pipe("", "ask", "hola")
        assert (done.returncode, done.stdout) == (1, "¡Hola\n")
        assert "Traceback" not in done.stderr
        assert chat.turns()[0].interrupted

    def test_without_a_server_it_fails_with_a_sentence(self, chat: Chat) -> None:
        chat.server.stop()
        done = chat.pipe("", "ask", "hola")
        assert done.returncode == 1
        assert "el servidor del modelo no responde" in done.stderr
        assert chat.turns()[0].user == "hola"
