"""A family: all that is known of one `model_type`, declared once, in a file of that name.

config.json → numbers (`Family.decoder`, `Family.plain`), the switches of its block, which fields are read, how llama.cpp knows it
in both directions (`Gguf`), its vision part (`VisionPart`), the vendor's int4 default. The mechanism that makes files of it
lies with the formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..derived import Form
from .decoder import Decoder
from .description import Names, Norms
from .experts import Stored
from .gguf_spec import Gguf
from .mmproj_spec import Mmproj
from .reading import Config, Reader, UnsupportedArchitecture
from .rope import Rope, read_rope
from .windows import read_windows

Scheme = dict[str, Any]
"""sym, group_size, ratio: what int4 means to a vendor."""
SIZES = frozenset(
    [
        "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "rope_scaling", "rope_parameters",
    ]
)  # fmt: skip
"""Fields that are read of every family beside those that it has defaults for."""
WINDOWS = frozenset(["sliding_window", "layer_types"])
WINDOWED = frozenset(["sliding_window", "use_sliding_window"])
"""Fields of which a family with windows has a default for one."""
_NO_HEAD = 2
"""The width of heads that no layer has: rotated they are pairs."""


@dataclass(frozen=True)
class VisionPart:
    """The vision encoder and projector that checkpoints of a family may have.

    Attributes:
        model_type: what a converted vision-language model is called.
        title: what messages call it.
        prefix: what the names of all its tensors begin with, by which such a checkpoint is known; one of these.
        fields: of config.json and its vision_config that are read beside the language model's.
        describe: (config, vision_config, language model) → its description.
        int4_default: the vendor's choice for the language model of such a checkpoint.
        unused_tensors: patterns of tensors that a checkpoint may hold and the model never reads.
        mmproj: how llama.cpp's multimodal library knows it; None: it does not.
    """

    model_type: str
    title: str
    prefix: str | tuple[str, ...]
    fields: frozenset[str]
    describe: Callable[[Config, Config, Decoder], Any]
    int4_default: Scheme | None = None
    unused_tensors: tuple[str, ...] = ()
    mmproj: Mmproj | None = None


@dataclass(frozen=True)
class LanguagePart:
    """The language model of a vision-language model, which is one of another family.

    Attributes:
        family: its model_type; None: text_config states it.
        config: config.json, with the fields of text_config beside its own → what that family is to read.
        adapted: (config, language model) → what pictures among its words make of it.
    """

    family: str | None = None
    config: Callable[[Config], Config] = lambda config: config
    adapted: Callable[[Config, Decoder], Decoder] = lambda config, decoder: decoder


@dataclass(frozen=True)
class Family:
    """One model_type.

    Attributes:
        model_type: as config.json names it, and as the file is called.
        architecture: transformers' class, for a config.json that is made.
        defaults: what transformers takes for absent fields, in the order in which a manifest lists what was taken for granted.
        gguf: how llama.cpp knows it; None: it does not.
        vision: model_type of the family whose vision part its checkpoints may have.
        vision_part: the vision part that a converted model of this type has.
        language: its language model, if it is a vision-language model.
        attends: False: no layer has attention, and config.json no heads.
        mlp: False: no layer has one.
        streamed: the block that the stream engines build expresses it; else the trace engines may take it.
        interleaved_rope: neighboring pairs are rotated, not halves.
        partial_rotary: transformers reads partial_rotary_factor.
        fused_qkv: q, k and v are one projection.
        fused_gate_up: gate and up are one projection, gate first.
        qkv_bias: q, k and v have biases; None: attention_bias says so.
        output_bias: the output projection has one; None: attention_bias says so.
        qk_norm: q and k are normalized.
        qk_norm_whole: over all heads together, not over each.
        norms: the normalizations of a layer.
        names: its modules by their role.
        activation: the one that its MLP always has; None: config.json states it.
        may_slide: config.json may state sliding windows.
        full_every: every so many layers one sees all positions, where config.json does not say which do; None: none does.
        layer_norm: its norms subtract the mean (LayerNorm).
        norm_bias: its norms have biases.
        norm_offset: what the checkpoint leaves out of the weights of its norms.
        qk_norm_late: the norms of q and k come behind the rotation.
        qk_norm_names: the modules of these norms.
        details: (reader, description) → the description with what config.json states beside the switches.
        aliases: config.json's name → the common one.
        also_reads: fields that are read and have no default.
        head_dim: reader → the width of a head, for families that state it in parts.
        rope: (reader, head_dim) → the rope that the description states, for families with several.
        rope_synonyms: the family's own words for kinds of rope scaling.
        int4_default: config → the vendor's own choice.
        experts: how its checkpoints call the tensors of experts; None: it has none.
        parts: matrices that are part of one in its checkpoints → that one, and which part; names behind a layer's prefix.
        within: model types whose text_config is of this family, and whose language model is taken alone.
        vision_prefix: what the names of their other tensors begin with.
        renamed: parts of the names of tensors in checkpoints → what transformers has in their place.
        joined: name → the pattern of tensors, numbered from 0, that formats which want them as one have under that name.
        plain_fields: config → the same with one number for each field that may hold a list.
    """

    model_type: str
    architecture: str
    defaults: Config
    gguf: Gguf | None = None
    vision: str | None = None
    vision_part: VisionPart | None = None
    language: LanguagePart | None = None
    attends: bool = True
    mlp: bool = True
    streamed: bool = True
    interleaved_rope: bool = False
    partial_rotary: bool = False
    fused_qkv: bool = False
    fused_gate_up: bool = False
    qkv_bias: bool | None = None
    output_bias: bool | None = None
    qk_norm: bool = False
    qk_norm_whole: bool = False
    norms: Norms = field(default_factory=Norms)
    names: Names = field(default_factory=Names)
    activation: str | None = None
    may_slide: bool = True
    full_every: int | None = None
    layer_norm: bool = False
    norm_bias: bool = False
    norm_offset: float = 0.0
    qk_norm_late: bool = False
    qk_norm_names: tuple[str, str] = ("q_norm", "k_norm")
    details: Callable[[Reader, Decoder], Decoder] = lambda read, decoder: decoder
    aliases: Mapping[str, str] = field(default_factory=dict)
    also_reads: frozenset[str] = frozenset()
    head_dim: Callable[[Reader], int] | None = None
    rope: Callable[[Reader, int], Rope] | None = None
    rope_synonyms: Mapping[str, str] = field(default_factory=dict)
    int4_default: Callable[[Config], Scheme | None] = lambda config: None
    experts: Stored | None = None
    parts: Mapping[str, tuple[str, Form]] = field(default_factory=dict)
    within: frozenset[str] = frozenset()
    vision_prefix: str | tuple[str, ...] = "model.visual."
    renamed: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, str] = field(default_factory=dict)
    plain_fields: Callable[[Config], Config] = lambda config: config

    def loaded(self, name: str) -> tuple[str, Form] | None:
        """Return the tensor of transformers that a stack or part is of, both behind a layer's prefix, and which; None: none."""
        return self.parts.get(name) or (self.experts.loaded(name) if self.experts else None)

    @property
    def fields(self) -> frozenset[str]:
        """Fields of config.json that are read, without those of a vision part."""
        windows = WINDOWS if self.may_slide else frozenset()
        return SIZES | frozenset(self.defaults) | frozenset(self.aliases) | self.also_reads | windows

    def field(self, name: str) -> str:
        """Return what the family's config.json calls a field."""
        return next((theirs for theirs, ours in self.aliases.items() if ours == name), name)

    def decoder(self, config: Config) -> Decoder:
        """Describe a checkpoint for the stream engines.

        Raises:
            CheckpointError: a field that is missing, damaged, or contradicts another.
            UnsupportedArchitecture: their block lacks something; the reason says what.
        """
        if not self.streamed:
            raise UnsupportedArchitecture(f"the block of model_type {self.model_type} is not one that is streamed")
        read = self.reader(config)
        if not self.may_slide:
            return self._described(read, scaled=True)
        if not WINDOWED & set(self.defaults):
            read.refuse_windows()
            return self._described(read, scaled=True)
        windows = read_windows(read, self.full_every)
        described = self._described(read, scaled=True)
        return described if described.windows else replace(described, windows=windows if any(windows) else ())

    def plain(self, config: Config) -> Decoder:
        """Describe a checkpoint without its sliding windows and rope scaling, which a format judges itself.

        Raises:
            CheckpointError: as `decoder`.
            UnsupportedArchitecture: an activation, or ropes by layer, that no format has.
        """
        return self._described(self.reader(config), scaled=False)

    def reader(self, config: Config) -> Reader:
        """Return config.json under the common names, with the family's defaults."""
        renamed = {ours: config.get(theirs) for theirs, ours in self.aliases.items()}
        return Reader(self.plain_fields({**config, **renamed}), self.defaults)

    def _described(self, read: Reader, *, scaled: bool) -> Decoder:
        heads, hidden = read.size("num_attention_heads") if self.attends else 1, read.size("hidden_size")
        head_dim = self.head_dim(read) if self.head_dim else read.size_or("head_dim", hidden // heads)
        head_dim = head_dim if self.attends else _NO_HEAD
        asked = None in (self.qkv_bias, self.output_bias)
        bias = self._stated(read, "attention_bias") if asked else False
        described = Decoder(
            family=self.model_type,
            vocab_size=read.size("vocab_size"),
            hidden_size=hidden,
            intermediate_size=read.size("intermediate_size") if self.mlp else 0,
            num_layers=read.layers(),
            num_heads=heads,
            num_kv_heads=read.size_or("num_key_value_heads", heads) if self.attends else heads,
            head_dim=head_dim,
            rms_norm_eps=read.number("rms_norm_eps"),
            rope=self._own_rope(read, head_dim, scaled=scaled),
            activation=self.activation or read.activation(),
            qkv_bias=bias if self.qkv_bias is None else self.qkv_bias,
            output_bias=bias if self.output_bias is None else self.output_bias,
            mlp_bias=self._stated(read, "mlp_bias"),
            qk_norm=self.qk_norm,
            qk_norm_whole=self.qk_norm_whole,
            qk_norm_late=self.qk_norm_late,
            qk_norm_names=self.qk_norm_names,
            norms=self.norms,
            names=self.names,
            mlp=self.mlp,
            layer_norm=self.layer_norm,
            norm_bias=self.norm_bias,
            norm_offset=self.norm_offset,
            fused_qkv=self.fused_qkv,
            fused_gate_up=self.fused_gate_up,
            tied=bool(read.get("tie_word_embeddings")),
        )
        described = self.details(read, described)
        return replace(described, assumed=tuple(read.assumed[key] for key in self.defaults if key in read.assumed))

    def _stated(self, read: Reader, key: str) -> bool:
        """Return a switch that the family has if it has a default for it."""
        return bool(read.get(key)) if key in self.defaults else False

    def _own_rope(self, read: Reader, head_dim: int, *, scaled: bool) -> Rope:
        if not self.attends:
            return Rope(1.0, _NO_HEAD)
        return self.rope(read, head_dim) if self.rope else self._rope(read, head_dim, scaled=scaled)

    def _rope(self, read: Reader, head_dim: int, *, scaled: bool) -> Rope:
        return read_rope(
            read, head_dim, interleaved=self.interleaved_rope, partial=self.partial_rotary, scaled=scaled,
            synonyms=self.rope_synonyms,
        )  # fmt: skip


def vision_language(
    model_type: str, architecture: str, language: LanguagePart, vision_part: VisionPart, **others: Any
) -> Family:
    """Declare a vision-language model."""
    return Family(model_type, architecture, {}, vision=model_type, vision_part=vision_part, language=language, **others)
