"""What a decoder-only transformer of the Llama kind is, in numbers and switches: all that the graph builders need to know.

A family's file says how these are read from config.json (`spec.Family`). A checkpoint whose mathematics this description cannot
express is refused with `UnsupportedArchitecture`, and the trace engine takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ops import Heads
from .reading import contradicting
from .rope import Rope

TABLE = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True)
class Norms:
    """The normalizations of a layer by their place: the module in the checkpoint, or None where there is none.

    Attributes:
        before_attention: of what attention reads.
        after_attention: of what attention gives, before it is added.
        before_mlp: of what the MLP reads.
        after_mlp: of what the MLP gives, before it is added.
    """

    before_attention: str | None = "input_layernorm"
    after_attention: str | None = None
    before_mlp: str | None = "post_attention_layernorm"
    after_mlp: str | None = None


@dataclass(frozen=True)
class Decoder:
    """One decoder: sizes, rope, and which of the optional parts its block has.

    Tensor names are transformers': model.embed_tokens, model.layers.N.{self_attn,mlp,…}, model.norm, lm_head.
    """

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    rope: Rope
    activation: str = "silu"
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    qk_norm_whole: bool = False
    """The norms of q and k are taken over all heads together, not over each."""
    norms: Norms = Norms()
    fused_qkv: bool = False
    fused_gate_up: bool = False
    tied: bool = False
    assumed: tuple[str, ...] = ()
    """Values absent from config.json that change the mathematics, as "key = default" sentences."""

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.num_heads % self.num_kv_heads:
            raise contradicting(f"{self.num_heads} heads cannot share {self.num_kv_heads} keys evenly")
        if self.rope.dim % 2 or not 0 < self.rope.dim <= self.head_dim:
            raise contradicting(f"{self.rope.dim} of the {self.head_dim} dimensions of a head are to be rotated")

    @property
    def heads(self) -> Heads:
        """The heads of its attention."""
        return Heads(self.num_heads, self.num_kv_heads, self.head_dim)

    @property
    def q_size(self) -> int:
        """Rows of the query projection."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.num_kv_heads * self.head_dim

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor that the block uses, in the order in which the graph reads them."""
        shapes: dict[str, tuple[int, ...]] = {TABLE: (self.vocab_size, self.hidden_size)}
        for layer in range(self.num_layers):
            shapes.update({f"model.layers.{layer}.{name}": shape for name, shape in self._layer().items()})
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tied:
            shapes[HEAD] = (self.vocab_size, self.hidden_size)
        return shapes

    def _layer(self) -> dict[str, tuple[int, ...]]:
        hidden, q, kv, inner, norms = self.hidden_size, self.q_size, self.kv_size, self.intermediate_size, self.norms
        shapes: dict[str, tuple[int, ...]] = self._norm(norms.before_attention)
        parts = {"qkv": q + 2 * kv} if self.fused_qkv else {"q": q, "k": kv, "v": kv}
        for part, rows in parts.items():
            shapes[f"self_attn.{part}_proj.weight"] = (rows, hidden)
            if self.qkv_bias:
                shapes[f"self_attn.{part}_proj.bias"] = (rows,)
        if self.qk_norm:
            widths = (q, kv) if self.qk_norm_whole else (self.head_dim, self.head_dim)
            shapes |= {f"self_attn.{part}_norm.weight": (width,) for part, width in zip("qk", widths, strict=True)}
        shapes["self_attn.o_proj.weight"] = (hidden, q)
        if self.output_bias:
            shapes["self_attn.o_proj.bias"] = (hidden,)
        shapes |= self._norm(norms.after_attention) | self._norm(norms.before_mlp)
        for part, rows in ({"gate_up": 2 * inner} if self.fused_gate_up else {"gate": inner, "up": inner}).items():
            shapes[f"mlp.{part}_proj.weight"] = (rows, hidden)
            if self.mlp_bias:
                shapes[f"mlp.{part}_proj.bias"] = (rows,)
        shapes["mlp.down_proj.weight"] = (hidden, inner)
        if self.mlp_bias:
            shapes["mlp.down_proj.bias"] = (hidden,)
        return shapes | self._norm(norms.after_mlp)

    def _norm(self, module: str | None) -> dict[str, tuple[int, ...]]:
        return {f"{module}.weight": (self.hidden_size,)} if module else {}
