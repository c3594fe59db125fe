"""Is the layered reference the model? It is held against the whole model, in plain attention, once for each kind of config.

Both run a small model of random weights of the same family and features: every field of the checkpoint's config but its sizes.
What transformers' layers need and the layered reference does not know of (a cap, another norm, an argument between layers) shows
there, before a verdict stands on it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from ..convert.native_config import read_config
from ..core.errors import ConversionError
from ..core.kept import Kept
from ..core.mended_models import mended
from ..core.progress import Progress, Silent
from .handed_on import is_needed
from .loaded_names import seen_names
from .reference import LayeredReference
from .reference_shell import PLAIN, class_of, sees, structure

TOKENS = 32
LIMIT = 2e-3
"""Largest difference of two logits, in standard deviations of the logits: rounding makes 1e-6 to 1e-4, a lost cap 0.1."""
_VOCABULARY, _HIDDEN, _INNER, _EXPERTS, _WINDOW = 128, 64, 96, 4, 8
_UNEVEN = 19
"""Tokens of the first of the documents that share a row: another number than that of the next."""
_GAIN = 3.0
"""Times the usual width of attention's weights, so that scores are as large as a trained model's and caps bend them."""


def require(folder: Path, progress: Progress | None = None) -> bool:
    """Hold the layered reference of a checkpoint's config against the whole model; a success is remembered.

    Returns:
        Whether documents may share a row (`rows`).

    Raises:
        ConversionError: they differ, or the reference cannot run such a model.
    """
    config = read_config(folder)
    kept = Kept("self-check", {"config": config.to_dict() | {"_name_or_path": None}}, progress or Silent())
    if kept.get("difference") is None:
        kept.put("difference", difference(config))
    shares = kept.get("documents share rows")
    if shares is None:
        shares = may_share(config)
        kept.put("documents share rows", shares)
    return bool(shares)


def difference(config: Any) -> float:
    """Run both over TOKENS tokens on a small model of transformers' `config`.

    Returns:
        The largest difference of two logits, in standard deviations.

    Raises:
        ConversionError: it is above LIMIT; or transformers itself cannot run such a model.
    """
    ids = np.random.default_rng(0).integers(0, _VOCABULARY // 2, TOKENS).tolist()
    small, model, expected = _whole(config, ids)
    state = _state(model)
    reference = LayeredReference(small, lambda name: state[name])
    (states,) = reference.hidden_states([ids], Silent(), "self-check")
    made = reference.head().logits(states)
    apart = float(np.abs(made - expected).max() / expected.std())
    if not apart <= LIMIT:
        raise ConversionError(
            f"The torch reference is not the model: of a small random {config.model_type} with this config.json, run layer by "
            f"layer with attention {reference.attention!r}, a logit is {apart:.2g} standard deviations off the whole model's.",
            "No verdict can stand on it. This is a fault of edgeconv; please report it with the config.json.",
        )
    return apart


def _state(model: Any) -> dict[str, Any]:
    """Return a model's tensors by the names by which checkpoints are seen here."""
    seen = seen_names(model.config)
    return {seen(name): tensor for name, tensor in model.state_dict().items()}


def may_share(config: Any) -> bool:
    """Say whether documents in one row come out as each alone, on a small model of transformers' `config`."""
    ids = np.random.default_rng(1).integers(0, _VOCABULARY // 2, 2 * TOKENS).tolist()
    documents = [ids[:_UNEVEN], ids[_UNEVEN:TOKENS], ids[TOKENS:]]
    small, model, _ = _whole(config, ids[:1])
    state = _state(model)
    reference = LayeredReference(small, lambda name: state[name])
    apart = reference.hidden_states(documents, Silent(), "self-check")
    try:
        together = reference.hidden_states(documents, Silent(), "self-check", row=len(ids))
    except Exception:  # noqa: BLE001 - what a model raises that counts positions otherwise says no; each alone still runs
        return False
    scale = float(np.concatenate(apart).std())
    return all(float(np.abs(a - b).max()) <= LIMIT * scale for a, b in zip(apart, together, strict=True))


def _whole(config: Any, ids: list[int]) -> tuple[Any, Any, Any]:
    """Run a whole small model: return its config, itself, and float32 logits [n, vocabulary]."""
    import torch

    problem: Exception | None = None
    for small in (_narrow(config), _shallow(config)):
        try:
            model = _random(small)
            with torch.no_grad():
                through = is_needed(small.get_text_config(), structure(model).first_layer)
                logits = model(input_ids=torch.tensor([ids]), use_cache=through).logits[0].float().numpy()
        except Exception as error:  # noqa: BLE001 - sizes of some families hang together: the larger one is tried
            problem = error
        else:
            return small, model, logits
    raise ConversionError(
        f"transformers cannot run a small {config.model_type} with this config.json: {problem}.",
        "Its fields do not fit together, or not this version of transformers.",
    ) from problem


def _narrow(config: Any) -> Any:
    """Return a copy with small sizes in every direction; what rotary embeddings depend on, the heads' width, stays."""
    text, made = config.get_text_config(), _shallow(config)
    inner = made.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    if not heads:
        return _narrow_scans(made)
    ratio = max(1, heads // (getattr(text, "num_key_value_heads", None) or heads))
    inner.num_attention_heads, inner.num_key_value_heads = 2 * ratio, 2
    own = getattr(text, "head_dim", None)
    inner.hidden_size = _HIDDEN if own else text.hidden_size // heads * 2 * ratio
    _at_most(inner, "num_global_key_value_heads", 1)
    for name in ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size"):
        _at_most(inner, name, _INNER)
    for name in ("num_experts", "num_local_experts", "n_routed_experts"):
        _at_most(inner, name, _EXPERTS)
    _at_most(inner, "num_experts_per_tok", _EXPERTS // 2)
    widths = getattr(inner, "intermediate_size", None)
    if isinstance(widths, list):
        inner.intermediate_size = [min(width, _INNER) for width in widths]
    if hasattr(inner, "mamba_n_heads"):
        inner.mamba_n_heads = inner.mamba_expand * inner.hidden_size // inner.mamba_d_head
    return made


def _narrow_scans(config: Any) -> Any:
    """Make a config without attention narrow; the heads' width and their groups stay."""
    inner = config.get_text_config()
    if hasattr(inner, "num_heads"):
        inner.num_heads = inner.n_groups
        inner.hidden_size = inner.num_heads * inner.head_dim // inner.expand
    return config


def _at_most(config: Any, name: str, limit: int) -> None:
    if isinstance(getattr(config, name, None), int):
        setattr(config, name, min(getattr(config, name), limit))


def _shallow(config: Any) -> Any:
    """Return a copy of a config with few tokens, a short window, and no more layers than hold each kind of layer."""
    import torch

    made = copy.deepcopy(config)
    text = made.get_text_config()
    kinds = getattr(text, "layer_types", None)
    depth = min(2, text.num_hidden_layers)
    if kinds:
        depth = max(depth, *(kinds.index(kind) + 1 for kind in kinds))
    kept = [*range(depth), *_sharing(text, kinds)]
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == text.num_hidden_layers:
            setattr(text, name, [value[layer] for layer in kept])
    if hasattr(text, "num_kv_shared_layers"):
        text.num_kv_shared_layers = len(kept) - depth
    text.num_hidden_layers = len(kept)
    _at_most(text, "vocab_size_per_layer_input", _VOCABULARY)
    text.vocab_size = min(text.vocab_size, _VOCABULARY)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(text, name, None)
    if sees(made):
        text.pad_token_id = 0  # some put it into the places of pictures
    _at_most(text, "sliding_window", _WINDOW)
    for name in ("num_hidden_layers", "depth"):  # of a vision part, which no word enters
        _at_most(getattr(made, "vision_config", None), name, 1)
    made.dtype = text.dtype = torch.float32
    return made


def _sharing(text: Any, kinds: list[str] | None) -> list[int]:
    """Return the first layer of each kind of those that read the keys and values of others."""
    first = text.num_hidden_layers - (getattr(text, "num_kv_shared_layers", None) or 0)
    rest = range(first, text.num_hidden_layers)
    return [first + kinds[first:].index(kind) for kind in dict.fromkeys(kinds[first:])] if kinds else list(rest[:1])


def _random(config: Any) -> Any:
    """Build the whole model in plain attention, with weights of which every one shows."""
    import torch

    made = class_of(config).from_config(copy.deepcopy(config), attn_implementation=PLAIN, dtype=torch.float32)
    model = mended(made.eval())
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.ndim < 2:
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(noise * ((_GAIN if "attn" in name else 1.0) / parameter.shape[-1] ** 0.5))
    return model
