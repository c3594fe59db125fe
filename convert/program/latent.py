"""Multi-head latent attention: queries, keys and values are made of narrow vectors, and a part of each key is for all heads.

Sources: `transformers/models/deepseek_v3/modeling_deepseek_v3.py`, `DeepseekV3Attention`; the paper of DeepSeek-V2
(arXiv:2405.04434, section 2.1). docs/decisions/0028-latent-attention.md says what is kept of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ops import Heads, Ops, Rotation, T
from .reading import Reader, UnsupportedArchitecture, contradicting
from .rope import Rope, scores_factor

Shapes = dict[str, tuple[int, ...]]
EPSILON = 1e-6
"""Of the norms of the narrow vectors, whatever config.json says of the others."""
KV_A, KV_B = "kv_a_proj_with_mqa", "kv_b_proj"
"""To the narrow vector of keys and values, the rotated part of all heads' keys behind it; and from there to the heads."""
_MOST = 1 << 22
"""Numbers of all heads together: dozens of times as many as any model has; each row of their projection is listed."""


@dataclass(frozen=True)
class Latent:
    """How one layer makes queries, keys and values.

    Attributes:
        heads: number of them.
        query_rank: width of the vector of which queries are made; None: they are made at once.
        rank: of that of which keys and values are made.
        plain: width of the part of a query or key that is not rotated; it comes first.
        rotated: of the part that is.
        value: width of a value.
        bias: the projections to the narrow vectors have biases.
    """

    heads: int
    query_rank: int | None
    rank: int
    plain: int
    rotated: int
    value: int
    bias: bool = False

    @property
    def width(self) -> int:
        """Of a query, and of a key."""
        return self.plain + self.rotated

    @property
    def all_heads(self) -> Heads:
        """The heads, each of which has a key and a value of its own."""
        return Heads(self.heads, self.heads, self.width, self.value)

    def tensors(self, hidden: int) -> Shapes:
        """Return name behind the layer's prefix, and shape, of each tensor but the output's, in the order of reading."""
        shapes: Shapes = {}
        if self.query_rank is None:
            shapes["self_attn.q_proj.weight"] = (self.heads * self.width, hidden)
        else:
            shapes |= self._narrow("q_a_proj", self.query_rank, hidden)
            shapes["self_attn.q_a_layernorm.weight"] = (self.query_rank,)
            shapes["self_attn.q_b_proj.weight"] = (self.heads * self.width, self.query_rank)
        shapes |= self._narrow(KV_A, self.rank + self.rotated, hidden)
        shapes["self_attn.kv_a_layernorm.weight"] = (self.rank,)
        shapes[f"self_attn.{KV_B}.weight"] = (self.heads * (self.plain + self.value), self.rank)
        return shapes

    def _narrow(self, name: str, rows: int, hidden: int) -> Shapes:
        bias: Shapes = {f"self_attn.{name}.bias": (rows,)} if self.bias else {}
        return {f"self_attn.{name}.weight": (rows, hidden)} | bias

    def parts(self, ops: Ops[T], hidden: T, prefix: str, rotation: Rotation[T]) -> tuple[T, T, T]:
        """Return query, key and value of [batch, n, hidden], each [batch, heads, n, its width]; `prefix` ends in "self_attn."."""
        query = ops.heads_first(ops.heads(self._query(ops, hidden, prefix), self.heads, self.width))
        plain, turning = ops.split(query, [self.plain, self.rotated])
        query = ops.joined([plain, ops.rotate(turning, rotation, self.rotated)])
        narrow, common = ops.split(ops.linear(hidden, prefix + KV_A, self.bias), [self.rank, self.rotated])
        normed = ops.rms_norm(narrow, prefix + "kv_a_layernorm", EPSILON)
        both = ops.heads(ops.linear(normed, prefix + KV_B, False), self.heads, self.plain + self.value)
        key, value = ops.split(ops.heads_first(both), [self.plain, self.value])
        common = ops.rotate(ops.heads_first(ops.heads(common, 1, self.rotated)), rotation, self.rotated)
        return query, ops.joined([key, ops.repeated(common, Heads(self.heads, 1, self.rotated))]), value

    def _query(self, ops: Ops[T], hidden: T, prefix: str) -> T:
        if self.query_rank is None:
            return ops.linear(hidden, prefix + "q_proj", False)
        narrow = ops.rms_norm(ops.linear(hidden, prefix + "q_a_proj", self.bias), prefix + "q_a_layernorm", EPSILON)
        return ops.linear(narrow, prefix + "q_b_proj", False)


def read_latent(read: Reader) -> Latent:
    """Read it of config.json.

    Raises:
        CheckpointError: a number that is none, or another number of keys than of heads.
        UnsupportedArchitecture: a rotated part that is none of the head's.
    """
    heads = read.size("num_attention_heads")
    if read.size_or("num_key_value_heads", heads) != heads:
        raise contradicting(
            f"num_key_value_heads is {read.get('num_key_value_heads')}, and each of the {heads} heads has a key of its own"
        )
    if read.config.get("partial_rotary_factor") not in (None, 1):
        raise UnsupportedArchitecture("a part of what qk_rope_head_dim says is rotated, which transformers cannot run")
    null = read.config.get("q_lora_rank", 0) is None  # which says something else than an absent field
    made = Latent(
        heads=heads,
        query_rank=None if null else read.size("q_lora_rank"),
        rank=read.size("kv_lora_rank"),
        plain=read.size("qk_nope_head_dim"),
        rotated=read.size("qk_rope_head_dim"),
        value=read.size("v_head_dim"),
        bias=bool(read.get("attention_bias")),
    )
    if made.heads * (made.width + made.value) > _MOST:
        raise contradicting(f"{made.heads} heads of {made.width} and {made.value} are more than any model has")
    if max(made.rank, made.query_rank or 0) > _MOST:
        raise contradicting(f"ranks of {made.rank} and {made.query_rank} are more than any model has")
    return made


def score_scale(latent: Latent, rope: Rope) -> float:
    """Return what scores are multiplied by: that of the width, and where YaRN states mscale_all_dim its square."""
    return float(latent.width**-0.5 * scores_factor(rope.scaling) ** 2)
