"""What these rooms say exists in Spanish, fills in the same names, and nothing dead is kept."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest

import alma_image
from alma_runtime.i18n import CATALOGUES, catalogue
from tests.unit.test_catalogues import fields, texts_of

BUILDER = Path(alma_image.__file__).parent
SOURCES = {
    "media": [*(BUILDER / "media").glob("*.py"), BUILDER / "release" / "signing.py"],
    "emulate": [*(BUILDER / "emulate").glob("*.py")],
}


@pytest.mark.parametrize("room", SOURCES)
def test_every_text_is_in_spanish(room: str) -> None:
    assert texts_of(*SOURCES[room]) - set(catalogue("es")) == set()


@pytest.mark.parametrize("room", SOURCES)
def test_the_catalogue_holds_nothing_dead_and_fills_in_the_same_names(room: str) -> None:
    said = texts_of(*SOURCES[room])
    for entry in polib.pofile(str(CATALOGUES / "es" / f"{room}.po"), encoding="utf-8"):
        assert entry.msgid in said
        assert fields(entry.msgid) == fields(entry.msgstr), entry.msgid
