"""Puts the pieces of a chat together, and the two ways to use them: `alma chat`, `alma ask`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from alma_runtime.chat.conversation import Conversation, system_prompt
from alma_runtime.chat.gateway import Gateway
from alma_runtime.chat.orders import all_orders
from alma_runtime.chat.own_orders import ORDERS
from alma_runtime.chat.plain_input import PipeLines, TerminalLines, unedited
from alma_runtime.chat.screen import PlainScreen, Screen, Show, harmless, is_plain
from alma_runtime.chat.session import PATIENCE_SECONDS, Session
from alma_runtime.config import settings
from alma_runtime.errors import AlmaError
from alma_runtime.i18n import _
from alma_runtime.node import DISK, KEEP, RAM, read_node
from alma_runtime.service.client import client
from alma_runtime.tree import Tree, open_tree

SHORT_PATIENCE_SECONDS = 5.0
"""A script wants to know soon that nobody is there; a person at boot does not."""
TREE_MASK = 0o007
"""Files of the tree are for their owner and the group alma."""


def chat(root: Path, port: int, *, plain: bool) -> None:
    """Talk until the person leaves.

    Raises:
        AlmaError: there is no tree to write the log to.
    """
    os.umask(TREE_MASK)
    tree = open_tree(root)
    with _gateway(port) as gateway, _screen(tree, plain) as screen:
        session = _session(gateway, screen, tree)
        screen.say(banner(tree))
        try:
            session.wait_until_ready()
        except KeyboardInterrupt:
            screen.say("")
        session.run()


def ask(root: Path, port: int, question: str) -> None:
    """Answer one question on standard output; everything else goes to standard error.

    Raises:
        AlmaError: no tree, no model, or the answer broke off.
    """
    os.umask(TREE_MASK)
    if not question.strip():
        raise AlmaError(_("there is no question; write it behind «alma ask» or pipe it in"))
    with _gateway(port) as gateway:
        screen = _AnswerOnly()
        session = _session(gateway, screen, open_tree(root), SHORT_PATIENCE_SECONDS)
        whole = session.question(question)
    if not whole:
        raise AlmaError(_("there is no whole answer"))


def banner(tree: Tree) -> str:
    """Where what is said will be kept, in clear words, and how to get help."""
    node = read_node(settings().run_dir)
    places = {
        DISK: _("You are talking to the disk: what you say is kept on it, encrypted."),
        KEEP: _("NO DISK ({reason}): what you say is kept on the stick."),
        RAM: _(
            "NEITHER DISK NOR STICK ({reason}): what you say is only in memory and will be lost."
        ),
    }
    if node is None:
        place = _("What you say is kept in {root}.").format(root=tree.root)
    else:
        place = places[node.node].format(reason=node.reason)
    return "\n".join(["ALMA", place, _("Commands: !ayuda")])


def _session(
    gateway: Gateway, screen: Screen, tree: Tree, patience: float = PATIENCE_SECONDS
) -> Session:
    conversation = Conversation(system_prompt())
    return Session(
        gateway,
        screen,
        tree,
        settings().run_dir,
        conversation,
        all_orders(ORDERS),
        patience_seconds=patience,
    )


@contextlib.contextmanager
def _gateway(port: int) -> Iterator[Gateway]:
    with client(f"http://127.0.0.1:{port}", settings().run_dir / "llm" / "key") as http:
        yield Gateway(http)


@contextlib.contextmanager
def _screen(tree: Tree, plain: bool) -> Iterator[Screen]:
    if not plain and not is_plain(settings().terminal):
        # heavy, and of no use to a serial console: loaded only where they show something
        from rich.console import Console

        from alma_runtime.chat.rich_screen import RichScreen, prompt_session

        names = [name for order in all_orders(ORDERS) for name in order.names]
        yield RichScreen(Console(), prompt_session(tree.chat_history, names))
    elif sys.stdin.isatty():
        with unedited(sys.stdin.fileno()):
            yield PlainScreen(TerminalLines(sys.stdin.fileno(), sys.stdout), sys.stdout)
    else:
        yield PlainScreen(PipeLines(sys.stdin.buffer), sys.stdout)


class _AnswerOnly:
    """The screen of `alma ask`."""

    def ask(self) -> str:
        raise EOFError

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            print(harmless(text), file=sys.stderr, flush=True)

    def error(self, text: str) -> None:
        print(harmless(text), file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def answering(self) -> Iterator[Show]:
        def show(piece: str) -> None:
            sys.stdout.write(harmless(piece))
            sys.stdout.flush()

        try:
            yield show
        finally:
            sys.stdout.write("\n")
            sys.stdout.flush()
