"""Texts for people: English in the code, Spanish in `locale/es/<room>.po` (gettext catalogues).

from alma_runtime.i18n import _
raise AlmaError(_("{path} is not there").format(path=path))
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polib

from alma_runtime.config import settings

CATALOGUES = Path(__file__).parent / "locale"


@cache
def catalogue(language: str) -> dict[str, str]:
    """Every translated text of a language, all rooms together; empty for English."""
    texts: dict[str, str] = {}
    for path in sorted((CATALOGUES / language).glob("*.po")):
        for entry in polib.pofile(str(path), encoding="utf-8"):
            if entry.msgstr and not entry.fuzzy:
                texts[entry.msgid] = entry.msgstr
    return texts


@cache
def _language() -> str:
    return settings().language


def _(text: str) -> str:
    """The text in the person's language; the English original where no translation exists."""
    return catalogue(_language()).get(text, text)
