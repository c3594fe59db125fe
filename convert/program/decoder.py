"""A decoder with its tensors: what a checkpoint holds of each part that its description names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import laurel
from .attention import Attention
from .description import TABLE, Description

HEAD, HEAD_BIAS = "lm_head.weight", "lm_head.bias"
SINKS = "sinks"
"""A tensor of attention, [heads]."""


@dataclass(frozen=True)
class Decoder(Description):
    """One decoder.

    Tensor names are transformers': model.embed_tokens, model.layers.N.{self_attn,mlp,…}, model.norm, lm_head.
    """

    def tensors(self, *, woven: bool = False) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the block uses, in the order in which the graph reads them.

        `woven`: gate and up of experts are one stack, row by row (`program.experts`).
        """
        shapes: dict[str, tuple[int, ...]] = {TABLE: (self.vocab_size, self.hidden_size)}
        if self.per_layer:
            shapes |= self.per_layer.outer()
        if self.altup:
            shapes |= self.altup.outer()
        for layer in range(self.num_layers):
            inside = self._layer(layer, woven)
            shapes.update({f"model.layers.{layer}.{name}": shape for name, shape in inside.items()})
        shapes |= self._norm(self.names.last_norm)
        if not self.tied:
            shapes[HEAD] = (self.vocab_size, self.hidden_size)
        if self.head_bias:
            shapes[HEAD_BIAS] = (self.vocab_size,)
        return shapes

    def passed_over(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of what would make keys and values in layers that read those of another."""
        own = Attention(self.heads)
        found: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            how = self.attention_of(layer)
            if how.reads is not None:
                whole, used = self._attention(replace(own, heads=how.heads)), self._attention(how)
                found |= {f"model.layers.{layer}.{name}": whole[name] for name in whole if name not in used}
        return found

    def _layer(self, layer: int, woven: bool) -> dict[str, tuple[int, ...]]:
        mixer, experts, norms = self.mixer_of(layer), self.experts_of(layer), self.norms
        shapes: dict[str, tuple[int, ...]] = self._norm(norms.before_attention)
        if mixer:
            shapes |= mixer.tensors(self.hidden_size)
        if self.beside or not mixer:
            shapes |= self._attention(self.attention_of(layer))
        shapes |= self._norm(norms.after_attention) | self._norm(norms.before_mlp)
        if self.mlp:
            shapes |= experts.tensors(self.hidden_size, woven=woven) if experts else self._mlp(self.inner_of(layer))
        shapes |= self._norm(norms.after_mlp)
        if self.laurel_rank:
            shapes |= laurel.inner(self.hidden_size, self.laurel_rank)
        if self.altup:
            shapes |= self.altup.inner()
        if self.per_layer:
            shapes |= self.per_layer.inner()
        return shapes | ({"layer_scalar": (1,)} if self.layer_scalar else {})

    def _attention(self, how: Attention) -> dict[str, tuple[int, ...]]:
        hidden, width, shapes = self.hidden_size, how.heads.width, dict[str, tuple[int, ...]]()
        q, kv = how.heads.queries * width, how.heads.keys * width
        if self.latent:
            return self.latent.tensors(hidden) | self._output(how.heads.queries * how.heads.value_width)
        sizes = {"q": 2 * q if self.gated else q, "k": kv, "v": kv}
        parts = {"qkv": q + 2 * kv} if self.fused_qkv else {part: sizes[part] for part in how.parts}
        for part, rows in parts.items():
            shapes[f"self_attn.{part}_proj.weight"] = (rows, hidden)
            if self.qkv_bias:
                shapes[f"self_attn.{part}_proj.bias"] = (rows,)
        if self.qk_norm:
            widths = (q, kv) if self.qk_norm_whole else (width, width)
            named = zip(self.qk_norm_names, widths if how.reads is None else widths[:1], strict=False)
            shapes |= {f"self_attn.{name}.weight": (wide,) for name, wide in named}
        shapes |= self._output(q)
        if self.sinks:
            shapes[f"self_attn.{SINKS}"] = (self.num_heads,)
        return shapes

    def _output(self, width: int) -> dict[str, tuple[int, ...]]:
        """The projection of what heads of this width in all have found."""
        bias: dict[str, tuple[int, ...]] = (
            {f"{self.names.output}.bias": (self.hidden_size,)} if self.output_bias else {}
        )
        return {f"{self.names.output}.weight": (self.hidden_size, width)} | bias

    def _mlp(self, inner: int) -> dict[str, tuple[int, ...]]:
        hidden, names, shapes = self.hidden_size, self.names, dict[str, tuple[int, ...]]()
        parts = {"mlp.gate_up_proj": 2 * inner} if self.fused_gate_up else {names.up: inner}
        if names.gate and not self.fused_gate_up:
            parts = {names.gate: inner, **parts}
        for part, rows in parts.items():
            shapes[f"{part}.weight"] = (rows, hidden)
            if self.mlp_bias:
                shapes[f"{part}.bias"] = (rows,)
        shapes[f"{names.down}.weight"] = (hidden, inner)
        if self.mlp_bias:
            shapes[f"{names.down}.bias"] = (hidden,)
        return shapes

    def _norm(self, module: str | None) -> dict[str, tuple[int, ...]]:
        parts = ("weight", "bias") if self.norm_bias else ("weight",)
        return {f"{module}.{part}": (self.hidden_size,) for part in parts} if module else {}
