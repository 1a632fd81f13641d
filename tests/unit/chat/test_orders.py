"""Finding the command that a line means."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_runtime.chat.orders import Order, Unknown, find, is_order, plain
from alma_runtime.chat.own_orders import ORDERS, day_of
from alma_runtime.errors import AlmaError


def nothing(_session: object, _rest: str) -> None:
    """A command that does nothing."""


TABLE = (
    Order(("guión", "script"), "", nothing),
    Order(("listar",), "", nothing),
    Order(("listar sugerencias",), "", nothing),
)


class TestFind:
    @pytest.mark.parametrize("line", ["!guión", "!guion", "  !GUION", "!Script", "!guio\u0301n"])
    def test_accents_case_and_aliases_do_not_matter(self, line: str) -> None:
        assert find(TABLE, line) == (TABLE[0], "")

    def test_the_longest_name_wins_and_the_rest_is_as_typed(self) -> None:
        assert find(TABLE, "!listar sugerencias  Ábc  d") == (TABLE[2], "Ábc  d")
        assert find(TABLE, "!listar otras") == (TABLE[1], "otras")

    def test_an_unknown_one_names_the_closest(self) -> None:
        assert find(TABLE, "!lsitar") == Unknown("listar")
        assert find(TABLE, "!zzzzz") == Unknown("")

    @given(st.text())
    def test_any_line_is_understood_or_unknown(self, text: str) -> None:
        assert is_order("!" + text)
        assert isinstance(find(ORDERS, "!" + text), tuple | Unknown)


def test_no_two_commands_share_a_name() -> None:
    names = [plain(name) for order in ORDERS for name in order.names]
    assert sorted(names) == sorted(set(names))


class TestDay:
    TODAY = datetime.date(2026, 3, 1)

    @pytest.mark.parametrize("text", ["", "hoy", " HOY ", "today", "2026-03-01", "01/03/2026"])
    def test_today(self, text: str) -> None:
        assert day_of(text, self.TODAY) == self.TODAY

    @pytest.mark.parametrize("text", ["ayer", "yesterday", "28-02-2026"])
    def test_the_day_before(self, text: str) -> None:
        assert day_of(text, self.TODAY) == datetime.date(2026, 2, 28)

    @pytest.mark.parametrize("text", ["mañana", "2026-02-30", "../../etc/passwd"])
    def test_what_is_no_day_is_refused(self, text: str) -> None:
        with pytest.raises(AlmaError, match="2026-11-20"):
            day_of(text, self.TODAY)
