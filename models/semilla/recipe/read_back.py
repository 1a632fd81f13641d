"""A second, independent reading of the GGUF file: numpy computes what the file says, without torch.

It shares no code with the network that was trained. If both agree on a text, names, shapes, rotary
pairs, head groups and rounding in the file are right.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """What the file holds: settings by key, tensors by name (rows = outputs)."""

    settings: dict[str, Any]
    tensors: dict[str, Array]


def read(path: Path) -> Written:
    """All settings and tensors of a GGUF file."""
    reader = gguf.GGUFReader(path)
    settings = {key: field.contents() for key, field in reader.fields.items()}
    tensors = {t.name: np.asarray(t.data, dtype=np.float32) for t in reader.tensors}
    return Written(settings, tensors)


def tokenizer(written: Written) -> Tokenizer:
    """The tokenizer that the file describes."""
    tokens: list[str] = written.settings["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in written.settings["tokenizer.ggml.merges"]]
    built = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    control = gguf.TokenType.CONTROL
    kinds = written.settings["tokenizer.ggml.token_type"]
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == control]
    built.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return built


def logits(written: Written, ids: list[int]) -> Array:
    """Logits for every position, computed from the file alone."""
    get, tensors = written.settings.__getitem__, written.tensors
    epsilon: float = get("llama.attention.layer_norm_rms_epsilon")
    x = tensors["token_embd.weight"][ids]
    for layer in range(get("llama.block_count")):
        block = f"blk.{layer}."
        x = x + _attention(written, block, _norm(x, tensors[block + "attn_norm.weight"], epsilon))
        y = _norm(x, tensors[block + "ffn_norm.weight"], epsilon)
        gate = y @ tensors[block + "ffn_gate.weight"].T
        up = y @ tensors[block + "ffn_up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ tensors[block + "ffn_down.weight"].T
    x = _norm(x, tensors["output_norm.weight"], epsilon)
    return np.asarray(x @ tensors["token_embd.weight"].T, dtype=np.float32)


def _norm(x: Array, weight: Array, epsilon: float) -> Array:
    scale = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return np.asarray(x / scale * weight, dtype=np.float32)


def _attention(written: Written, block: str, x: Array) -> Array:
    get, tensors = written.settings.__getitem__, written.tensors
    heads, kv_heads = get("llama.attention.head_count"), get("llama.attention.head_count_kv")
    size, base = get("llama.attention.key_length"), get("llama.rope.freq_base")
    length = x.shape[0]
    q = _turned((x @ tensors[block + "attn_q.weight"].T).reshape(length, heads, size), base)
    k = _turned((x @ tensors[block + "attn_k.weight"].T).reshape(length, kv_heads, size), base)
    v = (x @ tensors[block + "attn_v.weight"].T).reshape(length, kv_heads, size)
    future = np.triu(np.full((length, length), -np.inf, dtype=np.float32), 1)
    mixed = np.empty((length, heads, size), dtype=np.float32)
    for head in range(heads):
        shared = head * kv_heads // heads
        score = q[:, head] @ k[:, shared].T / np.sqrt(np.float32(size)) + future
        share = np.exp(score - score.max(axis=-1, keepdims=True))
        mixed[:, head] = share / share.sum(axis=-1, keepdims=True) @ v[:, shared]
    out = mixed.reshape(length, heads * size) @ tensors[block + "attn_output.weight"].T
    return np.asarray(out, dtype=np.float32)


def _turned(x: Array, base: float) -> Array:
    """Rotary position on neighbouring pairs, as complex numbers."""
    length, _, size = x.shape
    angle = np.outer(np.arange(length), base ** (-np.arange(0, size, 2) / size))
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None, :]
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = pairs.real, pairs.imag
    return out
