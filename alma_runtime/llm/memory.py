"""How much memory a model needs: weights + the conversation's KV cache + room to compute."""

from __future__ import annotations

from alma_runtime.llm.gguf_header import Header

BATCH = 512  # tokens computed at once: the engine's --ubatch-size
F16, F32 = 2, 4
FIXED = 48 << 20  # the engine's own code, buffers of its HTTP server, tokenizer


def kv_bytes_per_token(header: Header) -> int:
    """Bytes of the KV cache for one token of context (f16): 2 · layers · kv_heads · head_dim."""
    heads = max(1, header.number("attention.head_count", 1))
    kv_heads = header.number("attention.head_count_kv", heads)
    head_size = header.number("embedding_length") // heads
    key = header.number("attention.key_length", head_size)
    value = header.number("attention.value_length", head_size)
    return header.number("block_count") * kv_heads * (key + value) * F16


def compute_bytes(header: Header, context: int) -> int:
    """Room for one batch: its logits, its attention scores and a few layers' activations."""
    vocabulary = header.lengths.get("tokenizer.ggml.tokens", 0)
    width = header.number("embedding_length")
    inner = header.number("feed_forward_length", 4 * width)
    heads = header.number("attention.head_count", 1)
    batch = min(BATCH, context)
    return batch * F32 * (vocabulary + 6 * width + 2 * inner + heads * context // 4)


def memory_needed(size: int, header: Header, context: int) -> int:
    """Bytes that a model file of `size` bytes takes with `context` tokens (an upper estimate)."""
    return size + context * kv_bytes_per_token(header) + compute_bytes(header, context) + FIXED
