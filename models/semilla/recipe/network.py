"""The Llama architecture, small, in the layout that llama.cpp computes.

Rotary pairs are neighbours (0,1), (2,3) …, as llama.cpp's `llama` architecture wants them. Models
trained with the pairs half a head apart need a permutation of q and k on export, and without it
load and run, quietly wrong. Here there is nothing to permute.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; `width` = heads × head_size."""

    vocabulary: int = 3072
    width: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 3
    feed_forward: int = 512
    context: int = 1024
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.heads


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """Attention and feed-forward, each behind its norm; attributes bear the GGUF names."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_size
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_v = nn.Linear(shape.width, kv_width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self._attend(self.attn_norm(x), cos, sin)
        y = self.ffn_norm(x)
        out: Tensor = x + self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return out

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = self.shape

        def heads(projected: Tensor, count: int) -> Tensor:
            return projected.view(batch, length, count, shape.head_size).transpose(1, 2)

        q = _rotate(heads(self.attn_q(x), shape.heads), cos, sin)
        k = _rotate(heads(self.attn_k(x), shape.kv_heads), cos, sin)
        v = heads(self.attn_v(x), shape.kv_heads)
        shared = shape.heads // shape.kv_heads
        mixed = functional.scaled_dot_product_attention(
            q,
            k.repeat_interleave(shared, dim=1),
            v.repeat_interleave(shared, dim=1),
            is_causal=True,
        )
        out: Tensor = self.attn_output(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class Network(nn.Module):
    """Ids in, logits out; the embedding is also the output matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self._start_small()

    def _start_small(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                # What is added to the running sum starts small, so that depth does not blow it up.
                added = "output" in name or "down" in name
                scale = 0.02 if "embd" in name else 0.04
                depth = (2 * self.shape.layers) ** 0.5 if added else 1.0
                nn.init.normal_(weight, std=scale / depth)

    def hidden(self, ids: Tensor) -> Tensor:
        """The last layer's normed state for each position."""
        half = torch.arange(0, self.shape.head_size, 2, dtype=torch.float32) / self.shape.head_size
        angles = torch.outer(
            torch.arange(ids.shape[1], dtype=torch.float32), self.shape.rope_base**-half
        )
        cos, sin = angles.cos(), angles.sin()
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, cos, sin)
        state: Tensor = self.output_norm(x)
        return state

    def forward(self, ids: Tensor) -> Tensor:
        return functional.linear(self.hidden(ids), self.token_embd.weight)
