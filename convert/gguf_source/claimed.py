"""Which keys of the architecture are read: one that llama.cpp obeys and that nobody here reads is an error, not a loss.

The list is that of `src/llama-arch.cpp`, and what is common to all architectures of `load_hparams` (`src/llama-model.cpp`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import CheckpointError
from ..families import registry
from ..gguf.read import GgufFile

_READ = frozenset(
    [
        "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size", "attention.head_count",
        "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
        "rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor", "rope.scale_linear",
        "rope.scaling.original_context_length", "rope.scaling.attn_factor",
    ]
)  # fmt: skip
"""What `configuration` and `rope` read of every architecture; what a family reads besides, its file says (`Gguf.reads`)."""
_HARMLESS = frozenset(
    ["rope.scaling.finetuned", "tensor_data_layout", "attention.layer_norm_epsilon", "attention.group_norm_epsilon"]
)
"""Keys that say where a model comes from, or what its architecture's graph never reads."""
_OFF: tuple[Any, ...] = (0, False, "")
_OBEYED: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "pooling_type": (0, -1),
    "classifier.output_labels": (),
    "embedding_length_out": _OFF,
    "embedding_length_per_layer_input": _OFF,
    "features_length": _OFF,
    "leading_dense_block_count": _OFF,
    "nextn_predict_layers": _OFF,
    "hidden_activation": ("silu", "gelu_pytorch_tanh"),
    "use_parallel_residual": _OFF,
    "logit_scale": (*_OFF, 1),
    "residual_scale": (*_OFF, 1),
    "embedding_scale": (*_OFF, 1),
    "attn_logit_softcapping": _OFF,
    "router_logit_softcapping": _OFF,
    "final_logit_softcapping": _OFF,
    "full_attention_interval": _OFF,
    "attention.max_alibi_bias": _OFF,
    "attention.clamp_kqv": _OFF,
    "attention.scale": _OFF,
    "attention.output_scale": (*_OFF, 1),
    "attention.value_scale": (*_OFF, 1),
    "attention.temperature_length": _OFF,
    "attention.temperature_scale": _OFF,
    "attention.sliding_window": _OFF,
    "attention.sliding_window_pattern": _OFF,
    "attention.shared_kv_layers": _OFF,
    "attention.relative_buckets_count": _OFF,
    "rope.dimension_sections": _OFF,
    "rope.dimension_count_swa": _OFF,
    "rope.freq_base_swa": _OFF,
    "rope.scaling.alpha": (*_OFF, 1),
    "rope.scaling.yarn_log_multiplier": _OFF,
    "rope.scaling.yarn_ext_factor": (1, -1),
    "rope.scaling.yarn_attn_factor": (1, -1),
    "rope.scaling.yarn_beta_fast": (32, -1),
    "rope.scaling.yarn_beta_slow": (1, -1),
}
"""Keys that llama.cpp obeys, and the values with which they change nothing."""
_KINDS = ("expert", "ssm.", "wkv.", "kda.", "posnet.", "convnext.", "shortconv.", "hyper_connection.", "dense_", "deepstack",
          "n_deepstack", "moe_", "interleave_moe", "decoder_", "swiglu_clamp", "target_", "attention.q_lora", "attention.kv_lora",
          "attention.key_length_", "attention.value_length_", "attention.indexer.", "attention.compress_",
          "attention.output_", "attention.recurrent_layers", "time_", "token_shift", "rescale_every")  # fmt: skip
"""Beginnings of the keys that only other kinds of models have."""
_SHOWN = 8


def require(file: GgufFile) -> None:
    """Refuse a file with a key of its architecture that changes what llama.cpp computes and that is not read here.

    Raises:
        CheckpointError: it names the key.
    """
    experts = file.own("expert_count")
    if type(experts) is int and experts > 0:
        raise CheckpointError(
            f"{file.path.name} holds a mixture of {experts} experts (architecture {file.arch!r}), which cannot be read.",
            "Of GGUF files only dense models can. Convert the original checkpoint.",
        )
    for key, value in _own(file):
        neutral = _neutral(file, key)
        if neutral is not None and not _is(value, neutral):
            raise CheckpointError(
                f"{file.path.name}: llama.cpp obeys the key {file.arch}.{key} = {_text(value)}, which has no counterpart here: "
                "what would be written is another model.",
                "Convert the original checkpoint.",
            )
    width, values = file.own("attention.key_length"), file.own("attention.value_length")
    if width is not None and values is not None and width != values:
        raise CheckpointError(
            f"{file.path.name}: keys of {width} and values of {values} numbers a head cannot be read.",
            "Convert the original checkpoint.",
        )


def obeyed(file: GgufFile, key: str) -> bool | None:
    """Tell whether a key of the architecture, named without it, changes what llama.cpp computes, with the value that it has.

    None: llama.cpp does not know it.
    """
    neutral = _neutral(file, key)
    return None if neutral is None else not _is(file.own(key), neutral)


def notes(file: GgufFile) -> tuple[str, ...]:
    """Return a sentence about the keys of which nothing is known."""
    left = [f"{file.arch}.{key}" for key, _ in _own(file) if key not in _HARMLESS and _neutral(file, key) is None]
    if not left:
        return ()
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return (f"Keys of the GGUF that are not read: {', '.join(left[:_SHOWN])}{more}.",)


def _own(file: GgufFile) -> list[tuple[str, Any]]:
    """Return the architecture's keys that no reader reads, without its name in front."""
    family, front = registry.by_arch(file.arch), f"{file.arch}."
    known = _READ | (family.gguf.reads if family and family.gguf else frozenset())
    own = [(name.removeprefix(front), value) for name, value in file.keys.items() if name.startswith(front)]
    return [(key, value) for key, value in own if key not in known]


def _neutral(file: GgufFile, key: str) -> tuple[Any, ...] | None:
    """Return the values with which a key changes nothing; None if llama.cpp does not know it."""
    if key in _OBEYED:
        same = {"rope.dimension_count_swa": "rope.dimension_count", "rope.freq_base_swa": "rope.freq_base"}.get(key)
        return _OBEYED[key] if same is None else (*_OBEYED[key], file.own(same))
    return _OFF if key.startswith(_KINDS) else None


def _is(value: Any, neutral: tuple[Any, ...]) -> bool:
    values = value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, list) else [value]
    return all(any(item == known for known in neutral) for item in values)


def _text(value: Any) -> str:
    shown = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
