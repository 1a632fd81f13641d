"""Commands of the chat: lines that begin with `!`, kept in a table that other rooms add to.

A room offers a list of `Order` in the entry-point group `alma.chat`. Names are Spanish first, then
the English aliases; accents and case do not count, and a name may be of several words.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alma_runtime.chat.session import Session

GROUP = "alma.chat"


@dataclass(frozen=True)
class Order:
    """One command: its names without `!`, what it does in a line (English), and the doing."""

    names: tuple[str, ...]
    help: str
    run: Callable[[Session, str], None]
    arguments: str = ""


@dataclass(frozen=True)
class Unknown:
    """A line that is no command, and the name that comes closest (empty when none does)."""

    closest: str


def is_order(line: str) -> bool:
    """Does the line ask for a command? Such a line is never sent to a model."""
    return line.lstrip().startswith("!")


def find(orders: Iterable[Order], line: str) -> tuple[Order, str] | Unknown:
    """The command of a line, and the rest of the line as it was typed."""
    words = line.lstrip().removeprefix("!").split(" ")
    names = {plain(name): order for order in orders for name in order.names}
    for size in range(len(words), 0, -1):
        order = names.get(plain(" ".join(words[:size])))
        if order is not None:
            return order, " ".join(words[size:]).strip()
    close = difflib.get_close_matches(plain(words[0]), names, n=1, cutoff=0.4)
    return Unknown(names[close[0]].names[0] if close else "")


def plain(text: str) -> str:
    """Without accents, case and superfluous spaces; `ñ` becomes `n` too."""
    apart = unicodedata.normalize("NFD", text.casefold())
    return " ".join("".join(c for c in apart if not unicodedata.combining(c)).split())


def all_orders(own: Iterable[Order]) -> tuple[Order, ...]:
    """The chat's own commands and those of every installed room."""
    others = (order for entry in entry_points(group=GROUP) for order in entry.load())
    return (*own, *others)
