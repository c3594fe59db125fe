"""Granite 4: its factors, attention or scans (Mamba 2) in each layer, an MLP of which gate and up are one matrix, and experts.

Sources: `transformers/models/granitemoehybrid/`; `src/models/granite-hybrid.cpp` and `conversion/granite.py` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import replace

from ..derived import AS_IS
from ..gguf_values import Kind, Value, array, boolean
from ..program import scan_gguf
from ..program.decoder import Decoder
from ..program.description import Names
from ..program.experts import COUNTS, GATE, UP, Experts, Shared, bounded
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting, wrong
from ..program.scan import read_scan
from ..program.spec import Family
from . import granite
from .granitemoe import STORED
from .llama import common

MAMBA, ATTENTION = "mamba", "attention"
SHARED = "shared_mlp"
PARTS = {
    f"{SHARED}.gate_proj.weight": (f"{SHARED}.input_linear.weight", replace(GATE, axis=0)),
    f"{SHARED}.up_proj.weight": (f"{SHARED}.input_linear.weight", replace(UP, axis=0)),
    f"{SHARED}.down_proj.weight": (f"{SHARED}.output_linear.weight", AS_IS),
}


def layer_kinds(read: Reader) -> list[str]:
    """Return the kind of each layer. Raises CheckpointError or UnsupportedArchitecture."""
    layers, kinds = read.layers(), read.config.get("layer_types") or read.config.get("layers_block_type")
    if kinds is None:
        return [MAMBA] * layers
    if not isinstance(kinds, list):
        raise wrong("layer_types", kinds, "a list")
    if len(kinds) != layers:
        raise contradicting(f"layer_types states kinds for {len(kinds)} layers, and there are {layers}")
    if odd := {str(kind) for kind in kinds} - {MAMBA, ATTENTION}:
        raise UnsupportedArchitecture(f"some of its layers are of the kind {min(odd)!r}")
    return kinds


def _described(read: Reader, decoder: Decoder) -> Decoder:
    decoder, kinds = granite.described(read, decoder), layer_kinds(read)
    scan = read_scan(read, "mamba", decoder) if MAMBA in kinds else None
    shared = read.size("shared_intermediate_size")
    decoder = replace(
        decoder,
        mixers=tuple(scan if kind == MAMBA else None for kind in kinds) if scan else (),
        ropes=() if read.config.get("position_embedding_type") == "rope" else (None,) * decoder.num_layers,
    )
    count = read.get("num_local_experts")
    if type(count) is not int or count < 0:
        raise wrong("num_local_experts", count, "a whole number")
    if count == 0:
        return replace(decoder, intermediate_size=shared)
    used, width = read.size("num_experts_per_tok"), decoder.intermediate_size
    experts = Experts(bounded(count), used, width, stored=STORED, late=True, shared=Shared(shared, SHARED))
    return replace(decoder, experts=(experts,) * decoder.num_layers)


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return factors and sizes, and the layers that attend as those that have keys; refuse what llama.cpp takes for granted."""
    scan = scan_gguf.scan_of(decoder)
    if scan and scan.inner != 2 * decoder.hidden_size:
        raise UnsupportedArchitecture(f"its scans are {scan.inner} wide, and llama.cpp's twice the model")
    if scan and not decoder.attending:
        raise UnsupportedArchitecture(
            "none of its layers attends, and llama.cpp's granitehybrid cannot run without one"
        )
    common = {**granite.keys(config, decoder), "rope.scaling.finetuned": boolean(not decoder.ropes)}
    if scan is None:
        return common
    heads = [0 if decoder.mixer_of(layer) else decoder.num_kv_heads for layer in range(decoder.num_layers)]
    return {**common, **scan_gguf.keys(decoder), "attention.head_count_kv": array(Kind.I32, heads)}


def _arch(decoder: Decoder) -> str:
    """Return the architecture: without scans Granite 3's, for llama.cpp's hybrid has no memory where nothing is scanned."""
    if decoder.mixers:
        return "granitehybrid"
    return "granitemoe" if decoder.experts else "granite"


FAMILY = Family(
    "granitemoehybrid",
    "GraniteMoeHybridForCausalLM",
    common(without=("mlp_bias", "head_dim"), **dict.fromkeys(granite.FACTORS, 1.0))
    | {
        "head_dim": None,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 1024,
        "mamba_n_heads": 128,
        "mamba_n_groups": 1,
        "mamba_d_state": 256,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_conv_bias": True,
        "mamba_proj_bias": False,
    },
    names=Names(gate=f"{SHARED}.gate_proj", up=f"{SHARED}.up_proj", down=f"{SHARED}.down_proj"),
    may_slide=False,
    experts=STORED,
    parts=PARTS,
    details=_described,
    also_reads=COUNTS
    | {"layer_types", "layers_block_type", "position_embedding_type", "mamba_d_head", "time_step_limit"},
    gguf=Gguf(
        "granitehybrid",
        arch_of=_arch,
        permute_qk=True,
        names=scan_gguf.names("mamba"),
        held=scan_gguf.held,
        keys=_keys,
        readable=False,
    ),
)
