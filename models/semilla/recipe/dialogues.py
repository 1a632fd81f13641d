"""Conversations to learn from, drawn from the question files with a seeded source of chance."""

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

from recipe.faults import RecipeFault
from recipe.phrasing import bare, careless, expand

# Byte for byte what the chat client sends first.
SYSTEM = {
    "es": "Eres ALMA, un asistente local que funciona sin conexión. "
    "Responde con frases breves y claras, en el idioma de la persona.",
    "en": "You are ALMA, a local assistant that works offline. "
    "Answer briefly and clearly, in the person's language.",
}
_SHARE_WITH_SYSTEM = 0.7
_SHARE_SPANISH = 0.72


@dataclass(frozen=True)
class Turn:
    """One message; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True)
class Topic:
    """Ways to ask one thing and the answer to all of them."""

    name: str
    asks: tuple[str, ...]
    answer: str


@dataclass(frozen=True)
class Skill:
    """Turns with blanks (see texts/skills.toml): `lines` the templates, `fixed` the replies."""

    lines: dict[str, list[str]]
    fixed: dict[str, str]


@dataclass(frozen=True)
class Lessons:
    """All that one conversation may be made of, per language."""

    topics: dict[str, list[Topic]]
    skills: dict[str, Skill]
    strays: dict[str, list[str]]  # sentences that have nothing to do with ALMA


def read_lessons(folder: Path, strays: dict[str, list[str]]) -> Lessons:
    """Topics, skills and strays; refuses a question that is held out or that has two answers."""
    topics = {lang: _read_topics(folder / f"answers.{lang}.toml") for lang in SYSTEM}
    held_out = tomllib.loads((folder / "held_out.toml").read_text(encoding="utf-8"))
    for lang, listed in topics.items():
        secret = {bare(question) for entry in held_out[lang] for question in entry["ask"]}
        owners: dict[str, str] = {}
        for topic in listed:
            for question in topic.asks:
                if bare(question) in secret:
                    raise RecipeFault(f"«{question}» is trained on and held out: keep one")
                owner = owners.setdefault(bare(question), topic.name) if bare(question) else ""
                if owner not in ("", topic.name):
                    raise RecipeFault(f"«{question}» is in {owner} and in {topic.name}: keep one")
    raw = tomllib.loads((folder / "skills.toml").read_text(encoding="utf-8"))
    skills = {
        lang: Skill(
            lines={k: v for k, v in raw[lang].items() if isinstance(v, list)},
            fixed={k: v for k, v in raw[lang].items() if isinstance(v, str)},
        )
        for lang in SYSTEM
    }
    return Lessons(topics, skills, strays)


def _read_topics(path: Path) -> list[Topic]:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["topic"]
    return [
        Topic(e["id"], tuple(dict.fromkeys(q for p in e["ask"] for q in expand(p))), e["answer"])
        for e in entries
    ]


class Speaker:
    """Draws conversations; the same seed draws the same ones."""

    def __init__(
        self,
        lessons: Lessons,
        chance: random.Random,
        repeat_share: float = 0.15,
        stress: frozenset[str] = frozenset(),
    ) -> None:
        """A share of the turns asks to repeat; topics in `stress` come three times as often."""
        self._lessons = lessons
        self._chance = chance
        self._repeat_share = repeat_share
        # A topic asked in many ways is met more often, though far less than in proportion.
        self._weights = {
            lang: [(len(t.asks) ** 0.5 + 4) * (3 if t.name in stress else 1) for t in topics]
            for lang, topics in lessons.topics.items()
        }

    def conversation(self, turns: int) -> list[Turn]:
        """A conversation of about `turns` questions with their answers."""
        chance = self._chance
        lang = "es" if chance.random() < _SHARE_SPANISH else "en"
        talk: list[Turn] = []
        if chance.random() < _SHARE_WITH_SYSTEM:
            talk.append(Turn("system", SYSTEM[lang if chance.random() < 0.85 else _other(lang)]))
        told: dict[str, str] = {}
        for _ in range(turns):
            spoken = lang if chance.random() < 0.93 else _other(lang)
            self._exchange(talk, spoken, told)
        return talk

    def _exchange(self, talk: list[Turn], lang: str, told: dict[str, str]) -> None:
        draw = self._chance.random() - self._repeat_share
        answers = [turn.text for turn in talk if turn.role == "assistant"]
        if draw < 0:
            question, answer = self._repeat(lang)
        elif draw < 0.04 and answers:
            question, answer = self._typed(self._line(lang, "again"), lang), answers[-1]
        elif draw < 0.12:
            question, answer = self._name(lang, told)
        elif draw < 0.18:
            question, answer = self._fact(lang, told)
        elif draw < 0.21:
            question = self._chance.choice(self._lessons.strays[lang])
            answer = next(t.answer for t in self._lessons.topics[lang] if t.name == "unknown")
        else:
            topic = self._chance.choices(self._lessons.topics[lang], self._weights[lang])[0]
            question, answer = self._typed(self._chance.choice(topic.asks), lang), topic.answer
        talk += [Turn("user", question), Turn("assistant", answer)]

    def _typed(self, question: str, lang: str) -> str:
        return careless(question, lang, self._chance)

    def _line(self, lang: str, key: str) -> str:
        return self._chance.choice(self._lessons.skills[lang].lines[key])

    def _repeat(self, lang: str) -> tuple[str, str]:
        text = self._phrase(lang)
        if self._chance.random() < 0.3:
            text = text[:1].upper() + text[1:] + "."
        line = self._line(lang, "repeat")
        return (line.lower() if self._chance.random() < 0.3 else line).replace("{text}", text), text

    def _name(self, lang: str, told: dict[str, str]) -> tuple[str, str]:
        fixed = self._lessons.skills[lang].fixed
        if "name" in told and self._chance.random() < 0.7:
            reply = fixed["name_recall"].replace("{name}", told["name"])
        elif self._chance.random() < 0.25 and "name" not in told:
            reply = fixed["name_unknown"]
        else:
            name = self._line(lang, "names") if self._chance.random() < 0.75 else self._made_up()
            told["name"] = name
            line = self._typed(self._line(lang, "name_tell"), lang).replace("{name}", name)
            return line, fixed["name_reply"].replace("{name}", name)
        return self._typed(self._line(lang, "name_ask"), lang), reply

    def _fact(self, lang: str, told: dict[str, str]) -> tuple[str, str]:
        fixed = self._lessons.skills[lang].fixed
        things = self._lessons.skills[lang].lines["things"]
        known = [key for key in told if key in things]
        if known and self._chance.random() < 0.6:
            thing = self._chance.choice(known)
            ask, reply = self._line(lang, "fact_ask"), fixed["fact_recall"]
        else:
            thing = self._line(lang, "things")
            told[thing] = self._chance.choice(
                [self._line(lang, "words"), self._number(), self._made_up()]
            )
            ask, reply = self._line(lang, "fact_tell"), fixed["fact_reply"]
        fill = {"{thing}": thing, "{value}": told[thing]}
        for blank, text in fill.items():
            ask, reply = ask.replace(blank, text), reply.replace(blank, text)
        return ask, reply

    def _phrase(self, lang: str) -> str:
        if self._chance.random() < 0.15:
            words = self._chance.choice(self._lessons.strays[lang]).rstrip(".").split()
            start = self._chance.randrange(max(1, len(words) - 8))
            return " ".join(words[start : start + self._chance.randint(2, 8)])
        phrase = self._line(lang, "phrases")
        makers = {
            "{w}": lambda: self._line(lang, "words"),
            "{n}": lambda: self._line(lang, "names"),
            "{d}": self._number,
            "{l}": self._made_up,
        }
        for blank, make in makers.items():
            while blank in phrase:
                phrase = phrase.replace(blank, make(), 1)
        return phrase

    def _number(self) -> str:
        return str(self._chance.randrange(10 ** self._chance.randint(1, 5)))

    def _made_up(self) -> str:
        """A word nobody has seen, so that only looking back can give it."""
        syllables = self._chance.randint(2, 4)
        choice = self._chance.choice
        word = "".join(choice("bcdfglmnprstvz") + choice("aeiou") for _ in range(syllables))
        return word.capitalize() if self._chance.random() < 0.4 else word


def _other(lang: str) -> str:
    return "en" if lang == "es" else "es"
