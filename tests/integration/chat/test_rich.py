"""The full screen in a pseudo-terminal: editing, Markdown, interruption, resizing."""

from __future__ import annotations

import pytest

from tests.integration.chat.conftest import Chat


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_a_paste_of_several_lines_is_one_message(chat: Chat, columns: int, rows: int) -> None:
    child = chat.terminal(columns, rows, TERM="xterm-256color")
    child.expect_exact("tú> ")
    child.send("\x1b[200~línea 1\nlínea 2\x1b[201~\r")
    child.expect("ñandú")
    child.expect_exact("tú> ")
    (turn,) = chat.turns()
    assert turn.user == "línea 1\nlínea 2"
    assert "l\\u00ednea 1\\nl" in chat.tree.chat_history.read_text()


def test_alt_enter_begins_a_line_and_markdown_is_formatted(chat: Chat) -> None:
    chat.script.pieces = ["Esto es **muy", " importante**.\n\n", "```py\nprint(1)\n", "```\nfin"]
    child = chat.terminal(TERM="xterm-256color")
    child.expect_exact("tú> ")
    child.send("uno\x1b\rdos\r")
    child.expect("fin")
    child.expect_exact("tú> ")
    assert chat.turns()[0].user == "uno\ndos"
    assert chat.turns()[0].answer == "".join(chat.script.pieces)


def test_resizing_and_ctrl_c_during_an_answer(chat: Chat) -> None:
    chat.script.hang_after = 2
    child = chat.terminal(TERM="xterm-256color")
    child.expect_exact("tú> ")
    child.send("hola\r")
    child.expect("ñandú")
    child.setwinsize(10, 30)
    child.sendintr()
    child.expect_exact("(interrumpido)")
    child.expect_exact("tú> ")
    (turn,) = chat.turns()
    assert (turn.answer, turn.interrupted) == ("¡Hola, ñandú 🦤", True)


def test_the_history_survives_the_session(chat: Chat) -> None:
    for keys in ("primera pregunta\r", "\x1b[A\r"):
        child = chat.terminal(TERM="xterm-256color")
        child.expect_exact("tú> ")
        child.send(keys)
        child.expect("ñandú")
        child.expect_exact("tú> ")
        child.send("!salir\r")
        child.expect_exact("Hasta luego")
        child.close()
        chat.tree.chat_history.write_text(
            "".join(
                line
                for line in chat.tree.chat_history.read_text().splitlines(keepends=True)
                if "salir" not in line
            )
        )
    assert [t.user for t in chat.turns()] == ["primera pregunta"] * 2
