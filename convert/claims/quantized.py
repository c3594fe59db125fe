"""Checkpoints whose weights are already quantized, or are to be quantized as they are loaded: config.json says by what method."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...core.errors import CheckpointError

_TABLES = ("quantization_config", "compression_config", "quantization")
"""Where a method is stated: transformers, older compressed-tensors, MLX."""
_MARKS = (
    ".qweight", ".qzeros", ".g_idx", ".scales", ".weight_scale", ".weight_scale_inv", ".weight_packed", ".weight_zero_point",
    ".SCB", ".absmax", ".quant_map", "_blocks", "_scales", ".input_scale", ".weight_shape", ".codebooks", ".meta",
)  # fmt: skip
"""Ends of the names of tensors that only a quantized checkpoint has."""
_INSIDE = (".quant_state.", ".weight.absmax", ".weight.quant_map", ".weight._")


def refuse(config: dict[str, Any], names: Collection[str]) -> None:
    """Raise CheckpointError if the weights are not, or are not to be used as, plain numbers."""
    found = _stated(config)
    if found is None:
        return
    where, table = found
    method = _method(where, table)
    if method.startswith("bitnet") and not _packed(names):
        raise CheckpointError(
            f"config.json has a {where} of the method bitnet: the weights are masters, which transformers rounds to -1, 0 and 1 "
            "as it runs, with activations of 8 bits. Converted as they are stored they would be another model.",
            "There are no ternary layers here: take a model that is none of BitNet's.",
        )
    if names and not _packed(names):
        raise CheckpointError(
            f"config.json has a {where} ({method}), but no tensor of the checkpoint is quantized: transformers would quantize "
            "the weights as it loads them.",
            f"If they are meant as they are stored (a merged or a restored model), take {where} out of config.json.",
        )
    raise CheckpointError(
        f"The checkpoint is already quantized ({_described(method, table)}): its weights are codes, and a conversion starts from "
        "weights of 16 or 32 bits.",
        "Take a copy whose experts were restored to BF16."
        if method == "mxfp4"
        else "Take the unquantized revision of the model.",
    )


def _stated(config: dict[str, Any]) -> tuple[str, Any] | None:
    text = config.get("text_config")
    for table in (config, text if isinstance(text, dict) else {}):
        for where in _TABLES:
            if table.get(where):
                return where, table[where]
    return None


def _method(where: str, table: Any) -> str:
    if not isinstance(table, dict):
        return "unknown"
    if where == "quantization":
        return "mlx"
    for bits in (4, 8):
        if table.get(f"load_in_{bits}bit"):
            return str(table.get("quant_method", "bitsandbytes"))
    return str(table.get("quant_method", table.get("format", "unknown")))


def _described(method: str, table: Any) -> str:
    bits = table.get("bits", table.get("w_bit")) if isinstance(table, dict) else None
    if isinstance(table, dict) and bits is None:
        bits = next((n for n in (4, 8) if table.get(f"load_in_{n}bit")), None)
    return f"{method}, {bits} bits" if isinstance(bits, int) else method


def _packed(names: Collection[str]) -> bool:
    return any(name.endswith(_MARKS) or any(mark in name for mark in _INSIDE) for name in names)
