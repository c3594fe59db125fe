"""A decoder as llama.cpp knows it, by GGUF names, keys and constants: what any family's description becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from ...core.errors import CheckpointError
from ..alternatives import InexpressibleError
from ..gguf_held import AS_IT_IS, Held
from ..gguf_values import Value, f32, u32
from ..program.decoder import HEAD, Decoder
from ..program.description import TABLE, Names, Norms
from ..program.experts import ROLES, Experts
from ..program.piece import WHOLE, Piece
from ..stacks import iter_numbered
from .body import Body

_OUTER = {
    "model.embed_tokens": "token_embd",
    "model.embed_tokens_per_layer": "per_layer_token_embd",
    "model.per_layer_model_projection": "per_layer_model_proj",
    "model.per_layer_projection_norm": "per_layer_proj_norm",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_BLOCK = {
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj",
    "post_per_layer_input_norm": "post_norm",
}
"""Modules of a block in transformers, and llama.cpp's names for their tensors (`gguf-py/gguf/tensor_mapping.py`)."""
KERNELS = ("ssm_conv1d.weight", "shortconv.conv.weight")
"""Ends of names of convolutions of each channel by itself: float32 [channels, taps], whatever the rest is stored as."""
_IN_BLOCK = re.compile(r"model\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file, and where it comes from.

    Attributes:
        name: in the file.
        shape: [rows, cols] or [n], slowest first.
        source: name in the checkpoint; None for a constant that the config implies.
        head_dim: rows of a head if the rows of each head are to be reordered from halves (i, i + d/2) to neighbors
            (2i, 2i + 1); 0: rows stay as they are.
        plus: what is added to each element.
        held: what else is otherwise than in the checkpoint.
        values: float32, the constant itself if there is no source.
        piece: the part of the source that it is.
    """

    name: str
    shape: tuple[int, ...]
    source: str | None
    head_dim: int = 0
    plus: float = 0.0
    held: Held = AS_IT_IS
    values: npt.NDArray[Any] | None = field(default=None, compare=False)
    piece: Piece = WHOLE

    @property
    def inputs(self) -> int:
        """Numbers that an importance matrix has for it: of a row, or of a row of each expert's matrix."""
        return self.shape[-1] * (self.shape[0] if len(self.shape) == 3 else 1)


@dataclass(frozen=True)
class Model:
    """A decoder, or an encoder, in llama.cpp's terms.

    Attributes:
        arch: general.architecture.
        decoder: its numbers.
        context: positions that it was made for.
        tensors: all of them, in no order.
        keys: the keys of the architecture, by their full names.
        skipped_tensors: patterns of tensors in the checkpoint that belong to no language model (a vision half).
        notes: where llama.cpp departs from the config.
    """

    arch: str
    decoder: Body
    context: int
    tensors: tuple[Tensor, ...]
    keys: Mapping[str, Value]
    skipped_tensors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def model(
    arch: str,
    decoder: Decoder,
    context: int,
    *,
    keys: Mapping[str, Value] | None = None,
    constants: Mapping[str, npt.NDArray[Any]] | None = None,
    names: Mapping[str, str] | None = None,
    joined: Mapping[str, str] | None = None,
    keys_of_all: bool = False,
    held: Mapping[str, Held] | None = None,
    split: Mapping[str, Mapping[str, Held]] | None = None,
    permute_qk: bool = False,
    norm_offset: float = 0.0,
    skipped_tensors: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Model:
    """Put a description together.

    Args:
        arch: general.architecture.
        decoder: its numbers.
        context: positions that it was made for.
        keys: keys of this family beside the common ones, without "ARCH." in front.
        constants: float32 tensors that the config implies, by GGUF name.
        names: modules of a block → names in the file, where they are not the common ones.
        joined: as of `Family`: tensors that the file has as one, a dimension more.
        keys_of_all: as of `Gguf`.
        held: how the file holds tensors otherwise, by their names behind a layer's prefix; a tied head's makes it
            a tensor of its own.
        split: tensors that the file holds in several: name behind a layer's prefix → name in the block → how.
        permute_qk: the rows of q and k are to be reordered.
        norm_offset: what the checkpoint leaves out of the weights of its norms.
        skipped_tensors: as in `Model`.
        notes: as in `Model`.
    """
    own, roles = held or {}, _norms(decoder.norms) | _mlp(decoder.names)
    block = {**_BLOCK, **roles, **_experts(decoder), **(names or {})}
    shapes = decoder.tensors() | (decoder.passed_over() if keys_of_all else {})
    turned = decoder.head_dim if permute_qk else 0
    tensors: list[Tensor] = []
    for source, shape in _joined(shapes, joined or {}).items():
        inside = _IN_BLOCK.fullmatch(source)
        if inside and inside[2] in (split or {}):
            parts = (split or {})[inside[2]].items()
            tensors += [Tensor(f"blk.{inside[1]}.{part}", how.shape(shape), source, held=how) for part, how in parts]
        else:
            how = own.get(inside[2] if inside else source, AS_IT_IS)
            tensors.append(
                _tensor(source, gguf_name(source, block), shape, how, turned=turned, norm_offset=norm_offset)
            )
    if decoder.tied and HEAD in own:  # its rows are other numbers than the table's
        tensors.append(Tensor("output.weight", (decoder.vocab_size, decoder.hidden_size), TABLE, held=own[HEAD]))
    tensors += [Tensor(name, values.shape, None, values=values) for name, values in (constants or {}).items()]
    stated = common_keys(decoder, context) | dict(keys or {})
    return Model(
        arch, decoder, context, tuple(tensors), {f"{arch}.{k}": v for k, v in stated.items()}, skipped_tensors, notes
    )


def _tensor(source: str, name: str, shape: tuple[int, ...], held: Held, *, turned: int, norm_offset: float) -> Tensor:
    """Place one tensor; `turned` is the width of the heads whose rows are reordered in q and k, or 0."""
    return Tensor(
        name=name,
        shape=held.lies or _shape(name, shape),
        source=source,
        head_dim=turned if re.search(r"\.attn_[qk]\.", name) else 0,
        plus=norm_offset if name.endswith("_norm.weight") and not held.whole else 0.0,
        held=held,
    )


def _joined(shapes: Mapping[str, tuple[int, ...]], joined: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Put one tensor in the place of those of a pattern, one behind another."""
    left, made = dict(shapes), {}
    for name, pattern in joined.items():
        parts = [left.pop(part) for part in iter_numbered(pattern, shapes)]
        if parts:
            made[name] = (len(parts), *parts[0])
    return left | made


def common_keys(decoder: Decoder, context: int) -> dict[str, Value]:
    """Return the keys that every architecture has; all of them are stated, so that no reader has to guess."""
    experts = next((one for one in decoder.experts if one), None)
    return {
        **(_expert_keys(experts) if experts else {}),
        "vocab_size": u32(decoder.vocab_size),
        "context_length": u32(context),
        "embedding_length": u32(decoder.hidden_size),
        "block_count": u32(decoder.num_layers),
        "feed_forward_length": u32(decoder.intermediate_size),
        "attention.head_count": u32(decoder.num_heads),
        "attention.head_count_kv": u32(decoder.num_kv_heads),
        "attention.key_length": u32(decoder.head_dim),
        "attention.value_length": u32(decoder.head_dim),
        decoder.gguf_epsilon: f32(decoder.rms_norm_eps),
        "rope.dimension_count": u32(decoder.rope.dim),
        "rope.freq_base": f32(decoder.rope.theta),
    }


def _expert_keys(experts: Experts) -> dict[str, Value]:
    shared = experts.shared
    return {
        "expert_count": u32(experts.count),
        "expert_used_count": u32(experts.used),
        "expert_feed_forward_length": u32(experts.width),
        **({"expert_shared_feed_forward_length": u32(shared.width)} if shared else {}),
    }


def _experts(decoder: Decoder) -> dict[str, str]:
    """Return llama.cpp's names of the modules of experts, by those in the checkpoint."""
    names: dict[str, str] = {}
    for experts in filter(None, decoder.experts):
        names[experts.stored.router] = "ffn_gate_inp"
        names |= {f"{experts.stored.module}.experts.{role}_proj": f"ffn_{role}_exps" for role in ROLES}
        if experts.shared:
            names |= {f"{experts.shared.module}.{role}_proj": f"ffn_{role}_shexp" for role in ROLES}
            if experts.shared.gate:
                names[experts.shared.gate] = "ffn_gate_inp_shexp"
        if experts.correction:
            names[experts.correction] = "exp_probs_b.bias"
    return names


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in the file: biases of experts without a dimension of 1, the gate of a shared one as a vector."""
    if name.endswith("_exps.bias"):
        return (shape[0], shape[2])
    if name.endswith("exp_probs_b.bias"):
        return shape[-1:]
    if name.endswith(KERNELS):
        return (shape[0], shape[2])
    return shape[1:] if name.endswith("ffn_gate_inp_shexp.weight") else shape


def _norms(norms: Norms) -> dict[str, str]:
    """Return llama.cpp's names of a layer's norms, by the modules in the checkpoint."""
    places = {
        norms.before_attention: "attn_norm",
        norms.after_attention: "post_attention_norm",
        norms.before_mlp: "ffn_norm",
        norms.after_mlp: "post_ffw_norm",
    }
    return {module: name for module, name in places.items() if module is not None}


def _mlp(names: Names) -> dict[str, str]:
    """Return llama.cpp's names of the modules of a dense MLP, by those in the checkpoint."""
    gate = {names.gate: "ffn_gate"} if names.gate else {}
    return {**gate, names.up: "ffn_up", names.down: "ffn_down"}


def gguf_name(source: str, block: Mapping[str, str]) -> str:
    """Return llama.cpp's name of a tensor of transformers."""
    module, _, kind = source.rpartition(".")
    whole = _IN_BLOCK.fullmatch(source)
    if whole and whole[2] in block:  # a tensor that is no module's weight or bias
        return f"blk.{whole[1]}.{block[whole[2]]}"
    inside = _IN_BLOCK.fullmatch(module)
    if inside:
        return f"blk.{inside[1]}.{block[inside[2]]}.{kind}"
    return f"{block.get(module) or _OUTER[module]}.{kind}"


def refuse(reason: str, hint: str | None = None) -> CheckpointError:
    """Return the error for a config that llama.cpp cannot run."""
    return InexpressibleError(f"llama.cpp cannot run this model: {reason}.", hint)
