"""Which type each tensor gets: llama-quantize's rules, in its order.

Source: `src/llama-quant.cpp` of llama.cpp (`tensor_allows_quantization`, `llama_tensor_get_type_impl`, `tensor_type_fallback`),
for the file types and architectures that we write. The rules count layers as they go, so tensors must come in the file's order.
tests/convert/gguf/test_mix.py compares every choice with llama-quantize's own.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ...core.errors import UsageError
from ...core.patterns import found
from ...quantize.ggml.types import TYPES, Type
from .model import KERNELS
from .recipe import FILE_TYPES, Recipe


class Shaped(Protocol):
    """What the rules look at."""

    @property
    def name(self) -> str:
        """Name in the file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Slowest dimension first."""


@dataclass(frozen=True)
class Facts:
    """What the rules ask about the model beside its tensors.

    Attributes:
        layers: blocks.
        heads_per_kv: query heads that share a key head.
        experts: number of experts; 0: there are none.
        delicate: tensors that get no fewer than eight bits unless the user names them.
        rescaled: tensors that hold the checkpoint's values times a number: 16 bits would round them anew.
        is_70b: llama.cpp takes it for a model of "type 70B" (80 layers of Llama with shared key heads, or of Qwen2).
    """

    layers: int
    heads_per_kv: int
    is_70b: bool = False
    experts: int = 0
    delicate: frozenset[str] = frozenset()
    rescaled: frozenset[str] = frozenset()


@dataclass
class _State:
    """How far the layers have been counted."""

    facts: Facts
    recipe: Recipe
    has_importance: bool
    tied: bool
    values: int
    value: int = 0
    downs: int = 0
    named: dict[str, str] = field(default_factory=dict)
    """Tensor → the type that the first of the user's expressions gives it."""
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    """What gave way to what → the tensors."""


@dataclass(frozen=True)
class Mix:
    """The result: tensor → type, and what had to give way because of its width."""

    types: dict[str, Type]
    fallbacks: tuple[str, ...]


def order(name: str) -> tuple[int, str]:
    """Return the key by which llama-quantize sorts tensors: outer ones first, then block by block, each by name."""
    inside = re.match(r"blk\.(\d+)\.", name)
    return (int(inside[1]) if inside else -1, name)


def assign(
    tensors: Iterable[tuple[Shaped, str]], facts: Facts, recipe: Recipe, importance: Container[str] | None = None
) -> Mix:
    """Choose a type for every tensor.

    Args:
        tensors: in any order; each with its type in the checkpoint, which a matrix keeps that is not to be quantized.
        facts: about the model.
        recipe: what the user asks.
        importance: names that have an importance vector; None: there is no importance matrix.

    Raises:
        UsageError: a type that the user named does not fit a tensor's width.
    """
    ordered = sorted(tensors, key=lambda pair: order(pair[0].name))
    categories = [_category(tensor.name) for tensor, _ in ordered]
    state = _State(
        facts,
        recipe,
        has_importance=importance is not None,
        tied="output" not in categories,
        values=sum(category in _VALUE_LIKE for category in categories),
        named=_named([tensor.name for tensor, _ in ordered], recipe),
    )
    types = {}
    for (tensor, stored), category in zip(ordered, categories, strict=True):
        types[tensor.name] = TYPES[_choose(tensor, stored, category, state)]
    return Mix(types, tuple(f"{_listed(names)}: {why}" for why, names in state.fallbacks.items()))


def _named(names: list[str], recipe: Recipe) -> dict[str, str]:
    """Return tensor → type for what the user's expressions are found in; case does not matter, and the first one counts."""
    patterns = [pattern for pattern, _ in recipe.tensor_types]
    named: dict[str, str] = {}
    for (_, kind), some in zip(
        recipe.tensor_types, found(patterns, names, "--tensor-type", ignore_case=True), strict=True
    ):
        named = dict.fromkeys(some, kind) | named
    return named


_CATEGORIES = (
    ("attn_qkv.weight", "qkv"),
    ("attn_v.weight", "v"),
    ("attn_k.weight", "k"),
    ("attn_q.weight", "q"),
    ("attn_output.weight", "attn_output"),
    ("ffn_up", "up"),
    ("ffn_gate", "gate"),
    ("ffn_down", "down"),
)
_VALUE_LIKE = ("v", "qkv")


def _category(name: str) -> str:
    if name in ("output.weight", "token_embd.weight", "per_layer_token_embd.weight"):
        return name.removesuffix(".weight").removeprefix("per_layer_")
    return next((category for part, category in _CATEGORIES if part in name), "other")


_ROUTER = "ffn_gate_inp.weight"
_KEPT = (
    "_norm.weight",
    _ROUTER,
    "position_embd.weight",
    "token_types.weight",
    "dense_2.weight",
    "dense_3.weight",
    *KERNELS,
)
"""Matrices of these names are not quantized."""


_FLOAT32 = ("_exps.bias", ".ssm_a", ".ssm_d")
"""What is float32 whatever shape it has."""
_AS_STORED = "per_layer_model_proj"
"""What llama-quantize leaves in the type that it has."""


def quantizable(tensor: Shaped) -> bool:
    """True for matrices that are not norms; a matrix of one row counts as a vector, as it does for ggml."""
    if _AS_STORED in tensor.name:
        return False
    is_matrix = len(tensor.shape) > 1 and any(size > 1 for size in tensor.shape[:-1])
    return is_matrix and tensor.name.endswith("weight") and not any(part in tensor.name for part in _KEPT)


def _choose(tensor: Shaped, stored: str, category: str, state: _State) -> str:
    recipe = state.recipe
    if len(tensor.shape) < 2 or any(part in tensor.name for part in _KEPT) or tensor.name.endswith(_FLOAT32):
        return "f32"  # llama.cpp's converter writes these so
    if not quantizable(tensor) or (category == "output" and recipe.leave_output):
        return stored
    named = {"token_embd": recipe.token_embedding_type, "output": recipe.output_type}.get(category)
    if named:
        return _require_fit(tensor, named)
    if not TYPES[recipe.base].quantized:
        return "f32" if tensor.name in state.facts.rescaled else recipe.base
    if tensor.name in state.named:
        return _fallback(tensor, _as_asked(tensor, state.named[tensor.name], state), state)
    chosen = recipe.base if recipe.pure else _mixed(tensor, category, state)
    if tensor.name in state.facts.delicate and bits(chosen) < _EIGHT:
        chosen = "q8_0"
    return _fallback(tensor, chosen, state)


_EIGHT = 8


def bits(kind: str) -> float:
    """Return the bits of an element of a type, scales included."""
    return TYPES[kind].bytes * 8 / TYPES[kind].block


def _as_asked(tensor: Shaped, kind: str, state: _State) -> str:
    """Return the type that the user names, and remember where it is too coarse."""
    if tensor.name in state.facts.delicate and bits(kind) < _EIGHT:
        why = f"{kind} as asked for, where a recurrence wants eight bits: its errors add up"
        state.fallbacks.setdefault(why, []).append(tensor.name)
    return kind


_FEW_EXPERTS = 8
"""Experts of Mixtral 8x7B, beside which attention is so small that it gets more bits."""
_FINER_OUTPUT = ("q2_k", "q3_k_s", "q3_k_m", "iq4_nl", "q4_k_s", "q4_k_m", "iq4_xs")


def _mixed(tensor: Shaped, category: str, state: _State) -> str:
    """Apply the file type's own rules."""
    if category == "output" or (category == "token_embd" and state.tied):
        return _output(tensor, state)
    if category in _VALUE_LIKE:
        chosen = "q8_0" if state.facts.experts == _FEW_EXPERTS else _value(state)
        state.value += 1
        return chosen
    if category == "down":
        chosen = _down(state, order(tensor.name)[0] if state.facts.experts > 1 else state.downs)
        state.downs += 1
        return chosen
    file_type, base = state.recipe.file_type, state.recipe.base
    finer: dict[str, str] = {}
    if category == "attn_output":
        finer = {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}
    if state.facts.experts == _FEW_EXPERTS and category in ("k", "attn_output"):
        finer = dict.fromkeys(FILE_TYPES, "q8_0") if category == "k" else dict.fromkeys(_FINER_OUTPUT, "q5_k")
    return finer.get(file_type, base)


def _output(tensor: Shaped, state: _State) -> str:
    """The output matrix, or the embedding in its place: finer than the rest."""
    if state.recipe.output_type:
        return state.recipe.output_type
    base = state.recipe.base
    if not TYPES[base].fits(tensor.shape[-1]):
        return "q8_0"
    return base if base == "q8_0" else "q6_k"


def _value(state: _State) -> str:
    """V, or Q, K and V in one: more bits where they cost little, because several heads share it, or help much."""
    file_type, at, shared = state.recipe.file_type, state.value, state.facts.heads_per_kv >= 4
    chosen = state.recipe.base
    if file_type == "q2_k":
        chosen = "q4_k" if shared else "q3_k"
    elif file_type == "q3_k_m":
        chosen = "q5_k" if at < 2 else "q4_k"
    elif file_type == "q3_k_l" or (file_type in ("iq4_nl", "iq4_xs") and shared):
        chosen = "q5_k"
    elif file_type in ("q4_k_m", "q5_k_m") and _more_bits(at, state.values):
        chosen = "q6_k"
    elif file_type == "q4_k_s" and at < 4:
        chosen = "q5_k"
    if state.facts.is_70b and chosen in ("q3_k", "q4_k"):
        return "q5_k"
    return chosen


def _down(state: _State, at: int) -> str:
    """The MLP's second matrix: more bits in the first and last layers; `at` is its layer's number."""
    base, layers = state.recipe.base, state.facts.layers
    first = at < layers // 8
    more = "q6_k" if _more_bits(at, layers) else base
    small = "q5_k" if first and not state.has_importance else base
    return {
        "q2_k": "q3_k",
        "q3_k_m": "q5_k" if at < layers // 16 else "q4_k",
        "q3_k_l": "q5_k",
        "q4_k_m": more,
        "q5_k_m": more,
        "q4_k_s": "q5_k" if first else base,
        "iq4_nl": small,
        "iq4_xs": small,
        "q4_0": "q4_1" if first and state.has_importance else base,
        "q5_0": "q5_1" if first and state.has_importance else base,
    }.get(state.recipe.file_type, base)


def _more_bits(at: int, of: int) -> bool:
    """`use_more_bits`: the first and the last eighth, and each third layer between."""
    return at < of // 8 or at >= 7 * of // 8 or (at - of // 8) % 3 == 2


NARROWER = {
    "iq4_xs": "iq4_nl", "q2_k": "q4_0", "q3_k": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0",
}  # fmt: skip
"""What takes the place of types whose blocks do not divide a row (`tensor_type_fallback`)."""


def _fallback(tensor: Shaped, kind: str, state: _State) -> str:
    """Give way to a type of smaller blocks, or to f16, where a row is not a whole number of blocks."""
    cols = tensor.shape[-1]
    if TYPES[kind].fits(cols):
        return kind
    other = NARROWER.get(kind, kind)
    other = other if TYPES[other].fits(cols) else "f16"
    why = f"{other} in place of {kind}, whose blocks of {TYPES[kind].block} do not divide {cols}"
    state.fallbacks.setdefault(why, []).append(tensor.name)
    return other


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} tensors ({names[0]} … {names[-1]})"


def _require_fit(tensor: Shaped, kind: str) -> str:
    if not TYPES[kind].fits(tensor.shape[-1]):
        raise UsageError(
            f"{tensor.name} has rows of {tensor.shape[-1]}, which {kind} with its blocks of {TYPES[kind].block} cannot store.",
            "Choose a type of smaller blocks, such as q8_0 (32), or f16.",
        )
    return kind
