"""ChatGLM2's transformer in plain torch, written from its description, to compare the adapter with. It shares no code with it.

Pre-norm residual blocks. q has all heads, k and v have a few groups that neighboring heads share. On the first half of each
head, the pair of neighbors (2i, 2i + 1) at position p is turned by p · base^(-2i / half); the other half passes through. The MLP
gates the second half of its first projection with the SiLU of the first.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

Weights = dict[str, Tensor]


def norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return weight * x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Turn x [tokens, heads, size] by angles [tokens, size / 4]: one complex number a pair, half of the head left alone."""
    half = x.shape[-1] // 2
    pairs = torch.view_as_complex(x[..., :half].reshape(*x.shape[:-1], half // 2, 2).contiguous())
    spun = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None])
    return torch.cat([spun.flatten(-2), x[..., half:]], -1)


def attention(x: Tensor, weights: Weights, name: str, config: dict[str, Any], angles: Tensor) -> Tensor:
    heads, groups, size = (config[key] for key in ("num_attention_heads", "multi_query_group_num", "kv_channels"))
    mixed = x @ weights[f"{name}.query_key_value.weight"].T
    if config["add_qkv_bias"]:
        mixed = mixed + weights[f"{name}.query_key_value.bias"]
    tokens = len(x)
    q, k, v = mixed.split([heads * size, groups * size, groups * size], -1)
    q = turned(q.view(tokens, heads, size), angles)
    k = turned(k.view(tokens, groups, size), angles)
    v = v.view(tokens, groups, size)
    future = torch.ones(tokens, tokens).triu(1).bool()
    out = []
    for head in range(heads):
        group = head * groups // heads
        scores = (q[:, head] @ k[:, group].T / size**0.5).masked_fill(future, float("-inf"))
        out.append(scores.softmax(-1) @ v[:, group])
    return torch.cat(out, -1) @ weights[f"{name}.dense.weight"].T


def angles(config: dict[str, Any], tokens: int, *, divides: bool) -> Tensor:
    """Angles [tokens, size / 4]. `rope_ratio` divides positions in ChatGLM2, and widens the base in ChatGLM3 and GLM-4."""
    ratio, half = config.get("rope_ratio", 1), config["kv_channels"] // 2
    base, step = (10000.0, 1 / ratio) if divides else (10000.0 * ratio, 1.0)
    speeds = torch.tensor([base ** (-2 * i / half) for i in range(half // 2)], dtype=torch.float64)
    return torch.outer(torch.arange(tokens, dtype=torch.float64) * step, speeds).float()


def logits(weights: Weights, config: dict[str, Any], ids: list[int], *, divides: bool = False) -> Tensor:
    """Float32 logits [tokens, vocabulary]."""
    weights = {name: tensor.float() for name, tensor in weights.items()}
    epsilon = config["layernorm_epsilon"]
    x = weights["transformer.embedding.word_embeddings.weight"][ids]
    turns = angles(config, len(ids), divides=divides)
    for layer in range(config["num_layers"]):
        name = f"transformer.encoder.layers.{layer}"
        normed = norm(x, weights[f"{name}.input_layernorm.weight"], epsilon)
        x = x + attention(normed, weights, f"{name}.self_attention", config, turns)
        normed = norm(x, weights[f"{name}.post_attention_layernorm.weight"], epsilon)
        gate, up = (normed @ weights[f"{name}.mlp.dense_h_to_4h.weight"].T).chunk(2, -1)
        x = x + (silu(gate) * up) @ weights[f"{name}.mlp.dense_4h_to_h.weight"].T
    x = norm(x, weights["transformer.encoder.final_layernorm.weight"], epsilon)
    return x @ weights["transformer.output_layer.weight"].T
