"""Mamba 2 (Codestral): scans alone, without attention and MLP; its modules have names of their own.

Sources: `transformers/models/mamba2/`; `src/models/mamba2.cpp` and `conversion/mamba.py` of llama.cpp, which normalizes each
group of a scan by itself, where transformers normalizes all as one.
"""

from __future__ import annotations

from dataclasses import replace

from ..gguf_values import Value, u32
from ..program import scan_gguf
from ..program.decoder import Decoder
from ..program.description import Names, Norms
from ..program.gguf_spec import Gguf
from ..program.reading import Config, Reader, UnsupportedArchitecture, contradicting
from ..program.scan import Scan, read_limits
from ..program.spec import Family

RENAMED = {
    "model.backbone.": "backbone.",  # Mistral's own files
    "backbone.embedding.": "backbone.embeddings.",  # the makers'
    "backbone.embeddings.": "model.embed_tokens.",
    "backbone.": "model.",
}


def _described(read: Reader, decoder: Decoder) -> Decoder:
    inner, heads, width = read.size("expand") * decoder.hidden_size, read.size("num_heads"), read.size("head_dim")
    if heads * width != inner:
        raise contradicting(f"{heads} heads of a scan, {width} wide, are not the {inner} that its width is to be")
    if decoder.activation != "silu":
        raise UnsupportedArchitecture(f"its convolutions are followed by {decoder.activation}")
    bias = bool(read.get("use_bias"))
    scan = Scan(
        "mixer", heads, width, read.size("state_size"), read.size("n_groups"), read.size("conv_kernel"),
        decoder.rms_norm_eps, conv_bias=bool(read.get("use_conv_bias")), bias=bias, out_bias=bias, limits=read_limits(read),
    )  # fmt: skip
    return replace(decoder, mixers=(scan,) * decoder.num_layers)


def _keys(config: Config, decoder: Decoder) -> dict[str, Value]:
    """Return the scan's sizes, and none of keys and MLP; the scan's heads twice, for builds that read attention's (b9190)."""
    none = dict.fromkeys(("attention.head_count_kv", "feed_forward_length"), u32(0))
    return {**scan_gguf.keys(decoder), **none, "attention.head_count": u32(scan_gguf.require(decoder).heads)}


FAMILY = Family(
    "mamba2",
    "Mamba2ForCausalLM",
    {
        "vocab_size": 32768,
        "hidden_size": 4096,
        "num_hidden_layers": 64,
        "rms_norm_eps": 1e-05,
        "hidden_act": "silu",
        "num_heads": 128,
        "head_dim": 64,
        "state_size": 128,
        "expand": 2,
        "conv_kernel": 4,
        "n_groups": 8,
        "use_bias": False,
        "use_conv_bias": True,
        "tie_word_embeddings": False,
    },
    aliases={"layer_norm_epsilon": "rms_norm_eps"},
    attends=False,
    mlp=False,
    names=Names(last_norm="model.norm_f"),
    norms=Norms(before_attention="norm", before_mlp=None),
    may_slide=False,
    details=_described,
    also_reads=frozenset(["time_step_limit"]),
    renamed=RENAMED,
    gguf=Gguf(
        "mamba2", names=scan_gguf.names("mixer") | {"model.norm_f": "output_norm"}, held=scan_gguf.held, keys=_keys,
        readable=False,
    ),
)  # fmt: skip
