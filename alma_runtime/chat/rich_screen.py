"""The screen of a real terminal: line editing and history by prompt_toolkit, Markdown by rich.

An answer is shown as append-only blocks: each finished paragraph, list or fence is printed once,
formatted; only the unfinished tail is redrawn, and never taller than the screen. Redrawing whole
answers flickers and repeats lines once they are longer than the terminal.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.text import Text

from alma_runtime.chat.orders import plain
from alma_runtime.chat.screen import Show, harmless
from alma_runtime.files import append_durably
from alma_runtime.i18n import _

REFRESHES_PER_SECOND = 8
TAIL_MARGIN = 3
"""Lines of the screen that the unfinished tail leaves free."""


class RichScreen:
    """A terminal with colours and a cursor that moves."""

    def __init__(self, console: Console, session: PromptSession[str]) -> None:
        self._console = console
        self._session = session
        self._prompt = FormattedText([("bold ansicyan", _("you> "))])

    def ask(self) -> str:
        return self._session.prompt(self._prompt)

    def say(self, text: str) -> None:
        self._console.print(harmless(text), style="dim", markup=False, highlight=False)

    def error(self, text: str) -> None:
        self._console.print(harmless(text), style="bold red", markup=False, highlight=False)

    @contextlib.contextmanager
    def answering(self) -> Iterator[Show]:
        blocks = Blocks()
        with Live(
            _Thinking(),
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            vertical_overflow="crop",
        ) as live:

            def show(piece: str) -> None:
                for block in blocks.feed(harmless(piece)):
                    self._print(block)
                live.update(_Tail(blocks.tail))

            try:
                yield show
            finally:
                live.update(Text(""))
        if blocks.tail.strip():
            self._print(blocks.tail)

    def _print(self, block: str) -> None:
        self._console.print(Markdown(block, code_theme="ansi_dark"))


class Blocks:
    """Cuts a growing Markdown text into finished blocks and an unfinished tail."""

    def __init__(self) -> None:
        self.tail = ""

    def feed(self, piece: str) -> list[str]:
        """Add a piece; the blocks that it finished."""
        self.tail += piece
        finished: list[str] = []
        while (end := _block_end(self.tail)) is not None:
            block, self.tail = self.tail[:end], self.tail[end:]
            if block.strip():
                finished.append(block)
        return finished


def _block_end(text: str) -> int | None:
    """Where the first block ends: after a closed fence, or at an empty line outside of one."""
    fence = ""
    position = 0
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return None
        position += len(line)
        mark = line.lstrip()[:3]
        if fence:
            if mark == fence and not line.strip().strip(fence[0]):
                return position
        elif mark in ("```", "~~~"):
            fence = mark
        elif not line.strip():
            return position
    return None


class _Thinking:
    """«thinking…» and for how long."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._spinner = Spinner("dots", style="dim")

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        seconds = int(time.monotonic() - self._since)
        self._spinner.update(text=Text(f"{_('thinking…')} {seconds} s", style="dim"))
        yield self._spinner


class _Tail:
    """The last lines of an unfinished block, as many as fit."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = Text(self._text).wrap(console, options.max_width)
        yield from lines[-max(1, console.height - TAIL_MARGIN) :]


class TreeHistory(History):
    """What was typed, on the encrypted tree and nowhere else: one JSON string per line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """Newest first."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return []
        return [text for line in reversed(lines) if (text := _string(line))]

    def store_string(self, string: str) -> None:
        """A history that cannot be written is no reason to stop talking."""
        with contextlib.suppress(OSError):
            append_durably(self._path, json.dumps(string).encode("ascii") + b"\n")


def _string(line: str) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""


class OrderCompleter(Completer):
    """Completes the names of commands."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("!"):
            for name in self._names:
                if plain(name).startswith(plain(typed[1:])):
                    yield Completion(f"!{name}", start_position=-len(typed))


def prompt_session(history: Path, names: Iterable[str]) -> PromptSession[str]:
    """Line editing: Enter sends, Alt-Enter begins a new line, a paste is one message."""
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return PromptSession(
        history=TreeHistory(history),
        completer=OrderCompleter(names),
        complete_while_typing=False,
        multiline=True,
        key_bindings=keys,
    )
