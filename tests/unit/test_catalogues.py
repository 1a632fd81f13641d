"""Every text for people exists in Spanish, and no catalogue keeps what the code no longer says."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import polib
import pytest

import alma_image
import alma_runtime
from alma_runtime.i18n import CATALOGUES, catalogue

PACKAGE = Path(alma_runtime.__file__).parent
ROOMS = ("chat", "daylog", "host", "llm", "service")
FLOOR = sorted(path.name for path in PACKAGE.glob("*.py"))
BUILDER = Path(alma_image.__file__).parent
BUILDER_ROOMS = ("emulate", "media", "release")


def texts_of(*sources: Path) -> set[str]:
    """The arguments of every `_("…")` (and of `N_`, for tables translated later)."""
    calls = (node for source in sources for node in ast.walk(ast.parse(source.read_text("utf-8"))))
    return {
        call.args[0].value
        for call in calls
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("_", "N_")
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def fields(text: str) -> set[str | None]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text)} - {None}


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_texts_are_all_in_spanish(room: str) -> None:
    assert texts_of(*(PACKAGE / room).rglob("*.py")) - set(catalogue("es")) == set()


@pytest.mark.parametrize("name", FLOOR)
def test_the_ground_floors_texts_are_in_spanish(name: str) -> None:
    assert texts_of(PACKAGE / name) - set(catalogue("es")) == set()


@pytest.mark.parametrize("room", BUILDER_ROOMS)
def test_the_builders_texts_are_in_spanish(room: str) -> None:
    sources = (*(BUILDER / room).rglob("*.py"), *BUILDER.glob("*.py"))
    assert texts_of(*sources) - set(catalogue("es")) == set()


@pytest.mark.parametrize("name", sorted(path.stem for path in (CATALOGUES / "es").glob("*.po")))
def test_catalogues_fill_in_the_same_names_and_hold_nothing_dead(name: str) -> None:
    said = texts_of(*PACKAGE.rglob("*.py"), *BUILDER.rglob("*.py"))
    for entry in polib.pofile(str(CATALOGUES / "es" / f"{name}.po"), encoding="utf-8"):
        assert entry.msgid in said
        assert fields(entry.msgid) == fields(entry.msgstr), entry.msgid
