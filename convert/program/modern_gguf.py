"""ModernBERT's encoder in llama.cpp's terms. Sources: `src/models/modern-bert.cpp` and `conversion/bert.py` of llama.cpp."""

from __future__ import annotations

from ..gguf_values import boolean, f32, string, u32
from .encoder_gguf import TABLE_BUDGETS, EncoderGguf, Written, require_gelu
from .modern import Modern
from .reading import UnsupportedArchitecture

ARCH = "modern-bert"
_NAMES = {
    "embeddings.tok_embeddings": "token_embd",
    "embeddings.norm": "token_embd_norm",
    "final_norm": "output_norm",
    "attn_norm": "attn_norm",
    "attn.Wqkv": "attn_qkv",
    "attn.Wo": "attn_output",
    "mlp_norm": "ffn_norm",
    "mlp.Wi": "ffn_up",
    "mlp.Wo": "ffn_down",
}


def _written(modern: Modern) -> Written:
    said = require_gelu(modern.activation, ARCH)
    if modern.attention_bias or modern.mlp_bias or modern.norm_bias:
        raise UnsupportedArchitecture("it has biases, which llama.cpp's modern-bert does not load")
    every, window = _pattern(modern)
    bases = {reach is None: rope.theta for reach, rope in zip(modern.reaches, modern.rotations, strict=True)}
    whole = bases.get(True, bases.get(False, 0.0))
    keys = {
        "vocab_size": u32(modern.vocab_size),
        "context_length": u32(modern.positions),
        "embedding_length": u32(modern.width),
        "block_count": u32(modern.num_layers),
        "feed_forward_length": u32(modern.inner),
        "attention.head_count": u32(modern.num_heads),
        "attention.layer_norm_epsilon": f32(modern.eps),
        "attention.causal": boolean(False),
        "attention.sliding_window": u32(window),
        "attention.sliding_window_pattern": u32(every),
        "rope.freq_base": f32(whole),
        "rope.freq_base_swa": f32(bases.get(False, whole)),
        "rope.scaling.type": string("none"),
    }
    return Written(modern.num_heads, keys, {name: _name(name, modern.prefix) for name in modern.tensors()}, {}, said)


def _pattern(modern: Modern) -> tuple[int, int]:
    """Return every how many layers one sees all of a text, the first among them, and what the others see in all."""
    near = [reach for reach in modern.reaches if reach is not None]
    whole = [layer for layer, reach in enumerate(modern.reaches) if reach is None]
    every = whole[1] if len(whole) > 1 else modern.num_layers
    if whole != list(range(0, modern.num_layers, every)):
        raise UnsupportedArchitecture(
            "the layers that see all of a text are not every so many from the first one on, as llama.cpp's modern-bert has them"
        )
    return every, 2 * near[0] if near else 0


def _name(source: str, prefix: str) -> str:
    module, _, kind = source.removeprefix(prefix).rpartition(".")
    if not module.startswith("layers."):
        return f"{_NAMES[module]}.{kind}"
    layer, _, inside = module.removeprefix("layers.").partition(".")
    return f"blk.{layer}.{_NAMES[inside]}.{kind}"


GGUF = EncoderGguf(ARCH, _written, TABLE_BUDGETS)
