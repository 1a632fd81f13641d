"""CPU variants: the ones people have load and answer, and one that crashes is passed over."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alma_runtime.llm.cpu import usable
from alma_runtime.llm.engine import Load
from alma_runtime.llm.hardware import machine
from alma_runtime.llm.llama_server import open_llama_server

if TYPE_CHECKING:
    from tests.integration.llm.conftest import Place

pytestmark = pytest.mark.image

ILLEGAL = b"\x0f\x0b"  # ud2
SYMBOL_TABLE = 11  # SHT_DYNSYM


def spoil(library: Path, function: str) -> None:
    """Put an illegal instruction at the beginning of a function that a library exports."""
    data = bytearray(library.read_bytes())
    (section_table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [
        struct.unpack_from("<IIQQQQII", data, section_table + i * size) for i in range(count)
    ]
    symbols = next(s for s in sections if s[1] == SYMBOL_TABLE)
    names = sections[symbols[6]][4]
    for entry in range(symbols[4], symbols[4] + symbols[5], 24):
        name, _info, _other, section, value, _size = struct.unpack_from("<IBBHQQ", data, entry)
        start = names + name
        if data[start : data.index(0, start)] == function.encode():
            offset = value - sections[section][3] + sections[section][4]
            data[offset : offset + 2] = ILLEGAL
            library.write_bytes(data)
            return
    raise LookupError(function)


@pytest.mark.parametrize("name", ["x64", "sandybridge", "haswell"])
def test_baseline_avx_and_avx2_each_load_and_answer(
    name: str, engine_dir: Path, models: Path, place: Place
) -> None:
    library = engine_dir / "cpu" / f"libggml-cpu-{name}.so"
    load = Load("seed", models / "seed.gguf", 256, 2, library)

    async def answer() -> tuple[str, str]:
        async with open_llama_server(load, engine_dir, place.home) as engine:
            await engine.ready()
            maps = Path(f"/proc/{engine.pid}/maps").read_text()
            request = {"prompt": "ab " * 60, "max_tokens": 4, "logit_bias": {"258": -100}}
            reply = (await engine.http.post("/v1/completions", json=request)).json()
            return maps, str(reply["choices"][0]["finish_reason"])

    maps, reason = asyncio.run(answer())
    assert reason == "length"
    assert [f for f in engine_dir.glob("cpu/*.so") if str(f.resolve()) in maps] == [library]


@pytest.mark.parametrize("function", ["ggml_backend_init", "ggml_backend_score"])
def test_a_variant_that_crashes_is_passed_over_and_remembered(
    function: str, place: Place, own_engine: Path
) -> None:
    best, second = usable(own_engine, machine().flags)[:2]
    spoil(own_engine / "cpu" / f"libggml-cpu-{best.name}.so", function)
    place.engine_dir = own_engine
    place.start()
    place.wait_for("ready")
    known = place.remembered()
    assert "SIGILL" in known["failed"][best.name]
    assert known["good"] == second.name


def test_what_was_learnt_of_a_machine_is_not_learnt_again(place: Place, own_engine: Path) -> None:
    best, second = usable(own_engine, machine().flags)[:2]
    place.engine_dir = own_engine
    place.start()
    place.wait_for("ready")
    place.stop()
    assert any("este procesador" in line for line in place.said)
    place.start()
    place.wait_for("ready")
    place.stop()
    assert not any("este procesador" in line for line in place.said)
    assert place.remembered()["good"] == best.name
    (own_engine / "cpu" / f"libggml-cpu-{best.name}.so").unlink()  # another build of the engine
    place.start()
    place.wait_for("ready")
    assert place.remembered()["good"] == second.name


def test_when_every_variant_crashes_the_gateway_says_so(place: Place, own_engine: Path) -> None:
    for library in (own_engine / "cpu").glob("*.so"):
        spoil(library, "ggml_backend_init")
    place.engine_dir = own_engine
    place.start()
    assert "SIGILL" in place.wait_for("failed")["reason"]
