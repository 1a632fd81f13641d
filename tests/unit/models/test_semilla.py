"""The embedded model is the file its lock entry names, and says the right things about itself."""

import hashlib
import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

SEMILLA = Path(__file__).parents[3] / "models" / "semilla"
MODEL = SEMILLA / "semilla.gguf"


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(MODEL)


@pytest.fixture(scope="module")
def settings(reader: gguf.GGUFReader) -> dict[str, Any]:
    return {key: field.contents() for key, field in reader.fields.items()}


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    lock = tomllib.loads((SEMILLA.parents[1] / "models.lock").read_text(encoding="utf-8"))
    (found,) = [entry for entry in lock["model"] if entry["id"] == "semilla"]
    return dict(found)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the recipe, which is no installed package."""
    monkeypatch.syspath_prepend(str(SEMILLA))
    return lambda name: importlib.import_module(f"recipe.{name}")


def test_the_file_is_the_one_that_the_lock_entry_names(entry: dict[str, Any]) -> None:
    data = MODEL.read_bytes()
    assert entry["file"] == MODEL.relative_to(SEMILLA.parents[1]).as_posix()
    assert entry["size"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_the_lock_entry_agrees_with_the_file_on_licence_and_context(
    entry: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert entry["licence"] == settings["general.license"]
    assert entry["languages"] == settings["general.languages"]
    assert entry["context"] == settings["llama.context_length"]
    assert entry["demonstration"] is True


def test_the_file_stays_small_enough_for_a_repository_and_an_emulated_cpu() -> None:
    assert 1_000_000 < MODEL.stat().st_size < 7_500_000


def test_the_file_says_what_it_is(settings: dict[str, Any]) -> None:
    assert settings["general.architecture"] == "llama"
    assert settings["general.name"] == "semilla"
    assert settings["general.author"] == "ALMA"
    assert "demonstration" in settings["general.description"]


def test_the_turn_end_stops_generation_and_is_not_printed(settings: dict[str, Any]) -> None:
    tokens = settings["tokenizer.ggml.tokens"]
    kinds = settings["tokenizer.ggml.token_type"]
    eos = settings["tokenizer.ggml.eos_token_id"]
    assert tokens[eos] == "<|im_end|>"
    assert settings["tokenizer.ggml.eot_token_id"] == eos
    control = {t for t, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.CONTROL}
    assert control == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}


def test_the_loader_adds_no_token_of_its_own(settings: dict[str, Any]) -> None:
    # Unsaid, the loader takes token 11 for both ends of a text.
    assert settings["tokenizer.ggml.add_bos_token"] is False
    assert settings["tokenizer.ggml.add_eos_token"] is False
    bos = settings["tokenizer.ggml.bos_token_id"]
    assert settings["tokenizer.ggml.tokens"][bos] == "<|endoftext|>"


def test_the_pre_tokenizer_is_the_one_it_was_trained_with(settings: dict[str, Any]) -> None:
    assert settings["tokenizer.ggml.model"] == "gpt2"
    assert settings["tokenizer.ggml.pre"] == "gpt-2"


def test_every_byte_has_a_token_and_every_merge_makes_one(settings: dict[str, Any]) -> None:
    tokens = set(settings["tokenizer.ggml.tokens"])
    assert len(tokens) == len(settings["tokenizer.ggml.tokens"])
    assert sum(len(token) == 1 for token in tokens) == 256
    for pair in settings["tokenizer.ggml.merges"]:
        left, right = pair.split(" ")
        assert left in tokens
        assert right in tokens
        assert left + right in tokens


def test_the_chat_template_is_chatml(settings: dict[str, Any]) -> None:
    template = settings["tokenizer.chat_template"]
    assert "<|im_start|>" in template
    assert "<|im_end|>" in template
    assert "<|im_start|>assistant\\n" in template


def test_matrices_are_f16_vectors_f32_and_all_are_finite(reader: gguf.GGUFReader) -> None:
    for tensor in reader.tensors:
        wanted = np.float16 if len(tensor.shape) == 2 else np.float32
        assert tensor.data.dtype == wanted, tensor.name
        assert np.isfinite(tensor.data).all(), tensor.name


def test_shapes_follow_from_the_settings(reader: gguf.GGUFReader, settings: dict[str, Any]) -> None:
    width = settings["llama.embedding_length"]
    size = settings["llama.attention.key_length"]
    rows = {
        "attn_q": settings["llama.attention.head_count"] * size,
        "attn_k": settings["llama.attention.head_count_kv"] * size,
        "attn_v": settings["llama.attention.head_count_kv"] * size,
        "ffn_up": settings["llama.feed_forward_length"],
    }
    shapes = {t.name: t.data.shape for t in reader.tensors}
    assert shapes["token_embd.weight"] == (len(settings["tokenizer.ggml.tokens"]), width)
    for layer in range(settings["llama.block_count"]):
        for part, count in rows.items():
            assert shapes[f"blk.{layer}.{part}.weight"] == (count, width)


def test_no_held_out_question_is_trained_on_and_none_has_two_answers(recipe: Any) -> None:
    lessons = recipe("dialogues").read_lessons(SEMILLA / "texts", {"es": [], "en": []})
    assert {"who", "alma", "help", "exit", "memory", "poweroff", "flash", "boot", "open-disk"} <= {
        topic.name for topic in lessons.topics["es"]
    }


def test_a_question_trained_on_and_held_out_is_refused(recipe: Any, tmp_path: Path) -> None:
    for source in (SEMILLA / "texts").glob("*.toml"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "held_out.toml").write_text(
        f'[[es]]\nid = "who"\nask = {json.dumps(["QUIEN ERES"])}\n[[en]]\nid = "who"\nask = []\n'
    )
    with pytest.raises(recipe("faults").RecipeFault, match="held out"):
        recipe("dialogues").read_lessons(tmp_path, {"es": [], "en": []})


def test_a_pattern_expands_to_every_reading(recipe: Any) -> None:
    expand = recipe("phrasing").expand
    assert expand("¿{Qué|Quién} es{ ALMA|}?") == [
        "¿Qué es ALMA?",
        "¿Qué es?",
        "¿Quién es ALMA?",
        "¿Quién es?",
    ]


def test_a_missing_or_altered_package_is_named(recipe: Any, tmp_path: Path) -> None:
    prose, fault = recipe("prose"), recipe("faults").RecipeFault
    packages = prose.read_packages(SEMILLA / "texts" / "prose.toml")
    with pytest.raises(fault, match="apt-get download debian-handbook"):
        prose.paragraphs(packages, tmp_path)
    (tmp_path / packages[0].file_name).write_bytes(b"!<arch>\n")
    with pytest.raises(fault, match="not the pinned package"):
        prose.paragraphs(packages, tmp_path)
