"""Check 0: each field of an artifact's configs that a runtime obeys, against the checkpoint's, by what it means.

Not the text of the files is compared: a field that one side leaves out has the default that transformers' config class gives it,
so that tools which write defaults out, or leave them out, are no fault. What no runtime computes with is left aside.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...convert import families, multimodal
from ...convert.checkpoint import Checkpoint, read_json
from ...convert.native_config import meant
from ...core.errors import CheckpointError
from ...quantize.integer import to_float32
from .. import described
from .weights import Findings

_UNREAD = (
    "transformers_version", "torch_dtype", "dtype", "_name_or_path", "name_or_path", "auto_map", "architectures", "use_cache",
    "quantization_config", "_attn_implementation*", "attn_implementation", "experts_implementation", "_experts_implementation*",
    "output_attentions", "output_hidden_states", "output_router_logits", "return_dict*", "torchscript", "use_return_dict",
    "initializer_range", "initializer_factor", "*dropout*", "*_pdrop", "router_aux_loss_coef", "router_jitter_noise",
    "id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params", "chunk_size_feed_forward",
    "gradient_checkpointing", "use_bfloat16", "pretraining_tp", "_commit_hash", "model_type", "_from_model_config",
    "*bos_token_id", "*eos_token_id", "*pad_token_id", "_fast_init", "base_model_*", "unsloth_*", "_*",
)  # fmt: skip
"""Fields that no runtime computes with, or that another check compares: ids of tokens, and model_type."""
_DEFAULTS: Mapping[str, Any] = {
    "do_sample": False, "num_beams": 1, "num_beam_groups": 1, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0,
    "typical_p": 1.0, "top_h": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0, "length_penalty": 1.0,
    "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "min_length": 0,
    "max_length": 20, "num_return_sequences": 1, "diversity_penalty": 0.0, "early_stopping": False, "renormalize_logits": False,
    "remove_invalid_values": False, "penalty_alpha": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
    "guidance_scale": 1.0, "low_memory": False, "token_healing": False,
}  # fmt: skip
"""What generation_config.json means where it says nothing (`transformers.GenerationConfig`)."""
_UNREAD_IN_GENERATION = (
    "transformers_version", "_*", "*_token_id", "use_cache", "output_*", "return_*", "cache_implementation", "cache_config",
    "num_assistant_tokens*", "assistant_*", "is_assistant", "max_matching_ngram_size", "prompt_lookup_num_tokens",
    "target_lookbehind", "compile_config", "disable_compile", "continuous_batching_config", "trust_remote_code", "chat_format",
)  # fmt: skip
"""Of it, what changes no token, what only transformers reads while it assists itself, and ids, which another check compares."""
_FLOAT_CACHES = ("f16", "bf16", "f32")
_SCALE = 8.0
"""ACTIVATIONS_SCALE_FACTOR as optimum-intel and edgeconv state it for text generation."""


def config(folder: Path, checkpoint: Checkpoint, found: Findings, *, takes_images: bool) -> None:
    """Compare config.json.

    Args:
        folder: the artifact.
        checkpoint: the reference.
        found: takes the failures.
        takes_images: it takes pictures, so that it has the name of a family of its own.
    """
    if not (folder / "config.json").is_file():
        found.failures.append("config.json is missing.")
        return
    try:
        own = read_json(folder / "config.json")
    except CheckpointError as error:
        found.failures.append(error.message)
        return
    part = families.vision_part(checkpoint.model_type) if takes_images else None
    kind = part.model_type if part else checkpoint.model_type  # a GLM-Edge-V calls itself glm, as the text models do
    if own.get("model_type") != kind:
        found.failures.append(f"config.json: model_type is {own.get('model_type')}, in the checkpoint {kind}.")
        return
    _held(own, checkpoint, found)
    nested = multimodal.is_ours(checkpoint.model_type)  # seen flat; the file is as transformers reads it
    stated = read_json(checkpoint.folder / "config.json") if nested else checkpoint.config
    wanted, got = (_meant(stated), _meant(own)) if kind == checkpoint.model_type else (None, None)
    if wanted is None or got is None:  # no class of transformers', so what the checkpoint states must be there
        wanted = _flat(checkpoint.config)
        got = {key: value for key, value in _flat(own).items() if key in wanted}
    _differences("config.json", (wanted, got), _UNREAD, found)


def _held(own: dict[str, Any], checkpoint: Checkpoint, found: Findings) -> None:
    """Compare the values of tensors that config.json holds in the place of a graph, and take them out of it."""
    seeing = described.vision(checkpoint)
    for field, name in (seeing.stated if seeing else {}).items():
        given, wanted = own.pop(field, None), to_float32(checkpoint.tensor(name)).reshape(-1)
        if not same(given, [float(one) for one in wanted]):
            found.failures.append(f"config.json: {field} does not hold the values of {name}.")


def generation(folder: Path, checkpoint: Checkpoint, found: Findings) -> None:
    """Compare generation_config.json: what users get who ask for nothing."""
    path = folder / "generation_config.json"
    try:
        own = read_json(path) if path.is_file() else {}
    except CheckpointError as error:
        found.failures.append(error.message)
        return
    sides = _generates(checkpoint.generation_config), _generates(own)
    _differences("generation_config.json", sides, _UNREAD_IN_GENERATION, found)


def runtime_options(model: Any, found: Findings) -> None:
    """Look at what an IR (`openvino.Model`) tells openvino_genai to set: nothing that rounds more than the weights do."""
    cache = _option(model, "KV_CACHE_PRECISION")
    if cache is not None and cache not in _FLOAT_CACHES:
        found.failures.append(
            f"rt_info: KV_CACHE_PRECISION is {cache}: openvino_genai rounds keys and values; left out, the device decides."
        )
    scale = _option(model, "ACTIVATIONS_SCALE_FACTOR")
    if scale is not None and not same(_number(scale), _SCALE):
        found.failures.append(
            f"rt_info: ACTIVATIONS_SCALE_FACTOR is {scale}; models that generate text have {_SCALE:g}, for GPUs and NPUs."
        )


def _option(model: Any, name: str) -> str | None:
    path = ["runtime_options", name]
    return str(model.get_rt_info(path).astype(str)) if model.has_rt_info(path) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _generates(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stated.items() if value is not None and not same(value, _DEFAULTS.get(key))}


def _meant(stated: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a config means: every field of transformers' class, flat; None if it has no class for it."""
    config = meant(stated)
    return None if config is None else _flat(config.to_dict())


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields with those of inner ones under dotted names."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + str(key)] = value
    return found


def _is(key: str, patterns: tuple[str, ...]) -> bool:
    parts = key.split(".")
    return any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in patterns)


def _differences(
    where: str, sides: tuple[Mapping[str, Any], Mapping[str, Any]], unread: tuple[str, ...], found: Findings
) -> None:
    """Name each field in which two sides differ, the checkpoint's first; `unread`: patterns of those that are left aside."""
    defaults = _DEFAULTS if unread is _UNREAD_IN_GENERATION else {}
    for key in sorted({*sides[0], *sides[1]}):
        wanted, given = (side.get(key, defaults.get(key)) for side in sides)
        if not _is(key, unread) and not same(given, wanted):
            found.failures.append(f"{where}: {key} is {given}, in the checkpoint {wanted}.")


def search_defaults(key: str) -> Any:
    """Return what a field of generation_config.json means that is not stated."""
    return _DEFAULTS.get(key)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values of a field mean the same; a tuple is a list, and a number its rounding to float32."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-6)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)
