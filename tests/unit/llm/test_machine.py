"""Reading the machine, and which CPU variants it can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma_runtime.llm import hardware
from alma_runtime.llm.cpu import library, usable, variants

SCORES = {  # ggml-cpu/arch/x86/cpu-feats.cpp: what each feature adds to the base score of 1
    "fma": 1,
    "f16c": 2,
    "sse4_2": 4,
    "bmi2": 8,
    "avx": 16,
    "avx2": 32,
    "avx_vnni": 64,
    "avx512f": 128,
    "avx512vbmi": 256,
    "avx512_bf16": 512,
    "avx512_vnni": 1024,
}
AVX2_FLAGS = {"sse4_2", "avx", "f16c", "fma", "avx2", "bmi2"}


@pytest.fixture
def fake_machine(tmp_path: Path) -> Path:
    """A hybrid processor: two fast cores with two threads each, two slow ones."""
    write(tmp_path / "proc/cpuinfo", "model name\t: Test CPU\nflags\t\t: sse4_2 avx\n\n" * 2)
    write(tmp_path / "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n")
    write(tmp_path / "sys/class/dmi/id/product_name", "Box 3000\n")
    write(tmp_path / "sys/class/dmi/id/product_serial", "SERIAL-1\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_processor_and_memory_are_read(fake_machine: Path) -> None:
    machine = hardware.machine(fake_machine / "proc", fake_machine / "sys")
    assert machine.processor == "Test CPU"
    assert machine.flags == {"sse4_2", "avx"}
    assert machine.memory_available == 3000000 * 1024


def test_the_fingerprint_knows_the_product_and_no_serial_number(fake_machine: Path) -> None:
    def fingerprint() -> str:
        return hardware.machine(fake_machine / "proc", fake_machine / "sys").fingerprint

    first = fingerprint()
    write(fake_machine / "sys/class/dmi/id/product_serial", "SERIAL-2\n")
    write(fake_machine / "proc/meminfo", "MemTotal: 4000100 kB\nMemAvailable: 1 kB\n")
    assert fingerprint() == first
    write(fake_machine / "sys/class/dmi/id/product_name", "Box 4000\n")
    assert fingerprint() != first


def test_a_machine_that_says_nothing_is_no_error(tmp_path: Path) -> None:
    machine = hardware.machine(tmp_path, tmp_path)
    assert (machine.processor, machine.memory_available) == ("", 0)
    assert machine.cores >= 1


def test_hyper_threads_and_slow_cores_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(6)))
    for number, siblings in enumerate(["0-1", "0-1", "2-3", "2-3", "4", "5"]):
        folder = tmp_path / f"devices/system/cpu/cpu{number}/topology"
        write(folder / "thread_siblings_list", siblings + "\n")
    assert hardware.physical_cores(tmp_path) == 4
    write(tmp_path / "devices/cpu_core/cpus", "0-3\n")
    assert hardware.physical_cores(tmp_path) == 2


def test_the_table_agrees_with_the_engines_own_scores() -> None:
    for variant in variants():
        assert variant.score == 1 + sum(SCORES.get(flag, 0) for flag in variant.flags)


def test_the_table_is_in_the_order_of_the_scores_and_leaves_out_the_one_that_crashes() -> None:
    scores = [v.score for v in variants()]
    assert scores == sorted(scores, reverse=True)
    assert "sapphirerapids" not in [v.name for v in variants()]


def test_every_processor_can_run_something_and_only_what_it_supports(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    for variant in variants():
        library(tmp_path, variant).touch()
    assert [v.name for v in usable(tmp_path, set())] == ["x64"]
    assert next(v.name for v in usable(tmp_path, AVX2_FLAGS)) == "haswell"
    library(tmp_path, usable(tmp_path, AVX2_FLAGS)[0]).unlink()
    assert next(v.name for v in usable(tmp_path, AVX2_FLAGS)) == "piledriver"
