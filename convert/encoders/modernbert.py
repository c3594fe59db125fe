"""ModernBERT: gte-modernbert, and rerankers made of it. Sources: `transformers/models/modernbert/`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ..program.encoder import EncoderFamily, prefix_of
from ..program.modern import Modern
from ..program.modern_gguf import GGUF
from ..program.reading import Reader, UnsupportedArchitecture, contradicting, positive, whole, wrong
from ..program.rope import Rope
from ..program.task import Task

BASE = "model."
KNOWN = "embeddings.tok_embeddings.weight"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "hidden_activation": "gelu",
    "max_position_embeddings": 8192,
    "norm_eps": 1e-5,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "local_attention": 128,
    "classifier_pooling": "cls",
    "classifier_bias": False,
    "classifier_activation": "gelu",
}
_FULL, _NEAR = "full_attention", "sliding_attention"
_THETA = {_FULL: ("global_rope_theta", 160_000.0), _NEAR: ("local_rope_theta", 10_000.0)}
_EVERY = 3
"""Every so many layers one sees all positions, the first among them."""
_ALSO = (
    "layer_types", "global_attn_every_n_layers", "rope_parameters", "rope_scaling", *(name for name, _ in _THETA.values()),
    "mlp_dropout", "decoder_bias", "deterministic_flash_attn", "sparse_prediction", "sparse_pred_ignore_index",
    "reference_compile", "repad_logits_with_grad", "layer_norm_eps", "position_embedding_type", "gradient_checkpointing",
)  # fmt: skip


def _describe(read: Reader, task: Task, names: Collection[str]) -> Modern:
    width, heads, kinds = read.size("hidden_size"), read.size("num_attention_heads"), _kinds(read)
    ropes = {kind: Rope(_theta(read, kind), width // heads, False) for kind in _THETA}
    reach = read.size("local_attention") // 2
    if task.kind == "score":
        pooling = read.get("classifier_pooling")
        if pooling not in ("cls", "mean"):
            raise wrong("classifier_pooling", pooling, "cls or mean")
        task = replace(task, pooling=pooling)
    return Modern(
        family=str(read.config["model_type"]),
        task=task,
        prefix=prefix_of(names, BASE, KNOWN),
        vocab_size=read.size("vocab_size"),
        width=width,
        inner=read.size("intermediate_size"),
        num_heads=heads,
        eps=read.number("norm_eps"),
        activation=read.activation("hidden_activation"),
        reaches=tuple(None if kind == _FULL else reach for kind in kinds),
        rotations=tuple(ropes[kind] for kind in kinds),
        positions=read.size("max_position_embeddings"),
        attention_bias=bool(read.get("attention_bias")),
        mlp_bias=bool(read.get("mlp_bias")),
        norm_bias=bool(read.get("norm_bias")),
        head_bias=bool(read.get("classifier_bias")) if task.kind == "score" else False,
        head_activation=read.activation("classifier_activation") if task.kind == "score" else "gelu",
        assumed=tuple(read.assumed[key] for key in read.defaults if key in read.assumed),
    )


def _kinds(read: Reader) -> list[str]:
    layers, stated = read.layers(), read.config.get("layer_types")
    if stated is None:
        every = whole(read.config.get("global_attn_every_n_layers", _EVERY), "global_attn_every_n_layers")
        return [_NEAR if layer % every else _FULL for layer in range(layers)]
    if not isinstance(stated, list) or not set(map(str, stated)) <= set(_THETA):
        raise wrong("layer_types", stated, f"a list of {_FULL} and {_NEAR}")
    if len(stated) != layers:
        raise contradicting(f"layer_types states kinds for {len(stated)} layers, and there are {layers}")
    return stated


def _theta(read: Reader, kind: str) -> float:
    """Return the base of a kind of layers: from rope_parameters, or the older field of its own, or transformers' default."""
    if read.config.get("rope_scaling"):
        raise UnsupportedArchitecture("its positions are scaled (rope_scaling)")
    older, default = _THETA[kind]
    stated = (read.config.get("rope_parameters") or {}).get(kind) or {}
    if not isinstance(stated, dict) or stated.get("rope_type", "default") != "default":
        raise UnsupportedArchitecture(f"its rotary embedding is {stated!r}, and only the default kind is known")
    return positive(stated.get("rope_theta", read.config.get(older) or default), older)


FAMILY = EncoderFamily("modernbert", DEFAULTS, _describe, also_reads=frozenset(_ALSO), gguf=GGUF)
