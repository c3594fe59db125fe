"""Tiny checkpoints in the form of makers who bring code, beside the same model in transformers' own."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeconv.benchmarks.coverage.makers import rewrite

from . import tiny, tiny_chatglm

CODE = "raise SystemExit('run without consent')"
UNUSED = 4
"""Pieces that were kept free, behind <unk>, <s> and </s>; markers of a chat stand in their places."""
MARKERS = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'"
    " + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Kind:
    """A model_type of theirs, the model that it is to transformers, and what each states of its own."""

    theirs: str
    native: str
    own: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, Any] = field(default_factory=dict)


DYNAMIC = {"type": "dynamic", "factor": 2.0}
MUP = {"scale_emb": 12, "dim_model_base": 256, "scale_depth": 1.4}
GRANITE = {
    "embedding_multiplier": 12.0, "residual_multiplier": 1.4 / 2**0.5, "logits_scaling": 0.25, "attention_multiplier": 0.25,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "original_max_position_embeddings": 512,
    "short_factor": [1.0 + 0.1 * i for i in range(8)], "long_factor": [2.0 + i for i in range(8)],
}  # fmt: skip
ALWAYS = LONG | {"original_max_position_embeddings": 256, "rope_theta": 10000.0}
KINDS = {
    "internlm2": Kind("internlm2", "llama", {}, {"bias": False, "rope_scaling": DYNAMIC}),
    "internlm2 with biases": Kind("internlm2", "llama", {"attention_bias": True}, {"bias": True}),
    "internlm2, a key for each head": Kind("internlm2", "llama", {"num_key_value_heads": 4}, {"bias": False}),
    "internlm2, one key": Kind("internlm2", "llama", {"num_key_value_heads": 1}, {"bias": False}),
    "internlm3": Kind("internlm3", "llama", {}, {"rope_scaling": {"rope_type": "dynamic", "factor": 6.0}}),
    "internlm3 with biases of q, k and v": Kind("internlm3", "qwen2", {}, {"qkv_bias": True, "bias": False}),
    "internlm3 with biases": Kind(
        "internlm3", "llama", {"attention_bias": True, "mlp_bias": True}, {"qkv_bias": True, "bias": True}
    ),
    "minicpm": Kind("minicpm", "granite", GRANITE | {"tie_word_embeddings": True}, MUP),
    "minicpm, long factors always": Kind(
        "minicpm", "granite", GRANITE | {"rope_parameters": ALWAYS | {"short_factor": ALWAYS["long_factor"]}},
        MUP | {"tie_word_embeddings": False, "rope_scaling": {k: v for k, v in ALWAYS.items() if k != "rope_theta"}},
    ),
}  # fmt: skip
_SHARED = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "max_position_embeddings", "rms_norm_eps", "hidden_act", "eos_token_id", "pad_token_id",
)  # fmt: skip


def make(kind: str, folder: Path, *, native: Path | None = None, pieces: bool = False, **stated: Any) -> Path:
    """Write a checkpoint of `KINDS` and return its folder.

    Args:
        kind: of them.
        folder: made if absent.
        native: where the same model goes in transformers' form, if it is wanted.
        pieces: its vocabulary is a tokenizer.model alone, and the model has no more rows than that has pieces.
        stated: further fields of config.json.
    """
    one = KINDS[kind]
    rows = {"vocab_size": tiny_chatglm.PIECES + 8, "eos_token_id": 2, "pad_token_id": 2} if pieces else {}
    tiny.make(one.native, folder, dtype="float32", **one.own, **rows)
    if native:
        shutil.copytree(folder, native)
    config = json.loads((folder / "config.json").read_text())
    shared = {key: config[key] for key in _SHARED}
    code = {"AutoConfig": "configuration_own.Config", "AutoModelForCausalLM": "modeling_own.Model"}
    rewrite(
        folder, {"model_type": one.theirs, "auto_map": code, **shared, "rope_theta": 10000.0, **one.stated, **stated}
    )
    for name in ("configuration_own", "modeling_own", "tokenization_own"):
        (folder / f"{name}.py").write_text(CODE)
    if pieces:
        _only_pieces(folder)
    else:
        path = folder / "tokenizer_config.json"
        stated_there = json.loads(path.read_text())
        stated_there |= {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_own.T", None]}}
        path.write_text(json.dumps(stated_there))
    return folder


def _only_pieces(folder: Path) -> None:
    """Leave a tokenizer.model alone, with markers in the places of pieces that were kept free, as InternLM2 has them."""
    for name in tiny.TOKENIZER_FILES:
        (folder / name).unlink(missing_ok=True)
    free = ",".join(f"[UNUSED_TOKEN_{number}]" for number in range(UNUSED))
    (folder / "tokenizer.model").write_bytes(tiny_chatglm.pieces(user_defined_symbols=free))
    texts = ("<unk>", "<s>", "</s>", *MARKERS)
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    added = {str(number): {"content": text, **flags} for number, text in enumerate(texts)}
    config = {
        "added_tokens_decoder": added, "additional_special_tokens": list(MARKERS), "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "pad_token": "</s>", "chat_template": TEMPLATE, "clean_up_tokenization_spaces": False,
        "tokenizer_class": "InternLM2Tokenizer", "auto_map": {"AutoTokenizer": ["tokenization_own.T", None]},
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 4], "pad_token_id": 2}))
