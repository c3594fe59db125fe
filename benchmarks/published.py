"""Sizes of published models of other families, as their config.json states them (published.json).

Names and shapes of tensors are those that transformers would save: its class is built without storage, and what it joins or
renames while it loads (the experts of one layer, the part within a larger model) is undone as it undoes it.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Published:
    """A checkpoint of one of these models.

    Attributes:
        fields: its config.json.
    """

    fields: dict[str, Any]

    takes_images = False

    @property
    def vocab(self) -> int:
        """The number of tokens."""
        return int(self.fields["vocab_size"])

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name -> shape of each tensor, layer by layer."""
        import torch
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText
        from transformers.core_model_loading import revert_weight_conversion

        config = CONFIG_MAPPING[self.fields["model_type"]].from_dict(self.config())
        kind = AutoModelForImageTextToText if self.takes_images else AutoModelForCausalLM
        with torch.device("meta"):
            model = kind.from_config(config)
        stored = {name: one for name, one in model.state_dict().items() if one.dtype.is_floating_point}
        saved = revert_weight_conversion(model, stored)
        if config.tie_word_embeddings:
            saved = {name: one for name, one in saved.items() if not name.endswith("lm_head.weight")}
        return {name: tuple(saved[name].shape) for name in sorted(saved, key=_place)}

    def parameters(self) -> int:
        """Return the number of weights, a tied head counted once."""
        return sum(prod(shape) for shape in self.tensors().values())

    def config(self) -> dict[str, Any]:
        """Return config.json."""
        return copy.deepcopy(self.fields)


def _place(name: str) -> tuple[int, list[int], str]:
    """Embeddings, then layers by number (experts by number), then the rest."""
    numbers = [int(found) for found in re.findall(r"\.(\d+)\.", name)]
    return (0 if "embed" in name else 1 if numbers else 2, numbers, name)


def published() -> dict[str, Published]:
    """Return them by name."""
    table = json.loads(TABLE.read_text("utf-8"))
    return {name: Published(table["base"] | fields) for name, fields in table["models"].items()}
