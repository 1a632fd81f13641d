"""What the screens make of texts."""

from __future__ import annotations

import io
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.console import Console

from alma_runtime.chat.rich_screen import Blocks, OrderCompleter, RichScreen, TreeHistory
from alma_runtime.chat.rich_screen import prompt_session as make_session
from alma_runtime.chat.screen import harmless

MARKDOWN = st.text(st.sampled_from("ab`~\n -#")).map(lambda t: t.replace("--", "```\n"))


class TestBlocks:
    @given(MARKDOWN, st.lists(st.integers(0, 100)))
    def test_the_same_blocks_however_the_text_is_cut(self, text: str, cuts: list[int]) -> None:
        whole, cut = Blocks(), Blocks()
        at_once = whole.feed(text)
        ends = [*sorted(cuts), len(text)]
        piecewise = [
            block
            for start, end in zip([0, *ends], ends, strict=False)
            for block in cut.feed(text[start:end])
        ]
        assert (piecewise, cut.tail) == (at_once, whole.tail)

    @given(MARKDOWN)
    def test_nothing_but_empty_lines_is_lost(self, text: str) -> None:
        blocks = Blocks()
        told = "".join([*blocks.feed(text), blocks.tail])
        assert told.replace("\n", "").replace(" ", "") == text.replace("\n", "").replace(" ", "")

    def test_an_empty_line_inside_a_fence_does_not_end_it(self) -> None:
        blocks = Blocks()
        assert blocks.feed("```py\na\n\nb\n") == []
        assert blocks.feed("```\n") == ["```py\na\n\nb\n```\n"]


@given(st.text())
def test_harmless_text_cannot_steer_a_terminal(text: str) -> None:
    assert not set(harmless(text)) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
    assert harmless("a\n\tñ漢🦤") == "a\n\tñ漢🦤"


def test_each_finished_block_is_printed_once(tmp_path: Path) -> None:
    output = io.StringIO()
    console = Console(file=output, width=40, force_terminal=False)
    screen = RichScreen(console, make_session(tmp_path / "history", []))
    with screen.answering() as show:
        for piece in ("Uno **dos", "**\n", "\n- tres\n- cua", "tro\n\nfin"):
            show(piece)
    lines = [line.strip() for line in output.getvalue().splitlines() if line.strip()]
    assert lines == ["Uno dos", "• tres", "• cuatro", "fin"]


class TestHistory:
    @given(texts=st.lists(st.text(min_size=1)))
    def test_comes_back_newest_first(self, texts: list[str]) -> None:
        fd = os.memfd_create("history")
        try:
            path = Path(f"/proc/self/fd/{fd}")
            history = TreeHistory(path)
            for text in texts:
                history.store_string(text)
            assert list(TreeHistory(path).load_history_strings()) == texts[::-1]
        finally:
            os.close(fd)

    def test_a_folder_that_is_gone_is_no_reason_to_stop(self, tmp_path: Path) -> None:
        history = TreeHistory(tmp_path / "gone/history")
        history.store_string("hola")
        assert list(history.load_history_strings()) == []


def test_commands_are_completed_without_their_accents() -> None:
    completer = OrderCompleter(["guión", "ayuda"])
    found = completer.get_completions(Document("!gui"), CompleteEvent())
    assert [c.text for c in found] == ["!guión"]
    assert not list(completer.get_completions(Document("gui"), CompleteEvent()))
