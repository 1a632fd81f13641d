"""What was written into a day's log is what is read, whatever it holds and whatever happened."""

from __future__ import annotations

import datetime
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_runtime.daylog import Turn, append_turn, new_anchor, parse, read_day, render
from alma_runtime.daylog.format import front_matter
from alma_runtime.errors import AlmaError

DAY = datetime.date(2026, 11, 20)
WHEN = datetime.datetime(2026, 11, 20, 21, 3, 15, tzinfo=datetime.UTC)

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from("\n\r>#`-*<! \t\u2028\x0c\x85aé𝛼")
)
turns = st.builds(
    Turn,
    when=st.datetimes(timezones=st.just(datetime.UTC)).map(
        lambda w: w.replace(year=2026, microsecond=0, month=11, day=20)
    ),
    anchor=st.from_regex(r"t-[0-9]{6}-[0-9a-f]{8}", fullmatch=True),
    user=texts,
    answer=texts,
    model=texts,
    sha256=st.text("0123456789abcdef", max_size=12),
    prompt_tokens=st.none() | st.integers(0),
    answer_tokens=st.none() | st.integers(0),
    seconds=st.none() | st.integers(0, 10**6).map(lambda n: n / 100),
    session=texts,
    interrupted=st.booleans(),
)


def turn(user: str = "¿qué?", answer: str = "eso") -> Turn:
    return Turn(WHEN, new_anchor(WHEN), user, answer)


class TestRoundTrip:
    @given(st.lists(turns, max_size=4))
    def test_every_turn_comes_back_equal(self, written: list[Turn]) -> None:
        assert parse(front_matter(DAY) + "".join(map(render, written))) == written

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "```\nsin cerrar",
            "# uno\n## 21:03:15 {#t-210315-3f9a2c1e}\n---",
            "<!-- sin cerrar",
            "<!-- t-210315-3f9a2c1e {} -->",
            "línea\r\ncon retorno\r",
            "‮de derecha a izquierda‬ 👩‍👩‍👧",
            "x" * (1 << 20),
            " > cita\n>",
            render(Turn(WHEN, "t-210315-00000000", "dentro", "de otro")),
        ],
    )
    def test_awkward_texts(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "log.md"
        append_turn(path, turn(text, text))
        append_turn(path, turn("después", "sí"))
        first, second = read_day(path)
        assert (first.user, first.answer, first.torn) == (text, text, False)
        assert second.user == "después"

    def test_metadata_cannot_end_its_comment(self) -> None:
        odd = Turn(WHEN, "t-210315-00000000", "a", "b", model="x --> ## <!-- --- y", session="--")
        assert parse(render(odd)) == [odd]

    def test_a_lone_surrogate_is_replaced_and_nothing_else(self) -> None:
        (read,) = parse(render(turn("a\ud800b", "ok")))
        assert (read.user.replace("\ufffd", ""), read.answer) == ("ab", "ok")
        assert "\ufffd" in read.user


class TestTear:
    @given(st.lists(turns, min_size=1, max_size=3), st.data())
    def test_cut_anywhere_loses_at_most_the_last_turn(
        self, written: list[Turn], data: st.DataObject
    ) -> None:
        """Then the next turn is appended cleanly, and what the cut left is still there."""
        head = (front_matter(DAY) + "".join(map(render, written[:-1]))).encode()
        last = render(written[-1]).encode()
        kept = head + last[: data.draw(st.integers(0, len(last) - 3))]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.md"
            path.write_bytes(kept)
            before = read_day(path)
            append_turn(path, turn("nueva"))
            after = read_day(path)
            assert path.read_bytes().startswith(kept)
        complete = [t for t in before if not t.torn]
        assert complete == written[:-1]
        assert after[:-1] == before
        assert (after[-1].user, after[-1].torn) == ("nueva", False)

    def test_what_was_written_of_the_torn_turn_is_given_back(self) -> None:
        whole = render(Turn(WHEN, "t-210315-00000000", "pregunta", "respuesta a medias"))
        (torn,) = parse(whole[: whole.index(" medias")])
        assert (torn.torn, torn.user, torn.answer) == (True, "pregunta", "respuesta a")


class TestFile:
    def test_a_new_file_begins_with_its_date(self, tmp_path: Path) -> None:
        path = tmp_path / "logs/2026-11-20.md"
        append_turn(path, turn())
        assert path.read_text().startswith(
            "---\nalma-log: 1\ndate: 2026-11-20\n---\n\n# 2026-11-20"
        )

    def test_a_persons_own_lines_stay_and_do_no_harm(self, tmp_path: Path) -> None:
        path = tmp_path / "log.md"
        append_turn(path, turn("una"))
        with path.open("a") as stream:
            stream.write("Nota mía sin salto")
        append_turn(path, turn("dos"))
        assert [t.user for t in read_day(path)] == ["una", "dos"]
        assert "Nota mía sin salto\n" in path.read_text()

    def test_two_writers_do_not_interleave(self, tmp_path: Path) -> None:
        path = tmp_path / "log.md"
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=_write_many, args=(path, n)) for n in "ab"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        read = read_day(path)
        for name in "ab":
            mine = [t.user for t in read if t.user[0] == name]
            assert mine == [f"{name}{i}\n" + name * 9000 for i in range(30)]
        assert not any(t.torn for t in read)
        assert path.read_text().count("alma-log:") == 1

    def test_no_room_leaves_the_file_as_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "log.md"
        append_turn(path, turn("cabe"))
        before = path.read_bytes()
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(path), str(len(before) + 5000)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "AlmaError" in done.stderr.splitlines()[-1]
        assert str(path) in done.stderr.splitlines()[-1]
        assert path.read_bytes() == before

    def test_no_file_is_an_empty_day(self, tmp_path: Path) -> None:
        assert read_day(tmp_path / "none.md") == []

    def test_a_folder_in_its_place_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(AlmaError, match=str(tmp_path)):
            append_turn(tmp_path, turn())
        with pytest.raises(AlmaError, match=str(tmp_path)):
            read_day(tmp_path)


FULL = """
import datetime, pathlib, resource, signal, sys
from alma_runtime.daylog import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
when = datetime.datetime.now()
append_turn(pathlib.Path(sys.argv[1]), Turn(when, new_anchor(when), "x" * 9000, "y"))
"""


def _write_many(path: Path, name: str) -> None:
    for number in range(30):
        append_turn(path, turn(f"{name}{number}\n" + name * 9000))
