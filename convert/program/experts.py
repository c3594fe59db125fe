"""Mixtures of experts: an MLP of which each token passes through a few of many, as a router chooses.

`Experts` says in numbers what a layer's MLP is, `Stored` how a checkpoint calls its tensors. Whatever form they lie in there, the
matrices of a role are seen as one stack [experts, rows, columns] (`convert.stacks`), named after transformers' modules:
MODULE.experts.{gate,up,down}_proj.weight, and .bias [experts, 1, rows]. A graph whose runtime multiplies gate and up at once
takes them woven, row by row: MODULE.experts.gate_up_proj.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..derived import AS_IS, Form
from .reading import Reader, UnsupportedArchitecture, contradicting, whole, wrong

Shapes = dict[str, tuple[int, ...]]
ROLES = ("gate", "up", "down")
_STACK = re.compile(r"(gate_up|gate|up|down)_proj\.(weight|bias)")
WOVEN = "gate_up"
"""Gate and up, whose rows alternate."""


@dataclass(frozen=True)
class Stored:
    """The names in a checkpoint, behind a layer's prefix.

    Attributes:
        module: of the mixture.
        router: of the router.
        each: role → the tensor of one expert, whose number stands where "{}" is.
        whole: role → the tensor of all experts, and which part of it is theirs.
        bias: role → likewise, the biases [experts, …].
    """

    module: str = "mlp"
    router: str = "mlp.gate"
    each: Mapping[str, str] = field(default_factory=dict)
    whole: Mapping[str, tuple[str, Form]] = field(default_factory=dict)
    bias: Mapping[str, tuple[str, Form]] = field(default_factory=dict)

    def stack(self, role: str, kind: str = "weight") -> str:
        """Return the name of a role's stack."""
        return f"{self.module}.experts.{role}_proj.{kind}"

    def loaded(self, stack: str) -> tuple[str, Form] | None:
        """Return the tensor of transformers in which a stack lies, behind a layer's prefix, and as what part; None: no stack."""
        inside = _STACK.fullmatch(stack.removeprefix(f"{self.module}.experts."))
        table = self.bias if inside and inside[2] == "bias" else self.whole
        if inside is None or not table:
            return None
        if inside[1] != WOVEN:
            return table[inside[1]]
        name, form = table["gate"]
        return name, Form(turned=form.turned) if form.strided else Form(woven=True)


GATE, UP = Form("", 1, 0, 2), Form("", 1, 1, 2)
"""The halves of gate and up in one, [experts, 2 * rows, columns]."""
JOINED = {
    "gate": ("mlp.experts.gate_up_proj", GATE),
    "up": ("mlp.experts.gate_up_proj", UP),
    "down": ("mlp.experts.down_proj", AS_IS),
}
"""How transformers 5 holds experts in memory, and calls them."""
SEPARATE = Stored(each={role: f"mlp.experts.{{}}.{role}_proj.weight" for role in ROLES}, whole=JOINED)
"""A tensor for each expert and role, as most checkpoints have them."""


@dataclass(frozen=True)
class Shared:
    """An expert through which all tokens pass.

    Attributes:
        width: of its inner states.
        module: its name behind the layer's prefix.
        gate: the module, one row, whose sigmoid its result is multiplied with; None: by nothing.
    """

    width: int
    module: str
    gate: str | None = None


@dataclass(frozen=True)
class Experts:
    """What a layer has in the place of a dense MLP.

    A token's scores are the softmax or sigmoid of the router's logits; the `used` experts of the highest are taken, each
    multiplied by its weight, and added up.

    Attributes:
        count: number of experts.
        used: how many a token passes through.
        width: of an expert's inner states.
        stored: names.
        scores: what becomes of the logits.
        late: the softmax is taken over the chosen ones' logits alone.
        normalized: the chosen ones' scores are divided by their sum.
        factor: multiplies the weights in the end.
        correction: the tensor behind the layer's prefix that is added to the scores for choosing, not for weighing.
        correction_rows: it is stored as a row of a matrix, [1, count].
        groups: experts are parted in so many; only the `used_groups` best are looked at.
        used_groups: likewise.
        group_best: a group is as good as so many of its best scores together.
        bias: router and experts have biases.
        limit: gate is cut off above it, up beyond ± it, and the MLP is gate * sigmoid(1.702 gate) * (up + 1); None: a plain one.
        shared: an expert for all tokens.
    """

    count: int
    used: int
    width: int
    stored: Stored = SEPARATE
    scores: Literal["softmax", "sigmoid"] = "softmax"
    late: bool = False
    normalized: bool = True
    factor: float = 1.0
    correction: str | None = None
    correction_rows: bool = False
    groups: int = 1
    used_groups: int = 1
    group_best: int = 2
    bias: bool = False
    limit: float | None = None
    shared: Shared | None = None

    def __post_init__(self) -> None:
        """Raise CheckpointError for numbers that contradict each other."""
        if self.used > self.count:
            raise contradicting(f"a token cannot pass through {self.used} of {self.count} experts")
        if self.count % self.groups or self.used_groups > self.groups:
            raise contradicting(
                f"{self.count} experts in {self.groups} groups, of which {self.used_groups} are looked at"
            )

    def tensors(self, hidden: int, *, woven: bool = False) -> Shapes:
        """Return name and shape of its tensors, behind a layer's prefix, in the order in which a graph reads them."""
        shapes: Shapes = {f"{self.stored.router}.weight": (self.count, hidden)}
        if self.bias:
            shapes[f"{self.stored.router}.bias"] = (self.count,)
        if self.correction:
            shapes[self.correction] = (1, self.count) if self.correction_rows else (self.count,)
        for role, (rows, columns) in self._matrices(hidden, woven).items():
            shapes[self.stored.stack(role)] = (self.count, rows, columns)
            if self.bias:
                shapes[self.stored.stack(role, "bias")] = (self.count, 1, rows)
        if self.shared:
            inner = self.shared.width
            for role, shape in {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}.items():
                shapes[f"{self.shared.module}.{role}_proj.weight"] = shape
            if self.shared.gate:
                shapes[f"{self.shared.gate}.weight"] = (1, hidden)
        return shapes

    def _matrices(self, hidden: int, woven: bool) -> dict[str, tuple[int, int]]:
        down = {"down": (hidden, self.width)}
        if woven:
            return {WOVEN: (2 * self.width, hidden)} | down
        return {"gate": (self.width, hidden), "up": (self.width, hidden)} | down

    def stacks(self, hidden: int, *, woven: bool = False) -> list[str]:
        """Return the names of the matrices that are stacked."""
        return [self.stored.stack(role) for role in self._matrices(hidden, woven)]


COUNTS = frozenset(["num_experts", "num_local_experts"])
"""The names under which transformers writes the number of experts, some of which it takes for one."""


MAX_EXPERTS = 4096
"""Eight times as many as any model has; each is a tensor whose name is looked for."""


def read_count(read: Reader) -> int:
    """Return the number of experts, by whichever name it is stated. Raises CheckpointError."""
    stated = {whole(read.config[name], name) for name in sorted(COUNTS) if read.config.get(name) is not None}
    if len(stated) > 1:
        raise contradicting(f"num_experts and num_local_experts are {' and '.join(map(str, sorted(stated)))}")
    return bounded(
        stated.pop() if stated else read.size(next(name for name in sorted(COUNTS) if name in read.defaults))
    )


def bounded(count: int) -> int:
    """Return a number of experts. Raises CheckpointError if there are too many."""
    if count > MAX_EXPERTS:
        raise wrong("the number of experts", count, f"at most {MAX_EXPERTS:,}")
    return count


def sparse_layers(read: Reader) -> tuple[bool, ...]:
    """Tell layer by layer which has experts, by `decoder_sparse_step` and `mlp_only_layers`. Raises CheckpointError."""
    dense, step = read.config.get("mlp_only_layers") or [], read.get("decoder_sparse_step")
    if not isinstance(dense, list):
        raise wrong("mlp_only_layers", dense, "a list")
    every = whole(step, "decoder_sparse_step")
    return tuple(layer not in dense and (layer + 1) % every == 0 for layer in range(read.layers()))


def in_layers(experts: Experts, sparse: Sequence[bool]) -> tuple[Experts | None, ...]:
    """Return the experts of each layer, None for a dense one; empty if all are dense."""
    return tuple(experts if yes else None for yes in sparse) if any(sparse) else ()


def read_experts(read: Reader, shared: Shared | None = None) -> tuple[Experts | None, ...]:
    """Return the experts of each layer as Qwen's configs state them. Raises CheckpointError."""
    experts = Experts(
        count=read_count(read),
        used=read.size("num_experts_per_tok"),
        width=read.size("moe_intermediate_size"),
        normalized=bool(read.get("norm_topk_prob")),
        shared=shared,
    )
    return in_layers(experts, sparse_layers(read))


def read_shared(read: Reader) -> Shared:
    """Return the expert of Qwen's that all tokens pass through, with its gate. Raises CheckpointError."""
    return Shared(read.size("shared_expert_intermediate_size"), "mlp.shared_expert", "mlp.shared_expert_gate")


def require_everywhere(experts: Sequence[Experts | None], arch: str) -> list[Experts]:
    """Return the experts of all layers. Raises UnsupportedArchitecture if a layer has none, for llama.cpp's graph of `arch`."""
    found = [one for one in experts if one]
    if not found or len(found) < len(experts):
        raise UnsupportedArchitecture(
            f"some of its layers have no experts, and llama.cpp's {arch} has them in every layer"
        )
    return found


def read_grouped(read: Reader) -> Experts:
    """Read experts chosen by corrected sigmoid scores from the best groups, as DeepSeek V3's config states them."""
    inner = read.size("moe_intermediate_size")
    return Experts(
        count=bounded(read.size("n_routed_experts")),
        used=read.size("num_experts_per_tok"),
        width=inner,
        scores="sigmoid",
        normalized=bool(read.get("norm_topk_prob")),
        factor=read.number("routed_scaling_factor"),
        correction="mlp.gate.e_score_correction_bias",
        groups=read.size("n_group"),
        used_groups=read.size("topk_group"),
        shared=Shared(inner * read.size("n_shared_experts"), "mlp.shared_experts"),
    )


def behind_dense(read: Reader, layers: int, experts: Experts) -> tuple[Experts | None, ...]:
    """Return what each layer has where the first ones, as many as first_k_dense_replace says, have no experts."""
    dense = read.get("first_k_dense_replace")
    if type(dense) is not int or dense < 0:
        raise wrong("first_k_dense_replace", dense, "a number of layers")
    return in_layers(experts, [layer >= dense for layer in range(layers)])
