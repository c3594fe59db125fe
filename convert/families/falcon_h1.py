"""Falcon-H1: attention and a scan (Mamba 2) read the same norm in each layer; a dozen factors, wherever a matrix is.

llama.cpp knows no factors: its file holds the matrices multiplied by them, and a head of its own where the two tables differ by
theirs. Sources: `transformers/models/falcon_h1/`; `src/models/falcon-h1.cpp` and `conversion/falcon_h1.py` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..gguf_held import Held
from ..program import scan_gguf
from ..program.decoder import HEAD, Decoder
from ..program.description import TABLE, Names, Norms, Scales
from ..program.gguf_spec import Gguf
from ..program.reading import Reader, positive, wrong
from ..program.scan import read_scan
from ..program.spec import Family
from .llama import common

FACTORS = (
    "embedding_multiplier", "lm_head_multiplier", "attention_in_multiplier", "attention_out_multiplier", "key_multiplier",
    "ssm_in_multiplier", "ssm_out_multiplier",
)  # fmt: skip

FOLDED = "Matrices are multiplied by the factors of config.json, which llama.cpp does not know, and rounded once more."


def _factors(read: Reader, key: str, count: int) -> tuple[float, ...]:
    """Return so many factors, 1 where none are stated. Raises CheckpointError."""
    stated = read.config.get(key)
    if stated is None:
        return (1.0,) * count
    if not isinstance(stated, Sequence) or len(stated) != count:
        raise wrong(key, stated, f"a list of {count} numbers")
    return tuple(positive(one, f"{key}[{place}]") for place, one in enumerate(stated))


def _described(read: Reader, decoder: Decoder) -> Decoder:
    scan = read_scan(read, "mamba", decoder, read.size("mamba_d_ssm") if _states_width(read) else None)
    before = bool(read.get("mamba_norm_before_gate"))
    scan = replace(
        scan,
        norm=("before" if before else "behind") if read.get("mamba_rms_norm") else None,
        norm_groups=scan.groups,
        out_bias=bool(read.get("projectors_bias")),
        scale=read.number("ssm_in_multiplier"),
        scales=_factors(read, "ssm_multipliers", 5),
    )
    gate, down = _factors(read, "mlp_multipliers", 2)
    return replace(
        decoder,
        mixers=(scan,) * decoder.num_layers,
        beside=True,
        embedding_scale=read.number("embedding_multiplier"),
        logit_scale=read.number("lm_head_multiplier"),
        scales=Scales(
            read.number("attention_in_multiplier"), read.number("key_multiplier"), read.number("attention_out_multiplier"),
            read.number("ssm_out_multiplier"), gate, down,
        ),
    )  # fmt: skip


def _states_width(read: Reader) -> bool:
    """Tell whether the scan's width is stated; null says that `mamba_expand` is, and nothing that it is transformers' default."""
    return "mamba_d_ssm" not in read.config or read.config["mamba_d_ssm"] is not None


def _held(decoder: Decoder) -> dict[str, Held]:
    """Return what each matrix is multiplied by. Biases are added behind what a projection reads, and before what it gives."""
    scan, by = scan_gguf.require(decoder), decoder.scales
    sizes = [scan.inner, scan.inner, scan.vectors, scan.vectors, scan.heads]
    parts = np.repeat(np.array(scan.scales), sizes)
    read = {
        "self_attn.q_proj.weight": by.attention_in,
        "self_attn.k_proj.weight": by.attention_in * by.keys,
        "self_attn.v_proj.weight": by.attention_in,
        TABLE: decoder.embedding_scale,
        HEAD: decoder.logit_scale,
    }
    given = {
        "mamba.out_proj": by.mixer_out,
        "self_attn.o_proj": by.attention_out,
        decoder.names.gate: by.gate,
        decoder.names.down: by.down,
    }
    times = read | {f"{name}.{kind}": factor for name, factor in given.items() for kind in ("weight", "bias")}
    one = {name: Held(times=np.array([factor], np.float32)) for name, factor in times.items()}
    first = Held(times=np.asarray(parts * scan.scale, np.float32))
    return {**one, "mamba.in_proj.weight": first, **scan_gguf.held(decoder)}


FAMILY = Family(
    "falcon_h1",
    "FalconH1ForCausalLM",
    common(num_key_value_heads=8, rms_norm_eps=1e-05, max_position_embeddings=8192)
    | {
        **dict.fromkeys(FACTORS, 1.0),
        "mamba_d_ssm": 1024,
        "mamba_n_heads": 128,
        "mamba_n_groups": 1,
        "mamba_d_state": 256,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_conv_bias": True,
        "mamba_proj_bias": False,
        "mamba_norm_before_gate": True,
        "mamba_rms_norm": False,
        "projectors_bias": False,
    },
    names=Names(
        gate="feed_forward.gate_proj", up="feed_forward.up_proj", down="feed_forward.down_proj",
        last_norm="model.final_layernorm",
    ),
    norms=Norms(before_mlp="pre_ff_layernorm"),
    may_slide=False,
    details=_described,
    also_reads=frozenset(["mamba_d_head", "time_step_limit", "mlp_multipliers", "ssm_multipliers"]),
    gguf=Gguf(
        "falcon-h1",
        output_bias=False,
        names=scan_gguf.names("mamba") | {"model.final_layernorm": "output_norm", "pre_ff_layernorm.weight": "ffn_norm"},
        held=_held,
        keys=lambda config, decoder: scan_gguf.keys(decoder),
        notes=lambda keys: (FOLDED,),
        readable=False,
    ),
)  # fmt: skip
