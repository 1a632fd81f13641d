"""The network and its tokenizer as one GGUF file, and the line that models.lock needs about it.

Keys and tensor names: the GGUF specification in ggml (docs/gguf.md) and the `llama` architecture
of llama.cpp.
"""

import hashlib
import json
import os
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer

from recipe.network import Network, Shape
from recipe.tokens import CHAT_TEMPLATE, END_OF_TEXT_ID, SPECIAL, TURN_END_ID

LICENCE = "GPL-2.0-or-later"
_MEMORY_MIB = 64  # llama-server was seen with 54 MiB resident, its own code included


def write_gguf(network: Network, tokenizer: Tokenizer, target: Path) -> None:
    """Matrices as F16, vectors as F32; appears under its name only when it is complete."""
    partial = target.with_name(f".{target.name}.partial")
    writer = gguf.GGUFWriter(partial, "llama")
    _describe(writer, network.shape)
    _add_tokenizer(writer, tokenizer)
    for name, weight in network.state_dict().items():
        array = weight.detach().numpy()
        writer.add_tensor(
            name, array.astype(np.float16) if array.ndim == 2 else array.astype(np.float32)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(target)


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_type("model")
    writer.add_name("semilla")
    writer.add_author("ALMA")
    writer.add_version("1")
    writer.add_license(LICENCE)
    writer.add_languages(["es", "en"])
    writer.add_description(
        "A demonstration that answers questions about ALMA. Not a useful assistant."
    )
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    described = json.loads(tokenizer.to_str())["model"]
    vocabulary: dict[str, int] = described["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = [
        gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens
    ]
    # With any other `pre` the same text becomes other ids, and nothing says so.
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in described["merges"]])
    # Left unsaid, the loader takes token 11 for both ends of text.
    writer.add_bos_token_id(END_OF_TEXT_ID)
    writer.add_eos_token_id(TURN_END_ID)
    writer.add_eot_token_id(TURN_END_ID)
    writer.add_pad_token_id(END_OF_TEXT_ID)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_lock_entry(model: Path, shape: Shape, target: Path) -> None:
    """The entry of models.lock for this very file."""
    data = model.read_bytes()
    target.write_text(
        "[[model]]\n"
        'id = "semilla"\n'
        'role = "chat"\n'
        'repository = "."\n'
        'revision = ""\n'
        'file = "models/semilla/semilla.gguf"\n'
        f"size = {len(data)}\n"
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        f'licence = "{LICENCE}"\n'
        'languages = ["es", "en"]\n'
        f"context = {shape.context}\n"
        f"memory_mib = {_MEMORY_MIB}\n"
        "demonstration = true\n",
        encoding="utf-8",
    )
