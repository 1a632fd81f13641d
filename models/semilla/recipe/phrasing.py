"""Ways to say one thing: bracket patterns, and the carelessness of people who type."""

import itertools
import random
import re
import unicodedata

_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_OPENERS = {
    "es": (
        "oye, ",
        "por favor, ",
        "una pregunta: ",
        "perdona, ",
        "ALMA, ",
        "hola, ",
        "dime: ",
        "y ",
        "a ver, ",
        "quiero saber ",
        "necesito saber ",
        "entonces, ",
        "pero ",
        "vale, ",
        "disculpa, ",
    ),
    "en": (
        "please, ",
        "ALMA, ",
        "hello, ",
        "one question: ",
        "so, ",
        "and ",
        "sorry, ",
        "ok, ",
        "tell me: ",
    ),
}
_CLOSERS = {
    "es": (
        ", por favor",
        ", ALMA",
        ", gracias",
        " por favor",
        " entonces",
        " exactamente",
        " ahora",
    ),
    "en": (", please", ", ALMA", ", thanks", " please", " then", " exactly", " now"),
}


def expand(pattern: str) -> list[str]:
    """Every reading of a pattern: `{a|b|}` stands for "a", "b" or nothing; braces do not nest."""
    parts = _CHOICE.split(pattern)
    choices = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(reading) for reading in itertools.product(*choices)]


def bare(text: str) -> str:
    """Without capitals, accents and punctuation: questions with the same bare text are one."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    letters = (c for c in decomposed if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() or c == "!" else " " for c in letters).split())


def without_accents(text: str) -> str:
    """Plain letters, as typed on a keyboard that has no accents."""
    decomposed = unicodedata.normalize("NFD", text)
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", letters)


def careless(text: str, language: str, chance: random.Random) -> str:
    """The same question as a person in a hurry would type it; often left as it is."""
    if chance.random() < 0.18:
        text = _with_opener(text, chance.choice(_OPENERS[language]))
    if chance.random() < 0.08 and text[-1] in "?.!" and len(text) > 8:
        text = text[:-1] + chance.choice(_CLOSERS[language]) + text[-1]
    if chance.random() < 0.35:
        text = text.replace("¿", "").replace("¡", "")
    if chance.random() < 0.25:
        text = text.rstrip("?.! ") or text
    if chance.random() < 0.40:
        text = text.lower()
    if chance.random() < 0.25:
        text = without_accents(text)
    if chance.random() < 0.12:
        text = _slip(text, chance)
    return text


def _with_opener(text: str, opener: str) -> str:
    mark = text[0] if text[0] in "¿¡" else ""
    rest = text[len(mark) :]
    lowered = rest if rest[:4].isupper() else rest[:1].lower() + rest[1:]
    if mark and opener.endswith(", "):
        return opener[:1].upper() + opener[1:] + mark + lowered
    return mark + opener[:1].upper() + opener[1:] + lowered


def _slip(text: str, chance: random.Random) -> str:
    """One slip of the finger inside a word: a letter lost, doubled, or swapped with the next."""
    places = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places or any(mark in text for mark in "!`{"):
        return text
    at = chance.choice(places)
    slips = (
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    )
    return chance.choice(slips)
