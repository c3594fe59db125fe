"""The model of transformers around a layered reference, without a weight, and how it computes attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import ConversionError
from ..core.lean_transformers import import_models
from ..core.mended_models import mended

FAST, PLAIN = "sdpa", "eager"
"""transformers' names of two ways to compute attention; the first needs no matrix of all scores."""
_NEEDS_PLAIN = ("attn_logit_softcapping", "attention_sinks", "sinks", "alibi")
"""What torch's fast attention, or transformers with it, leaves out without a word: fields of a config, parameters of a module."""


def shell(config: Any, attention: str | None = None, dtype: str = "float32") -> Any:
    """Build the model on torch's "meta" device, in evaluation mode: a causal language model, or one that takes pictures too.

    Args:
        config: of transformers.
        attention: transformers' name of an implementation; None: the one that `attention_of` says.
        dtype: torch's name of the type of its weights, and of the factors that it keeps beside them.
    """
    import torch

    kind, made = getattr(torch, dtype), class_of(config)
    with torch.device("meta"):
        model = made.from_config(config, attn_implementation=attention or PLAIN, dtype=kind).eval()
        if attention is None and (chosen := attention_of(model)) != PLAIN:  # some classes fix it when they are built
            model = made.from_config(config, attn_implementation=chosen, dtype=kind).eval()
    return mended(model)


def class_of(config: Any) -> Any:
    """Return transformers' class that builds the model of a config."""
    import_models()
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


def sees(config: Any) -> bool:
    """Tell whether transformers has a model for a config that takes pictures."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return hasattr(config, "vision_config") and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def attention_of(model: Any) -> str:
    """Return "sdpa" where torch's fast attention computes all that a model's attention does, else "eager"."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_sdpa", False) or any(getattr(config, name, None) for name in _NEEDS_PLAIN):
        return PLAIN
    parameters = {name.rpartition(".")[2] for name, _ in model.named_parameters()}
    return PLAIN if parameters & set(_NEEDS_PLAIN) else FAST


@dataclass(frozen=True)
class Structure:
    """Where the parts of a causal language model lie, found by what they are, not by what a family calls them.

    Attributes:
        whole: what calls the decoder: of a model that takes pictures, what puts them among the words; else the decoder itself.
        body: the decoder, which calls the layers.
        prefix: what the names of its tensors begin with.
        layers: its name of the list of layers.
        table: the name of the module that looks tokens up, from the model on.
        head: the same of the last projection.
    """

    whole: Any
    body: Any
    prefix: str
    layers: str
    table: str
    head: str

    @property
    def first_layer(self) -> Any:
        """The first layer."""
        return getattr(self.body, self.layers)[0]


def structure(model: Any) -> Structure:
    """Find the layers, the table and the head.

    Raises:
        ConversionError: no list of modules is as long as the config says there are layers, or no decoder calls it.
    """
    import torch
    from transformers import PreTrainedModel

    names = {id(module): name for name, module in model.named_modules()}
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [one for one in model.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == depth]
    table, head = (names.get(id(part)) for part in (model.get_input_embeddings(), model.get_output_embeddings()))
    lists = [one for one in lists if table and table.startswith(names[id(one)].rpartition(".")[0])]  # not a tower's
    if lists and table and head:
        layers = names[id(max(lists, key=_size))]
        prefix, _, last = layers.rpartition(".")
        body = model.get_submodule(prefix)
        if isinstance(body, PreTrainedModel) and body is not model:
            whole = model.base_model if hasattr(model.base_model, "get_image_features") else body
            return Structure(whole, body, f"{prefix}.", last, table, head)
    raise ConversionError(
        f"The reference of model_type {model.config.model_type} cannot be run layer by layer.",
        "A decoder with one list of layers, a table of embeddings and a head can be validated.",
    )


def _size(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
