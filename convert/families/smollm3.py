"""SmolLM3: Llama's block; every fourth layer has no rotary embedding.

Sources: `transformers/models/smollm3/`; `src/models/smollm3.cpp` and `conversion/llama.py` of llama.cpp, whose graph leaves the
embedding out of every fourth layer whatever a file states.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value
from ..program.decoder import Decoder
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture, whole, wrong
from ..program.spec import Family
from .llama import biased, common


def _described(read: Reader, decoder: Decoder) -> Decoder:
    if read.config.get("use_sliding_window") and not read.config.get("layer_types"):
        raise UnsupportedArchitecture("its windows are those of the layers without rotary embedding")
    rotated = read.config.get("no_rope_layers")
    if rotated is None:
        every = whole(read.get("no_rope_layer_interval"), "no_rope_layer_interval")
        rotated = [(layer + 1) % every != 0 for layer in range(decoder.num_layers)]
    if not isinstance(rotated, list):
        raise wrong("no_rope_layers", rotated, "a list")
    return replace(decoder, ropes=tuple(decoder.rope if yes else None for yes in rotated))


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return no keys; refuse other layers without rope than llama.cpp's graph has."""
    if [rope is not None for rope in decoder.ropes] != [(layer + 1) % 4 != 0 for layer in range(decoder.num_layers)]:
        raise UnsupportedArchitecture("not every fourth layer is without rotary embedding, as in llama.cpp's smollm3")
    return {}


FAMILY = Family(
    "smollm3",
    "SmolLM3ForCausalLM",
    common(
        num_key_value_heads=4,
        rope_theta=2_000_000.0,
        max_position_embeddings=32768,
        use_sliding_window=False,
        sliding_window=None,
        no_rope_layer_interval=4,
        tie_word_embeddings=True,
    ),
    also_reads=frozenset(["no_rope_layers"]),
    details=_described,
    gguf=Gguf(
        "smollm3",
        permute_qk=True,
        keys=_keys,
        to_config=lambda file, keys: {"attention_bias": biased(file, "attn_q"), "mlp_bias": biased(file, "ffn_gate")},
    ),
)
