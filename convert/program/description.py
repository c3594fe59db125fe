"""What a decoder-only transformer of the Llama kind is, in numbers and switches: all that the graph builders need to know.

A family's file says how these are read from config.json (`spec.Family`). A checkpoint whose mathematics this description cannot
express is refused with `UnsupportedArchitecture`, and the trace engine takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..gguf_values import epsilon_key
from .altup import COEFFICIENTS, AltUp
from .attention import Attention
from .experts import Experts
from .latent import Latent
from .mixers import Mixer
from .ops import Heads, State
from .per_layer import LAYER_TABLE, PerLayer
from .reading import contradicting
from .rope import Rope
from .signature import Input

TABLE = "model.embed_tokens.weight"
TOKEN_TYPES, PICTURE_PLACES, DEEP_ROWS = "token_type_ids", "visual_pos_masks", "deepstack_visual_embeds"
"""optimum-intel's names of what a language model takes of pictures: int64 [batch, n], 0 for words; bool [batch, n]; and float32
[layers, rows, hidden], the rows of all pictures in the order of their places."""


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
class Names:
    """The modules of a checkpoint by their role, where families call them differently; a layer's are behind its prefix."""

    output: str = "self_attn.o_proj"
    gate: str | None = "mlp.gate_proj"
    """None: the MLP has two matrices, and what the first gives is activated."""
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    last_norm: str = "model.norm"


@dataclass(frozen=True)
class Scales:
    """What a layer's parts are multiplied by, where that is not 1 (Falcon-H1).

    Attributes:
        attention_in: what attention reads.
        keys: its keys.
        attention_out: what it gives.
        mixer_out: what the mixer beside it gives.
        gate: the MLP's gate, before it is activated.
        down: what the MLP gives.
    """

    attention_in: float = 1.0
    keys: float = 1.0
    attention_out: float = 1.0
    mixer_out: float = 1.0
    gate: float = 1.0
    down: float = 1.0


@dataclass(frozen=True)
class Description:
    """Sizes, rope, and which of the optional parts the block of a decoder has."""

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
    gated: bool = False
    """Beside each head's query its projection makes a gate: the context is multiplied by the gate's sigmoid."""
    qk_norm: bool = False
    qk_norm_whole: bool = False
    """The norms of q and k are taken over all heads together, not over each."""
    qk_norm_late: bool = False
    """The norms of q and k come behind the rotation."""
    qk_norm_names: tuple[str, str] = ("q_norm", "k_norm")
    norms: Norms = Norms()
    names: Names = Names()
    mixers: tuple[Mixer | None, ...] = ()
    """What mixes positions in each layer; None: attention does. Empty: attention in all layers."""
    beside: bool = False
    """Each layer attends, too: attention and mixer read the same norm, and both are added."""
    mlp: bool = True
    """Each layer has an MLP, or experts, behind what mixes positions."""
    layer_norm: bool = False
    """Its norms subtract the mean (LayerNorm); without it, they are RMS norms."""
    norm_bias: bool = False
    norm_offset: float = 0.0
    """What the checkpoint leaves out of the weights of its norms."""
    parallel: bool = False
    """Attention and MLP read the same norm, and both are added."""
    windows: tuple[int | None, ...] = ()
    """How many positions one sees, itself included, layer by layer; None: all before it. Empty: all layers see all."""
    ropes: tuple[Rope | None, ...] = ()
    """The rotary embedding of each layer; None: it has none. Empty: all layers have `rope`."""
    experts: tuple[Experts | None, ...] = ()
    """What each layer has in the place of a dense MLP; None: nothing. Empty: all MLPs are dense."""
    attentions: tuple[Attention, ...] = ()
    """How each layer attends. Empty: all have `heads`, and keys and values of their own."""
    inner_sizes: tuple[int, ...] = ()
    """The width of each layer's MLP. Empty: `intermediate_size`."""
    latent: Latent | None = None
    """How queries, keys and values are made of narrow vectors; None: they are not."""
    per_layer: PerLayer | None = None
    """What each token gives to each layer; None: nothing."""
    altup: AltUp | None = None
    """How several streams of states pass the layers beside each other; None: there is one."""
    laurel_rank: int | None = None
    """Between the two matrices of a low rank that are a residual of their own beside attention (LAuReL); None: there are none."""
    sparsity: tuple[float | None, ...] = ()
    """By how many standard deviations a gate must exceed the mean in each layer, or it is 0; None: all count. Empty: in all."""
    layer_scalar: bool = False
    """What a layer gives is multiplied by a stored number."""
    attention_scale: float | None = None
    """What scores are multiplied by; None: head_dim ** -0.5."""
    query_growth: tuple[float, float] | None = None
    """Queries grow with their position, in steps of the second number, by the first as `Ops.growth` says."""
    attention_softcap: float | None = None
    sinks: bool = False
    """Each head has a score of its own for a position that holds nothing (`SINKS`)."""
    embedding_scale: float = 1.0
    scales: Scales = Scales()
    residual_scale: float = 1.0
    """What attention and MLP give is multiplied by it before it is added."""
    logit_scale: float = 1.0
    head_bias: bool = False
    """Something is added to each logit."""
    logit_softcap: float | None = None
    fused_qkv: bool = False
    fused_gate_up: bool = False
    tied: bool = False
    assumed: tuple[str, ...] = ()
    """Values absent from config.json that change the mathematics, as "key = default" sentences."""

    pictures_whole: bool = False
    """The tokens of a picture see each other in both directions; `token_type_ids` says which they are."""
    deepstack: int = 0
    """To what so many of its first layers give, rows of pictures are added (DeepStack)."""

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        each_layers = {
            "windows": self.windows,
            "rotary embeddings": self.ropes,
            "mixers": self.mixers,
            "experts": self.experts,
            "heads": self.attentions,
            "widths of MLPs": self.inner_sizes,
            "shares of idle gates": self.sparsity,
        }
        for what, each in each_layers.items():
            if each and len(each) != self.num_layers:
                raise contradicting(f"{what} of {len(each)} layers are stated, and there are {self.num_layers} layers")
        if self.num_heads % self.num_kv_heads:
            raise contradicting(f"{self.num_heads} heads cannot share {self.num_kv_heads} keys evenly")
        if self.rope.dim % 2 or not 0 < self.rope.dim <= self.head_dim:
            raise contradicting(f"{self.rope.dim} of the {self.head_dim} dimensions of a head are to be rotated")

    @property
    def axes(self) -> int:
        """Axes of the positions that it is given; 0: they have one, and no dimension for it."""
        return len(self.rope.sections) + self.rope.leading

    @property
    def picture_inputs(self) -> tuple[Input, ...]:
        """What it takes beside embeddings, mask and positions, where pictures may be among the words."""
        types = [Input(TOKEN_TYPES, (-1, -1), "int64")] if self.pictures_whole else []
        deep = [Input(PICTURE_PLACES, (-1, -1), "bool"), Input(DEEP_ROWS, (self.deepstack, -1, self.hidden_size))]
        return (*types, *(deep if self.deepstack else []))

    @property
    def gguf_epsilon(self) -> str:
        """The key of a GGUF, without "ARCH." in front, that holds the epsilon of its norms."""
        return epsilon_key(layer_norm=self.layer_norm)

    @property
    def heads(self) -> Heads:
        """The heads of its attention."""
        return self.latent.all_heads if self.latent else Heads(self.num_heads, self.num_kv_heads, self.head_dim)

    @property
    def value_dim(self) -> int:
        """Width of a head's value."""
        return self.heads.value_width

    def attention_of(self, layer: int) -> Attention:
        """Return how a layer attends."""
        return self.attentions[layer] if self.attentions else Attention(self.heads)

    def vision_processor_of(self, layer: int) -> tuple[int, int | None]:
        """Return what a layer's mask depends on: the queries that share a key, and its window."""
        return self.attention_of(layer).heads.groups, self.window_of(layer)

    def inner_of(self, layer: int) -> int:
        """Return the width of a layer's MLP."""
        return self.inner_sizes[layer] if self.inner_sizes else self.intermediate_size

    @property
    def lookups(self) -> frozenset[str]:
        """The tables of which rows are looked up."""
        return frozenset([TABLE, *([LAYER_TABLE] if self.per_layer else [])])

    def mixer_of(self, layer: int) -> Mixer | None:
        """Return what mixes positions in a layer; None: attention."""
        return self.mixers[layer] if self.mixers else None

    @property
    def attending(self) -> tuple[int, ...]:
        """The layers that attend."""
        return tuple(layer for layer in range(self.num_layers) if self.beside or self.mixer_of(layer) is None)

    @property
    def remembering(self) -> tuple[int, ...]:
        """The layers that keep keys and values."""
        return tuple(layer for layer in self.attending if self.attention_of(layer).reads is None)

    @property
    def states(self) -> tuple[State, ...]:
        """What the other layers keep."""
        return tuple(state for layer, mixer in enumerate(self.mixers) if mixer for state in mixer.states(layer))

    @property
    def delicate(self) -> frozenset[str]:
        """Weights that are not stored in less than eight bits unless they are named: errors of a recurrence add up."""
        mixed = {
            f"model.layers.{layer}.{name}"
            for layer, mixer in enumerate(self.mixers)
            if mixer
            for name in mixer.delicate()
        }
        between = {
            f"model.layers.{layer}.{name}"
            for layer in range(self.num_layers if self.altup else 0)
            for name in COEFFICIENTS
        }
        return frozenset(mixed | between | self.routers)

    @property
    def routers(self) -> frozenset[str]:
        """Weights that choose experts."""
        return frozenset(
            f"model.layers.{layer}.{experts.stored.router}.weight"
            for layer, experts in enumerate(self.experts)
            if experts
        )

    def rope_of(self, layer: int) -> Rope | None:
        """Return a layer's rotary embedding; None if it has none."""
        return self.ropes[layer] if self.ropes else self.rope

    def window_of(self, layer: int) -> int | None:
        """Return how many positions one sees in a layer, itself included; None: all before it."""
        return self.windows[layer] if self.windows else None

    def experts_of(self, layer: int) -> Experts | None:
        """Return what a layer has in the place of a dense MLP; None: nothing."""
        return self.experts[layer] if self.experts else None

    def stacks(self, *, woven: bool = False) -> frozenset[str]:
        """Return the names of the experts' matrices, which lie in stacks [experts, rows, columns]."""
        return frozenset(
            f"model.layers.{layer}.{name}"
            for layer, experts in enumerate(self.experts)
            if experts
            for name in experts.stacks(self.hidden_size, woven=woven)
        )

    def distinct_ropes(self) -> tuple[Rope, ...]:
        """Return the rotary embeddings that occur, in the order of the layers."""
        return tuple(dict.fromkeys(rope for rope in map(self.rope_of, self.attending) if rope))

    @property
    def q_size(self) -> int:
        """Rows of the query projection."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Rows of the key projection, and of the value projection."""
        return self.num_kv_heads * self.head_dim
