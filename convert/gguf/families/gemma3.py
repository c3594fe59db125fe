"""Gemma 3, text (`model_type: gemma3_text`, arch "gemma3"): four norms a block, local and global layers with ropes of their own.

The checkpoint stores the norms' weights minus one; llama.cpp wants them whole.
Sources: `src/models/gemma3.cpp` and `conversion/gemma.py` of llama.cpp. The converter there assumes that each sixth layer is
global; we state the pattern where it is another, which llama.cpp reads since 2026 (b9190 of May does not yet).

llama.cpp computes this GELU from a table of float16 values, so that its logits differ from those of transformers by some
thousandths even in float32.
"""

from __future__ import annotations

from typing import Any

from ...families.decoder import Decoder, Reader, Rope, positive, wrong
from ..header import Kind, Value, array, f32, u32
from . import config as read
from .model import BLOCK, Model, model, refuse, require_activation

MODEL_TYPES = ("gemma3_text",)
ARCH = "gemma3"
DEFAULTS = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-06,
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "query_pre_attn_scalar": 256,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "sliding_window": 4096,
    "max_position_embeddings": 131072,
}
PATTERN = 6
"""Every so many layers one is global, if nothing else is stated."""
_PATTERN_NOTE = (
    f"Its global layers are not every {PATTERN}th one: a llama.cpp that does not read attention.sliding_window_pattern here "
    "(b9190 of May 2026) computes another model.",
)
_EXTRA = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_ALSO_READ = frozenset(
    [
        "rope_scaling", "rope_parameters", "hidden_activation", "layer_types", "sliding_window_pattern",
        "final_logit_softcapping", "attn_logit_softcapping", "use_bidirectional_attention",
    ]
)  # fmt: skip


def fields(model_type: str) -> frozenset[str]:
    """Return the fields of config.json that are read."""
    return frozenset(DEFAULTS) | _ALSO_READ


def describe(config: dict[str, Any]) -> Model:
    """Read config.json. Raises CheckpointError for what llama.cpp's graph lacks."""
    reader = Reader({**config, "hidden_act": config.get("hidden_activation")}, DEFAULTS)
    local, whole = _ropes(config, reader)
    decoder = _decoder(reader, positive(whole["rope_theta"], "rope_theta"))
    require_activation(decoder, "gelu_pytorch_tanh", ARCH)
    _require_scale(reader, decoder)
    if (
        reader.get("attention_bias")
        or config.get("use_bidirectional_attention")
        or config.get("attn_logit_softcapping")
    ):
        raise refuse("it has biases, caps scores or looks ahead in attention, which llama.cpp's gemma3 does not")
    context = reader.size("max_position_embeddings")
    flat = {**config, "rope_scaling": None, "rope_parameters": whole}
    scaling = read.scaling(flat, decoder, context)
    shapes = {
        f"model.layers.{layer}.{name}.weight": (decoder.hidden_size,)
        for layer in range(decoder.num_layers)
        for name in _EXTRA
    }
    windows = _windows(config, decoder, reader)
    return model(
        ARCH, decoder, context,
        keys={**windows, "rope.freq_base_swa": f32(float(local)), **_cap(config), **scaling.keys},
        shapes=shapes, block=BLOCK | _EXTRA, norm_plus=1.0,
        notes=_PATTERN_NOTE if "attention.sliding_window_pattern" in windows else (),
    )  # fmt: skip


def _decoder(reader: Reader, theta: float) -> Decoder:
    head_dim = reader.size("head_dim")
    return Decoder(
        family="gemma3_text",
        vocab_size=reader.size("vocab_size"),
        hidden_size=reader.size("hidden_size"),
        intermediate_size=reader.size("intermediate_size"),
        num_layers=reader.layers(),
        num_heads=reader.size("num_attention_heads"),
        num_kv_heads=reader.size("num_key_value_heads"),
        head_dim=head_dim,
        rms_norm_eps=reader.number("rms_norm_eps"),
        rope=Rope(theta, head_dim),
        activation=reader.activation(),
        qk_norm=True,
        tied=bool(reader.get("tie_word_embeddings")),
        assumed=tuple(reader.assumed),
    )


def _ropes(config: dict[str, Any], reader: Reader) -> tuple[float, dict[str, Any]]:
    """Return the base of local layers, and the parameters of global ones (`Gemma3TextConfig.convert_rope_params_to_dict`)."""
    parameters = _table(config.get("rope_parameters"), "rope_parameters")
    local = _table(parameters.get("sliding_attention"), "rope_parameters.sliding_attention")
    whole = _table(parameters.get("full_attention"), "rope_parameters.full_attention")
    whole = {**whole, **_table(config.get("rope_scaling"), "rope_scaling")}
    if "rope_theta" not in whole:
        whole["rope_theta"] = reader.get("rope_theta")
    if read.rope_kind(local) != "default" or "partial_rotary_factor" in local | whole:
        raise refuse("its local layers have scaled rotary embeddings")
    base = local["rope_theta"] if "rope_theta" in local else reader.get("rope_local_base_freq")
    return positive(base, "rope_local_base_freq"), whole


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise wrong(name, value, "a table")
    return value or {}


def _windows(config: dict[str, Any], decoder: Decoder, reader: Reader) -> dict[str, Value]:
    """Return window and pattern; a model whose layers are all global has a window of 0."""
    every = config.get("sliding_window_pattern") or PATTERN
    kinds = config.get("layer_types") or [
        "full_attention" if (layer + 1) % every == 0 else "sliding_attention" for layer in range(decoder.num_layers)
    ]
    local = [kind == "sliding_attention" for kind in kinds]
    if len(local) != decoder.num_layers or set(kinds) - {"sliding_attention", "full_attention"}:
        raise refuse(
            f"config.json states layer_types {sorted(set(kinds))} for {len(kinds)} layers", "Repair config.json."
        )
    if not any(local):
        return {"attention.sliding_window": u32(0)}
    keys = {"attention.sliding_window": u32(reader.size("sliding_window"))}
    if local != [(layer + 1) % PATTERN != 0 for layer in range(decoder.num_layers)]:
        keys["attention.sliding_window_pattern"] = array(Kind.BOOL, local)
    return keys


def _cap(config: dict[str, Any]) -> dict[str, Value]:
    cap = config.get("final_logit_softcapping")
    return {"final_logit_softcapping": f32(float(cap))} if cap else {}


def _require_scale(reader: Reader, decoder: Decoder) -> None:
    """llama.cpp's graph takes the scale of scores from the head's width, and for the model of 62 layers from width by heads."""
    wanted = decoder.hidden_size // decoder.num_heads if decoder.num_layers == 62 else decoder.head_dim
    stated = reader.get("query_pre_attn_scalar")
    if stated != wanted:
        raise refuse(f"query_pre_attn_scalar is {stated}, where llama.cpp computes with {wanted}")
