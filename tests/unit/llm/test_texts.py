"""Every text of these rooms has its Spanish, with the same places to fill in."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import polib
import pytest

import alma_runtime

PACKAGE = Path(alma_runtime.__file__).parent


def texts_in_code(room: str) -> set[str]:
    found = set()
    for path in (PACKAGE / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                found.add(str(ast.literal_eval(node.args[0])))
    return found


@pytest.mark.parametrize("room", ["llm", "service"])
def test_the_catalogue_has_exactly_the_texts_of_the_code(room: str) -> None:
    catalogue = polib.pofile(str(PACKAGE / "locale" / "es" / f"{room}.po"), encoding="utf-8")
    assert {entry.msgid for entry in catalogue if entry.msgstr} == texts_in_code(room)
    for entry in catalogue:
        places = re.findall(r"\{\w+\}", entry.msgid)
        assert sorted(places) == sorted(re.findall(r"\{\w+\}", entry.msgstr))
