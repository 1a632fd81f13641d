"""What a model file says, what is believed of it, and which model is chosen."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_runtime.errors import AlmaError
from alma_runtime.files import sha256_of
from alma_runtime.llm.choice import RESERVE, make_plan, reason_for
from alma_runtime.llm.gguf_header import Header, read_header
from alma_runtime.llm.hardware import Machine
from alma_runtime.llm.memory import kv_bytes_per_token, memory_needed
from alma_runtime.llm.models import InstalledModel, Verifier, installed
from alma_runtime.llm.wishes import Wishes, read_wishes
from alma_runtime.models_lock import LockedModel, read_models_lock

KIB, MIB = 1 << 10, 1 << 20
REPOSITORY = Path(__file__).parents[3]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def number(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def header_bytes(**shape: int) -> bytes:
    """A GGUF head written by hand, with a list of tokens like a real one."""
    entries = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    entries += [number(f"llama.{key.replace('__', '.')}", value) for key, value in shape.items()]
    tokens = [text(t) for t in ("a", "ñ", "c")]
    listed = struct.pack("<IIQ", 9, 8, len(tokens)) + b"".join(tokens)
    entries.append(text("tokenizer.ggml.tokens") + listed)
    entries.append(text("tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3))
    entries.append(text("general.name") + struct.pack("<I", 8) + text("niña"))
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries)


SMALL = header_bytes(
    block_count=2,
    embedding_length=64,
    context_length=4096,
    attention__head_count=2,
    attention__head_count_kv=1,
)


def test_a_header_is_read_past_its_lists(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(SMALL + b"tensors follow")
    header = read_header(path)
    assert header.context == 4096
    assert header.lengths["tokenizer.ggml.tokens"] == 3
    assert header.values["general.name"] == "niña"


@given(st.integers(0, len(SMALL) - 1))
def test_a_header_cut_anywhere_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.gguf"
    path.write_bytes(SMALL[:length])
    with pytest.raises(AlmaError, match=r"m\.gguf"):
        read_header(path)


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_header_never_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(SMALL)
    for position, value in damage:
        content[position] = value
    path = tmp_path_factory.mktemp("damaged") / "m.gguf"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except AlmaError:
        return
    assert memory_needed(len(content), header, 2048) >= 0


@pytest.mark.parametrize(
    ("layers", "heads", "kv_heads", "width", "expected"),
    [(22, 32, 4, 2048, 22), (32, 32, 8, 4096, 128), (24, 32, 32, 2048, 192), (24, 14, 2, 896, 12)],
    ids=["TinyLlama", "Mistral-7B", "SmolLM2-1.7B", "Qwen2.5-0.5B"],
)
def test_the_kv_estimate_is_that_of_known_models(
    layers: int, heads: int, kv_heads: int, width: int, expected: int
) -> None:
    values: dict[str, int | float | bool | str] = {
        "general.architecture": "x",
        "x.block_count": layers,
        "x.embedding_length": width,
        "x.attention.head_count": heads,
        "x.attention.head_count_kv": kv_heads,
    }
    assert kv_bytes_per_token(Header(values, {})) == expected * KIB


def place(folder: Path, name: str, size: int, *, demonstration: bool = False) -> LockedModel:
    """A model file of a size (sparse behind its header) and its entry in a lock."""
    path = folder / f"{name}.gguf"
    with path.open("wb") as stream:
        stream.write(SMALL)
        stream.truncate(size)
    digest = sha256_of(path) if size < MIB else "0" * 64
    return LockedModel(
        id=name,
        role="chat",
        repository=".",
        revision="",
        file=path.name,
        size=size,
        sha256=digest,
        licence="x",
        languages=("es",),
        context=4096,
        memory_mib=1,
        demonstration=demonstration,
    )


def a_machine(available: int) -> Machine:
    return Machine("CPU", frozenset(), 2, 2 * available, available, "f" * 64)


@pytest.fixture
def models(tmp_path: Path) -> list[InstalledModel]:
    lock = [
        place(tmp_path, "seed", 2 * MIB, demonstration=True),
        place(tmp_path, "small", 500 * MIB),
        place(tmp_path, "large", 3000 * MIB),
    ]
    return installed([tmp_path], lock)


def test_models_are_found_by_size_largest_first_demonstration_last(
    models: list[InstalledModel], tmp_path: Path
) -> None:
    assert [m.lock.id for m in models] == ["large", "small", "seed"]
    (tmp_path / "small.gguf").rename(tmp_path / "renamed.gguf")
    (tmp_path / "stranger.gguf").write_bytes(b"GGUF")
    (tmp_path / "large.gguf").write_bytes(b"cut")
    assert [m.lock.id for m in installed([tmp_path], [m.lock for m in models])] == ["small", "seed"]


def test_a_folder_that_is_not_there_holds_no_models(tmp_path: Path) -> None:
    assert installed([tmp_path / "none"], []) == []


def test_the_largest_model_that_fits_is_taken_and_the_rest_is_said(
    models: list[InstalledModel],
) -> None:
    plan = make_plan(models, a_machine(2000 * MIB), Wishes())
    assert [c.model.lock.id for c in plan.candidates] == ["small", "seed"]
    assert len(plan.notes) == 1
    line = reason_for(plan.candidates[0], plan, Wishes(), plan.notes)
    assert "small" in line
    assert "large" in line
    assert "\n" not in line


def test_the_demonstration_is_loaded_whatever_the_memory(models: list[InstalledModel]) -> None:
    plan = make_plan(models, a_machine(1), Wishes())
    assert [c.model.lock.id for c in plan.candidates] == ["seed"]
    assert len(plan.notes) == 2


def test_less_memory_shortens_the_context_before_it_costs_the_model(
    models: list[InstalledModel],
) -> None:
    needed = memory_needed(500 * MIB, read_header(models[1].path), 2048)
    plan = make_plan(models, a_machine(needed + RESERVE), Wishes())
    assert (plan.candidates[0].model.lock.id, plan.candidates[0].context) == ("small", 2048)


def test_a_wished_model_comes_first_and_smaller_ones_after_it(
    models: list[InstalledModel],
) -> None:
    wishes = Wishes(model="small", context=1024, threads=1)
    plan = make_plan(models, a_machine(9000 * MIB), wishes)
    assert [c.model.lock.id for c in plan.candidates] == ["small", "seed"]
    assert (plan.candidates[0].context, plan.candidates[0].threads) == (1024, 1)


def test_a_wished_model_that_is_not_there_is_said_and_the_choice_is_ours(
    models: list[InstalledModel],
) -> None:
    plan = make_plan(models, a_machine(9000 * MIB), Wishes(model="missing"))
    assert plan.candidates[0].model.lock.id == "large"
    assert "missing" in plan.notes[0]


def test_a_model_with_a_damaged_header_is_passed_over(
    models: list[InstalledModel],
) -> None:
    with models[0].path.open("r+b") as stream:
        stream.write(b"XXXX")
    plan = make_plan(models, a_machine(9000 * MIB), Wishes())
    assert plan.candidates[0].model.lock.id == "small"
    assert "large.gguf" in plan.notes[0]


def test_a_context_is_never_longer_than_the_model_was_made_for(
    models: list[InstalledModel],
) -> None:
    plan = make_plan(models, a_machine(90000 * MIB), Wishes(context=1 << 20))
    assert {c.context for c in plan.candidates} == {4096}


def test_a_file_is_believed_by_its_hash_and_asked_again_when_it_changes(tmp_path: Path) -> None:
    entry = place(tmp_path, "m", 4096)
    model = InstalledModel(tmp_path / "m.gguf", entry)
    assert Verifier(tmp_path).is_genuine(model)
    content = bytearray(model.path.read_bytes())
    content[-1] ^= 1
    model.path.write_bytes(content)
    assert not Verifier(tmp_path).is_genuine(model)


def test_the_hash_is_taken_once_and_remembered(tmp_path: Path) -> None:
    model = InstalledModel(tmp_path / "m.gguf", place(tmp_path, "m", 4096))
    assert Verifier(tmp_path).is_genuine(model)
    remembered = tmp_path / "checked-models.json"
    known = json.loads(remembered.read_text())
    remembered.write_text(json.dumps(dict.fromkeys(known, "0" * 64)))
    assert not Verifier(tmp_path).is_genuine(model)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_memory_of_hashes_only_costs_time(tmp_path: Path, content: str) -> None:
    model = InstalledModel(tmp_path / "m.gguf", place(tmp_path, "m", 4096))
    (tmp_path / "checked-models.json").write_text(content)
    assert Verifier(tmp_path).is_genuine(model)


def test_where_nothing_can_be_remembered_the_model_is_still_checked(tmp_path: Path) -> None:
    model = InstalledModel(tmp_path / "m.gguf", place(tmp_path, "m", 4096))
    assert Verifier(tmp_path / "nowhere").is_genuine(model)


def test_no_file_and_an_empty_file_wish_nothing(tmp_path: Path) -> None:
    assert read_wishes(tmp_path / "llm_model.json") == Wishes()
    (tmp_path / "llm_model.json").write_text("\n")
    assert read_wishes(tmp_path / "llm_model.json") == Wishes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{\n "model": "x",\n}', "3"),
        ("[]", "{"),
        ('{"modle": "x"}', "modle"),
        ('{"model": 3}', "model"),
        ('{"context": "4096"}', "context"),
        ('{"context": 10}', "256"),
        ('{"threads": true}', "threads"),
        ('{"model": "\udcff"}', "UTF-8"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "llm_model.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(AlmaError) as refusal:
        read_wishes(path)
    assert str(path) in str(refusal.value)
    assert said in str(refusal.value).replace(str(path), "")


def test_the_projects_lock_is_sound_and_its_demonstration_lies_in_the_repository() -> None:
    lock = read_models_lock(REPOSITORY / "models.lock")
    (seed,) = [m for m in lock if m.demonstration]
    assert sha256_of(REPOSITORY / seed.file) == seed.sha256
    assert all("es" in m.languages and m.size < m.memory_mib * MIB for m in lock)
