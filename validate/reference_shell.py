"""The model of transformers around a layered reference, without a weight, and how it computes attention."""

from __future__ import annotations

from typing import Any

from ..core.errors import ConversionError
from ..core.lean_transformers import import_models
from ..core.mended_models import mended

FAST, PLAIN = "sdpa", "eager"
"""transformers' names of two ways to compute attention; the first needs no matrix of all scores."""
_NEEDS_PLAIN = ("attn_logit_softcapping", "attention_sinks", "sinks")
"""What torch's fast attention leaves out without a word: fields of a config, or parameters of a module."""


def shell(config: Any, attention: str | None = None) -> Any:
    """Build the causal language model on torch's "meta" device, in evaluation mode.

    `attention` is transformers' name of an implementation; None: the one that `attention_of` says.
    """
    import torch

    import_models()
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention or PLAIN).eval()
        if attention is None and (chosen := attention_of(model)) != PLAIN:  # some classes fix it when they are built
            model = AutoModelForCausalLM.from_config(config, attn_implementation=chosen).eval()
    return mended(model)


def attention_of(model: Any) -> str:
    """Return "sdpa" where torch's fast attention computes all that a model's attention does, else "eager"."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_sdpa", False) or any(getattr(config, name, None) for name in _NEEDS_PLAIN):
        return PLAIN
    parameters = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    return PLAIN if parameters & set(_NEEDS_PLAIN) else FAST


NORMS = ("norm", "embedding_norm", "final_layernorm")
"""What transformers calls the last norm."""


def norm_of(body: Any) -> str:
    """Return the name of a decoder's last norm."""
    return next((name for name in NORMS if hasattr(body, name)), NORMS[0])


def require_layers(model: Any) -> Any:
    """Return the decoder inside a model.

    Raises:
        ConversionError: its parts are not where a layered reference looks for them.
    """
    body = getattr(model, "model", None)
    parts = ("embed_tokens", "layers", norm_of(body))
    if not all(hasattr(body, part) for part in parts) or not hasattr(model, "lm_head"):
        raise ConversionError(
            f"The reference of model_type {model.config.model_type} cannot be run layer by layer.",
            f"Decoders whose parts transformers calls {', '.join(parts)} and lm_head can be validated.",
        )
    return body
