"""The stick boots, asks once, and lets a person talk; what is said is on the disk."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from alma_image.media.gpt import read_table
from alma_image.media.luks import read_header
from alma_image.media.partitions import MIB
from alma_image.media.target import open_target
from alma_image.media.verify import verify_stick
from alma_image.source import ROLES
from tests.boot.conftest import (
    ANSWER,
    PROMPT,
    QUESTION_FOR_PASSPHRASE,
    Bench,
    Firmware,
    Media,
    unlock,
)
from tests.conftest import Built

ROOM = 64 * MIB
pytestmark = [pytest.mark.image, pytest.mark.boot]


def test_secure_boot_one_passphrase_an_answer_and_the_turn_is_in_the_log(
    built: Built, bench: Bench, copies: Media
) -> None:
    """On media larger than what was made for them: both grow to their full size meanwhile."""
    for path in (copies.stick, copies.disk):
        os.truncate(path, path.stat().st_size + ROOM)
    keep, data = _size(copies.stick, "ALMA-KEEP"), _size(copies.disk, "ALMA-DATA")
    with bench.pc(stick=copies.stick, disk=copies.disk) as machine:
        unlock(machine)
        machine.expect("Hablas con el disco")
        machine.expect(PROMPT)
        machine.send_line("¿Cómo se apaga la máquina? marca-7351")
        machine.expect(ANSWER)
        machine.expect(PROMPT)
        machine.send_line("!apagar")
        machine.wait_off()
        assert machine.said.count("press TAB for no echo") == 1
    plain = bench.inside(copies.disk)
    bench.runner(["e2fsck", "-f", "-n", plain])
    assert "marca-7351" in bench.day_logs(plain)
    assert _size(copies.stick, "ALMA-KEEP") >= keep + ROOM
    assert _size(copies.disk, "ALMA-DATA") >= data + ROOM
    blocks = bench.runner(["dumpe2fs", "-h", plain]).text
    count = re.search(r"^Block count:\s+(\d+)$", blocks, re.MULTILINE)
    assert count
    assert int(count.group(1)) * 4096 > data
    # Nothing public changed but the size of the last partition.
    with open_target(copies.stick) as target:
        report = verify_stick(bench.runner, target, built.release.public_key, bench.folder)
    assert report.differences == ()


def test_after_a_power_cut_the_log_and_the_file_system_are_sound(
    bench: Bench, copies: Media
) -> None:
    with bench.pc(stick=copies.stick, disk=copies.disk, firmware=Firmware.BIOS) as machine:
        unlock(machine)
        machine.expect(PROMPT)
        machine.send_line("Primera pregunta marca-1111")
        machine.expect(ANSWER)
        machine.expect(PROMPT)
        machine.send_line("Segunda pregunta marca-2222")
        machine.expect(ANSWER)
        machine.kill()
    with bench.pc(stick=copies.stick, disk=copies.disk, firmware=Firmware.UEFI) as machine:
        unlock(machine)
        machine.expect("Hablas con el disco")
        machine.expect(PROMPT)
        machine.send_line("Tercera pregunta marca-3333")
        machine.expect(ANSWER)
        machine.expect(PROMPT)
        machine.send_line("!apagar")
        machine.wait_off()
    plain = bench.inside(copies.disk)
    bench.runner(["e2fsck", "-f", "-n", plain])
    log = bench.day_logs(plain)
    assert "marca-1111" in log
    assert "marca-3333" in log


def test_without_the_disk_it_boots_and_says_so(bench: Bench, copies: Media) -> None:
    with bench.pc(stick=copies.stick) as machine:
        unlock(machine)
        machine.expect("SIN DISCO")
        machine.expect(PROMPT)
        machine.send_line("hola")
        machine.expect(ANSWER)
        machine.expect(PROMPT)


def test_three_wrong_passphrases_end_in_words_and_darkness(bench: Bench, copies: Media) -> None:
    with bench.pc(stick=copies.stick) as machine:
        for number in range(3):
            machine.expect(QUESTION_FOR_PASSPHRASE)
            machine.send_line(f"equivocada {number}")
        machine.expect(_first_words("locked.txt"))
        machine.wait_off()


def test_an_altered_system_is_not_run_and_the_screen_says_why(bench: Bench, copies: Media) -> None:
    with copies.stick.open("r+b") as stream:
        place = read_table(stream.read(MIB)).partition("ALMA-SYS-A")
        with open_target(copies.stick) as target:
            payload = place.start + read_header(target, place.start, "").payload_offset
        # One bit in the first block of the system, as it lies encrypted on the stick.
        stream.seek(payload + 100)
        byte = stream.read(1)[0]
        stream.seek(payload + 100)
        stream.write(bytes([byte ^ 1]))
    with bench.pc(stick=copies.stick) as machine:
        unlock(machine)
        machine.expect(_first_words("tampered.txt"))
        machine.wait_off()


def _size(image: Path, label: str) -> int:
    """Bytes of a partition, as the table says."""
    with image.open("rb") as stream:
        return read_table(stream.read(MIB)).partition(label).size


def _first_words(name: str) -> str:
    """The first words of a text that the appliance shows, as a pattern over line breaks."""
    path: Path = ROLES / "boot/files/usr/share/alma/words" / name
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    words = max(lines, key=len).split()[:4]
    return r"\s+".join(words)
