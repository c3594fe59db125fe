"""The files beside the graphs: configs, tokenizer files, chat template, and genai_config.json for onnxruntime-genai.

A vision-language model gets none of the last: onnxruntime-genai knows such models by name, each with a processor of its own
written in C++, and GLM-Edge-V is not among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core import tokenizer_files
from .. import tokenizer_copy
from ..checkpoint import Checkpoint
from ..openvino.assets import config_files, generation_config, sources
from ..program.vision import Vision
from .names import GENAI, MODEL
from .sizes import HasSizes

_GENAI_TYPE = "llama"
"""What onnxruntime-genai calls a decoder of these inputs; it knows the families by name, and not all of ours are on its list."""
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""What the families call the most positions."""
SEARCHED = ("temperature", "top_k", "top_p", "repetition_penalty")
"""Fields of generation_config.json that onnxruntime-genai has too."""
_LENGTH = 2048
"""Tokens of a conversation, where config.json does not limit them."""


def write(
    checkpoint: Checkpoint, decoder: HasSizes | None, out: Path, vision: Vision | None = None, *, generates: bool = True
) -> None:
    """Write all of them into the staging folder; without sizes no genai_config.json, which has no words for such a model.

    What `generates` gets a generation_config.json.
    """
    made = _documents(checkpoint, decoder, vision, generates)
    for path in sources(checkpoint.folder):
        tokenizer_copy.copy(path, checkpoint.folder, out, made)
    for name, text in made.items():
        (out / name).write_text(text, "utf-8")


def size(
    checkpoint: Checkpoint, decoder: HasSizes | None, vision: Vision | None = None, *, generates: bool = True
) -> int:
    """Return the bytes of what `write` writes."""
    made, folder = _documents(checkpoint, decoder, vision, generates), checkpoint.folder
    copied = sum(path.stat().st_size for path in sources(folder) if path.relative_to(folder).as_posix() not in made)
    return copied + sum(len(text.encode()) for text in made.values())


def _documents(
    checkpoint: Checkpoint, decoder: HasSizes | None, vision: Vision | None, generates: bool
) -> dict[str, str]:
    """Return the files that are made and not copied, by name."""
    made = config_files(checkpoint, vision)
    config = made["config.json"]
    generation = checkpoint.generation_config or generation_config(checkpoint.config)
    made |= {"generation_config.json": generation} if generates else {}
    # onnxruntime-genai has one width for keys and values, and names of keys in any case
    if vision is None and decoder and decoder.value_dim == decoder.head_dim and decoder.remembering:
        made[GENAI] = genai_config(config, generation, decoder, tokenizer_ends(checkpoint.folder))
    return tokenizer_copy.written(checkpoint.folder) | {name: tokenizer_copy.dump(text) for name, text in made.items()}


def context_length(config: dict[str, Any]) -> int:
    """Return the most positions that a model has, by its config."""
    return next((config[key] for key in _LENGTHS if config.get(key)), _LENGTH)


def searched(key: str, stated: dict[str, Any]) -> Any:
    """Return a checkpoint's own choice of how tokens are picked, as onnxruntime-genai puts it; None if it states none.

    Args:
        key: of `SEARCHED`, or another of the file's section "search".
        stated: config.json and generation_config.json in one.
    """
    value = stated.get(key)
    if key == "top_k" and isinstance(value, int) and value < 0:
        return 0  # both mean that all tokens may be picked; onnxruntime-genai opens no file with a negative number
    return value


def _ids(value: Any) -> list[int]:
    return [token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int)]


def tokenizer_ends(folder: Path) -> list[int]:
    """Return the id of the tokenizer's end, which transformers and openvino_genai take where no config states one."""
    end = tokenizer_files.read(folder).id_of("eos")
    return [] if end is None else [end]


def genai_config(
    config: dict[str, Any], generation: dict[str, Any], decoder: HasSizes, ends: Sequence[int] = ()
) -> dict[str, Any]:
    """Describe the model as onnxruntime-genai (0.18) wants it.

    Args:
        config: config.json.
        generation: generation_config.json.
        decoder: the sizes of the model.
        ends: what ends a text where neither states it.
    """
    stated = {**config, **{k: v for k, v in generation.items() if v is not None}}
    ends = [token for token in _ids(stated.get("eos_token_id")) if token >= 0] or list(ends)
    first = [token for token in (*_ids(stated.get("pad_token_id")), *ends) if token >= 0]
    begins = [token for token in (*_ids(stated.get("bos_token_id")), *ends) if token >= 0]
    length = context_length(config)
    tokens = {  # of these it takes one number, and of ends a list too
        "bos_token_id": begins[0] if begins else None,
        "eos_token_id": ends if len(ends) > 1 else ends[0] if ends else None,
        "pad_token_id": first[0] if first else None,
    }
    search = {key: value for key in SEARCHED if (value := searched(key, stated)) is not None}
    return {
        "model": {
            "type": _GENAI_TYPE,
            "vocab_size": decoder.vocab_size,
            "context_length": length,
            **{key: value for key, value in tokens.items() if value is not None},
            "decoder": {
                "filename": MODEL,
                "session_options": {"provider_options": []},
                "head_size": decoder.head_dim,
                "hidden_size": decoder.hidden_size,
                "num_attention_heads": decoder.num_heads,
                "num_hidden_layers": keeping(decoder),
                "num_key_value_heads": decoder.num_kv_heads,
                **_layers(decoder),
                "inputs": {
                    **{name: name for name in ("input_ids", "attention_mask", "position_ids")},
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                    **{f"past_{kind}_names": f"past_{kind}.%d" for kind in _kinds(decoder)},
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                    **{f"present_{kind}_names": f"present_{kind}.%d" for kind in _kinds(decoder)},
                },
            },
        },
        "search": {
            "do_sample": bool(stated.get("do_sample", False)),
            "max_length": length,
            "past_present_share_buffer": False,
            **search,
        },
    }


def keeping(decoder: HasSizes) -> int:
    """Return the number of layers up to the last that keeps anything, which onnxruntime-genai takes for that of all."""
    return 1 + max([*decoder.remembering, *(state.layer for state in decoder.states)])


def _kinds(decoder: HasSizes) -> list[str]:
    return list(dict.fromkeys(state.kind for state in decoder.states))


def _layers(decoder: HasSizes) -> dict[str, Any]:
    """Say which layers keep keys and values, where some keep the inputs of a convolution alone."""
    if _kinds(decoder) != ["conv"]:
        return {}
    kinds = ["full_attention" if layer in decoder.remembering else "conv" for layer in range(decoder.num_layers)]
    return {"layer_types": kinds, "conv_cache_size": decoder.states[0].shape[-1]}
