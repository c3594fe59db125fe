"""Folders and repositories that hold an adapter (PEFT): alone it is not a model, and beside one it would be left out."""

from __future__ import annotations

from collections.abc import Collection

from .errors import CheckpointError

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def refuse(label: str, names: Collection[str], base: str | None = None) -> None:
    """Raise CheckpointError if the files in `names` are an adapter, alone or beside a model.

    Args:
        label: what the folder is called in the message.
        names: of the files in it.
        base: the model that the adapter is for, if that is known.
    """
    weights = next((name for name in _WEIGHTS if name in names), None)
    if CONFIG not in names:
        return
    merge = "Merge the adapter into its model first (peft: merge_and_unload) and give the folder of the result."
    if "config.json" not in names:
        model = f" for {base}" if base else ""
        raise CheckpointError(f"{label} holds an adapter (PEFT, {CONFIG}){model}, not a model.", merge)
    if weights:
        raise CheckpointError(
            f"{label} holds an adapter ({CONFIG}, {weights}) beside the model: transformers would load the two together, and a "
            "conversion of the model alone would be another model.",
            f"{merge[:-1]}, or move {CONFIG} out of the folder to convert the model without it.",
        )
