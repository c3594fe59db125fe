"""A maker's own form of a model: how its config.json and its tensors are seen as those of a class that transformers has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import CheckpointError
from ..program.reading import Config, positive, whole
from ..program.rope import kind_of
from ..program.spec import Family
from ..row_views import Layout

Table = dict[str, Any]
_OF_CODE = ("auto_map", "architectures", "model_type", "attn_implementation", "_name_or_path", "pretraining_tp")
"""Fields that decide on no number."""


@dataclass(frozen=True)
class Native:
    """What a checkpoint is to transformers.

    Attributes:
        family: whose class it is.
        config: config.json of that class.
        layout: how its tensors are called.
        notes: sentences for the plan.
    """

    family: Family
    config: Table
    layout: Layout | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Maker:
    """One model_type that transformers has under another name only.

    Attributes:
        title: what messages call it.
        defaults: what its own class takes for absent fields.
        see: (config with the defaults, sizes checked) → what it is to transformers.
    """

    title: str
    defaults: Mapping[str, Any]
    see: Callable[[Table], Native]

    def native(self, config: Config) -> Native:
        """Look at a config.json.

        Raises:
            CheckpointError: a value of the wrong kind, or a model that transformers' class cannot be.
        """
        stated = {key: value for key, value in config.items() if key not in _OF_CODE}
        missing = {key: value for key, value in self.defaults.items() if stated.get(key) is None}
        full = {**stated, **missing}
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"):
            whole(full.get(key), key)
        full["num_key_value_heads"] = whole(
            full.get("num_key_value_heads") or full["num_attention_heads"], "num_key_value_heads"
        )
        made = self.see(full)
        taken = [f"{key} = {value}" for key, value in missing.items() if value is not None]
        notes = (
            f"The checkpoint is of {self.title}, whose own code is not run; it is converted as transformers' "
            f"{made.family.architecture}.",
            *(
                [f"config.json leaves out {', '.join(taken)}: the defaults of {self.title}'s own class."]
                if taken
                else []
            ),
            *made.notes,
        )
        kept = {"model_type": made.family.model_type, "architectures": [made.family.architecture]}
        return Native(made.family, made.config | kept, made.layout, notes)


def without_dynamic(config: Table, kinds: tuple[str, ...]) -> tuple[Table, tuple[str, ...]]:
    """Return a config without rope scaling that changes nothing up to max_position_embeddings, and the sentence about it.

    "dynamic" stretches the base of the frequencies by the length of a text, once that is beyond max_position_embeddings: at
    that length, base * (factor * length / longest - (factor - 1)) ** (dim / (dim - 2)) is the base itself.

    Raises:
        CheckpointError: the table is none, or states a kind that is not among `kinds`, those of the maker's code.
    """
    table = config.get("rope_scaling")
    if not table:
        return config, ()
    kind = kind_of(table) if isinstance(table, dict) else None
    if kind not in kinds:
        raise CheckpointError(
            f"config.json states rope_scaling = {table!r:.80}; the model's own code knows {', '.join(kinds)}.",
            "Take an original checkpoint.",
        )
    if kind != "dynamic":
        return config, ()
    positive(table.get("factor"), "rope_scaling.factor")
    longest = whole(config.get("max_position_embeddings"), "max_position_embeddings")
    return {key: value for key, value in config.items() if key != "rope_scaling"}, (
        f"Right up to {longest:,} positions: beyond, the rope scaling 'dynamic' of the checkpoint's own code stretches its "
        "frequencies by the length of each text, and the graph's stay.",
    )
