"""How llama.cpp knows scans (Mamba 2): rates of decay are negative numbers, not logarithms; vectors of heads are columns.

Sources: `src/models/mamba-base.cpp` (`build_mamba2_layer`), `conversion/mamba.py` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..gguf_held import Held
from ..gguf_values import Value, u32
from .decoder import Decoder
from .ops import NO_LIMITS
from .reading import UnsupportedArchitecture
from .scan import Scan


def names(module: str) -> dict[str, str]:
    """Return llama.cpp's names of a scan's modules and tensors, by those behind a layer's prefix."""
    theirs = {
        "in_proj": "ssm_in", "conv1d": "ssm_conv1d", "dt_bias": "ssm_dt.bias", "A_log": "ssm_a", "D": "ssm_d",
        "norm": "ssm_norm", "out_proj": "ssm_out",
    }  # fmt: skip
    return {f"{module}.{ours}": name for ours, name in theirs.items()}


def scan_of(decoder: Decoder) -> Scan | None:
    """Return the scan of the layers that have one."""
    return next((mixer for mixer in decoder.mixers if isinstance(mixer, Scan)), None)


def require(decoder: Decoder) -> Scan:
    """Return the scan of a decoder that has one in each layer."""
    scan = scan_of(decoder)
    assert scan is not None
    return scan


def held(decoder: Decoder) -> dict[str, Held]:
    """Return how a GGUF holds a scan's tensors."""
    scan = scan_of(decoder)
    if scan is None:
        return {}
    made: Mapping[str, Held] = {
        "A_log": Held(decays=True, lies=(scan.heads, 1)),
        "D": Held(lies=(scan.heads, 1)),
        "norm.weight": Held(lies=(scan.groups, scan.inner // scan.groups)),
    }
    return {f"{scan.module}.{name}": how for name, how in made.items()}


def keys(decoder: Decoder) -> dict[str, Value]:
    """Return the scan's sizes; refuse what llama.cpp's graph has otherwise."""
    scan = scan_of(decoder)
    if scan is None:
        return {}
    if scan.bias or scan.out_bias or not scan.conv_bias:
        raise UnsupportedArchitecture(
            "the projections of its scans have biases, or their convolutions none, unlike llama.cpp's"
        )
    if scan.limits != NO_LIMITS:
        raise UnsupportedArchitecture(
            f"the steps of its scans are kept within {scan.limits}, and llama.cpp lets them be"
        )
    if scan.norm == "before":
        raise UnsupportedArchitecture("its scans are normalized before the gate, and llama.cpp's behind it")
    if scan.norm and scan.norm_groups != scan.groups:
        raise UnsupportedArchitecture(
            f"its scans are normalized in {scan.norm_groups} part(s), and llama.cpp normalizes each of the {scan.groups} groups"
        )
    return {
        "ssm.conv_kernel": u32(scan.taps),
        "ssm.state_size": u32(scan.size),
        "ssm.group_count": u32(scan.groups),
        "ssm.time_step_rank": u32(scan.heads),
        "ssm.inner_size": u32(scan.inner),
    }
