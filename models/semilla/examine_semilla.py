#!/usr/bin/env python3
"""Put known questions to semilla and count the right answers.

    python examine_semilla.py                                  # numpy reads semilla.gguf
    python examine_semilla.py --server http://127.0.0.1:8080   # asks a running llama-server

numpy takes the likeliest token; the server is asked at temperature 0.3.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from recipe.dialogues import read_lessons
from recipe.exam import Answerer, Case, cases, from_file, from_server
from recipe.faults import RecipeFault
from recipe.server import agree

HERE = Path(__file__).resolve().parent
_SEED = 7


def examine(answer: Answerer, asked: list[Case], failures: bool) -> None:
    """Print right answers per part; with `failures`, each wrong one too."""
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in asked:
        said = answer(case.talk).strip()
        total[case.part] += 1
        right[case.part] += said == case.answer
        if failures and said != case.answer:
            print(f"- {case.talk[-1].text}\n    said   {said}\n    wanted {case.answer}")
    for part, count in total.items():
        print(f"{part}: {right[part]} of {count}")


def main() -> int:
    """Exit status 0 examined, 1 bad input."""
    parser = argparse.ArgumentParser(description="Examine semilla.")
    parser.add_argument("--file", type=Path, default=HERE / "semilla.gguf")
    parser.add_argument("--server", help="URL of an OpenAI-compatible server instead of the file")
    parser.add_argument(
        "--temperature", type=float, default=0.3, help="for the server (default 0.3)"
    )
    parser.add_argument("--failures", action="store_true", help="show the wrong answers")
    arguments = parser.parse_args()
    try:
        # Without the prose there are no strays: one plain sentence each stands for them.
        strays = {
            "es": ["El tren de la tarde llega con retraso."],
            "en": ["The evening train is late."],
        }
        lessons = read_lessons(HERE / "texts", strays)
        asked = list(cases(lessons, HERE / "texts", _SEED))
        if arguments.server:
            talks = [case.talk for case in asked if len(case.talk) > 2]
            print(agree(arguments.server, arguments.file, max(talks, key=len)))
            answer = from_server(arguments.server, arguments.temperature)
        else:
            answer = from_file(arguments.file)
        examine(answer, asked, arguments.failures)
    except RecipeFault as fault:
        print(f"examine_semilla: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
