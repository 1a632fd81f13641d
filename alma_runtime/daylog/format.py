"""The format of `logs/YYYY-MM-DD.md`, version 1: written for people, parsed without guessing.

    ---
    alma-log: 1
    date: 2026-11-20
    ---

    # 2026-11-20

    ## 21:03:15 {#t-210315-3f9a2c1e}

    **Tú**

    > ¿Qué es ALMA?

    **ALMA**

    > Un asistente que funciona
    > sin conexión.

    <!-- t-210315-3f9a2c1e {"time": "2026-11-20T21:03:15+01:00", "model": "semilla", …} -->

UTF-8; lines end with LF and nothing else ends a line. A turn begins with its heading (local time,
and an anchor that never changes) and ends with the comment that repeats the anchor and carries
the metadata as one JSON object, in which `--` is written `-\\u002d`. Between them stand two
quotations: the person's text, then the answer. Each line of a text becomes one line that begins
with `> `, so no text, whatever it holds (fences, headings, HTML, a copy of this log), can look
like the structure or spoil how the rest is shown, and removing the prefix gives it back byte for
byte. The only change: a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.

A turn without its comment is torn (the power went while it was written): it is kept, and ends where
the next heading begins. Lines outside of turns belong to whoever wrote them and are left alone;
so are the labels in bold, whose words follow the person's language.

Metadata: `time` (ISO 8601 with offset), `model`, `sha256` (first 12 digits), `prompt_tokens`,
`answer_tokens`, `seconds` (until the end of the answer), `session`, `interrupted`.
What is not known is left out; unknown names are ignored.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FORMAT = 1
ANCHOR = r"t-\d{6}-[0-9a-f]{8}"
HEADING = re.compile(rf"## (\d\d:\d\d:\d\d) \{{#({ANCHOR})\}}\s*")
END = re.compile(rf"<!-- ({ANCHOR}) (\{{.*\}}) -->\s*")
TITLE = re.compile(r"# (\d{4}-\d\d-\d\d)\s*")
SHA_DIGITS = 12


@dataclass(frozen=True)
class Turn:
    """One question and its answer; `seconds` until the answer's end, `when` in local time."""

    when: datetime.datetime
    anchor: str
    user: str
    answer: str
    model: str = ""
    sha256: str = ""
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    seconds: float | None = None
    session: str = ""
    interrupted: bool = False
    torn: bool = False


def front_matter(day: datetime.date) -> str:
    """What a new file begins with."""
    return f"---\nalma-log: {FORMAT}\ndate: {day.isoformat()}\n---\n\n# {day.isoformat()}\n\n"


def render(turn: Turn, you: str = "Tú") -> str:
    """The lines of a turn. `you` is the label above the person's text."""
    heading = f"## {turn.when:%H:%M:%S} {{#{turn.anchor}}}"
    body = f"**{you}**\n\n{_quoted(turn.user)}\n\n**ALMA**\n\n{_quoted(turn.answer)}"
    return f"{heading}\n\n{body}\n\n<!-- {turn.anchor} {_metadata(turn)} -->\n\n"


def parse(text: str) -> list[Turn]:
    """Every turn of a log in its order, torn ones included (`torn` says so)."""
    date = datetime.date.min
    turns: list[Turn] = []
    lines = iter(text.split("\n"))
    line = next(lines, None)
    while line is not None:
        if title := TITLE.fullmatch(line):
            date = _date(title[1]) or date
        heading = HEADING.fullmatch(line)
        if heading is None:
            line = next(lines, None)
            continue
        time = _time(heading[1])
        turn, line = _turn(datetime.datetime.combine(date, time), heading[2], lines)
        turns.append(turn)
    return turns


def _turn(when: datetime.datetime, anchor: str, lines: Iterator[str]) -> tuple[Turn, str | None]:
    """The turn whose heading was just read, and the line at which to go on."""
    quotations: list[list[str]] = []
    before = ""
    line: str | None = None
    for line in lines:
        end = END.fullmatch(line)
        if end is not None and end[1] == anchor:
            known = _known(end[2])
            texts = ["\n".join(q) for q in quotations]
            user, answer = [*texts, "", ""][:2]
            if known is not None:
                return _with_metadata(Turn(when, anchor, user, answer), known), next(lines, None)
        if HEADING.fullmatch(line):
            break
        if line.startswith(">"):
            if not before.startswith(">"):
                quotations.append([])
            quotations[-1].append(line[2:] if line.startswith("> ") else line[1:])
        before = line
    else:
        line = None
    user, answer = [*("\n".join(q) for q in quotations), "", ""][:2]
    return Turn(when, anchor, user, answer, torn=True), line


def _quoted(text: str) -> str:
    sound = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return "\n".join(f"> {line}" for line in sound.split("\n"))


def _metadata(turn: Turn) -> str:
    known: dict[str, Any] = {
        "time": turn.when.isoformat(),
        "model": turn.model,
        "sha256": turn.sha256[:SHA_DIGITS],
        "prompt_tokens": turn.prompt_tokens,
        "answer_tokens": turn.answer_tokens,
        "seconds": None if turn.seconds is None else round(turn.seconds, 2),
        "session": turn.session,
        "interrupted": turn.interrupted,
    }
    said = {k: v for k, v in known.items() if v is not None and v != "" and v is not False}
    return json.dumps(said).replace("--", r"-\u002d")


def _known(text: str) -> dict[str, Any] | None:
    try:
        known = json.loads(text)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None


def _with_metadata(turn: Turn, known: dict[str, Any]) -> Turn:
    def of(name: str, *kinds: type) -> Any:
        value = known.get(name)
        return value if isinstance(value, kinds) else None

    return Turn(
        when=_moment(known.get("time")) or turn.when,
        anchor=turn.anchor,
        user=turn.user,
        answer=turn.answer,
        model=of("model", str) or "",
        sha256=of("sha256", str) or "",
        prompt_tokens=of("prompt_tokens", int),
        answer_tokens=of("answer_tokens", int),
        seconds=of("seconds", int, float),
        session=of("session", str) or "",
        interrupted=bool(known.get("interrupted")),
    )


def _moment(text: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _time(text: str) -> datetime.time:
    try:
        return datetime.time.fromisoformat(text)
    except ValueError:
        return datetime.time.min
