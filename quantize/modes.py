"""The names of NNCF's modes and of its other choices, and what is fixed about them."""

from __future__ import annotations

FLOAT_PRECISIONS = ("fp32", "bf16", "fp16")
INT8_MODES = ("int8_asym", "int8_sym")
EXACT_MODES = (*INT8_MODES, "int4_asym", "int4_sym")
"""Modes whose data-free arithmetic `quantize.integer` reproduces bit for bit."""
PRECISIONS = (
    *FLOAT_PRECISIONS,
    "int8", "int8_sym", "int8_asym",
    "int4", "int4_sym", "int4_asym", "int3_sym", "int2_sym",
    "nf4", "fp4", "mxfp4", "nvfp4", "cb4", "fp8_e4m3", "mxfp8_e4m3",
)  # fmt: skip
BACKUPS = ("none", "int8_sym", "int8_asym", "fp8_e4m3", "mxfp8_e4m3")
FALLBACKS = ("error", "ignore", "adjust")
ONLY_GROUP = {"mxfp4": 32, "mxfp8_e4m3": 32, "nvfp4": 16}
MIN_ADJUSTED_GROUP = 32
"""`AdvancedCompressionParameters.min_adjusted_group_size` of NNCF."""

VISION_PRECISIONS = ("fp16", "int8", "bf16", "fp32")
"""What the vision part can be stored as: no four bits, for its pass is short of arithmetic, not of memory's speed."""

_BITS = {
    "fp32": 32,
    "bf16": 16,
    "fp16": 16,
    "int2_sym": 2,
    "int3_sym": 3,
    "fp8_e4m3": 8,
    "mxfp8_e4m3": 8,
    "int8_asym": 8,
    "int8_sym": 8,
}


def bits_of(mode: str) -> int:
    """Bits of one weight, scales and zero points left out."""
    return _BITS.get(mode, 4)
