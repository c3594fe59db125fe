"""What is compressed at a time: the layers of a model, its components, or each of its matrices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...convert.checkpoint import Checkpoint
from ...core.errors import UsageError
from .model import Kind

BY = ("layer", "component", "tensor")
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")


@dataclass(frozen=True)
class Part:
    """Some matrices that are compressed together.

    Attributes:
        name: for people: "layer 3", "attention", or the tensor's own.
        kind: "layer", "attention", "mlp", "embeddings", "head", "vision".
        tensors: their names in the checkpoint.
        first: the first layer that is not the reference's: -1 if the embeddings are compressed, the number of layers if only
            the head is.
    """

    name: str
    kind: Kind
    tensors: tuple[str, ...]
    first: int


def matrices(checkpoint: Checkpoint, depth: int) -> dict[str, int]:
    """Return the language model's matrices and the layer of each: -1 for the embeddings, `depth` for a head of its own."""
    found = {EMBEDDINGS: -1}
    inside = [(name, _IN_LAYER.fullmatch(name)) for name in sorted(checkpoint.names)]
    layers = [(int(match[1]), name) for name, match in inside if match and len(checkpoint.info(name).shape) == 2]
    found |= {name: layer for layer, name in sorted(layers) if layer < depth}
    if HEAD in checkpoint.names:
        found[HEAD] = depth
    return found


def parts(matrices: dict[str, int], depth: int, by: str, *, tied: bool) -> list[Part]:
    """Cut a model into parts.

    Args:
        matrices: as the function of that name gives them.
        depth: number of layers.
        by: "layer", "component" or "tensor"; a layer is what lies in it, the embeddings and the head are parts of their own.
        tied: the head is the embeddings' matrix; a `lm_head.weight` beside it is a copy that nobody reads.

    Raises:
        UsageError: an unknown `by`.
    """
    if by not in BY:
        raise UsageError(f"Parts cannot be cut by {by!r}.", f"One of: {', '.join(BY)}.")
    used = {name: layer for name, layer in matrices.items() if not (tied and name == HEAD)}
    if by == "tensor":
        return [Part(name, kind_of(name), (name,), layer) for name, layer in used.items()]
    inner = [name for name, layer in used.items() if 0 <= layer < depth]
    if by == "layer":
        cut = [_part(f"layer {i}", "layer", [n for n in inner if used[n] == i], used) for i in range(depth)]
    else:
        kinds: tuple[Kind, ...] = ("attention", "mlp")
        cut = [_part(kind, kind, [n for n in inner if kind_of(n) == kind], used) for kind in kinds]
    ends = [Part("embeddings and head" if tied else "embeddings", "embeddings", (EMBEDDINGS,), -1)]
    if HEAD in used:
        ends.append(Part("head", "head", (HEAD,), depth))
    return [ends[0], *cut, *ends[1:]]


def kind_of(name: str) -> Kind:
    """Return "embeddings", "head", "attention" or "mlp" (whatever in a layer is not attention)."""
    if name in (EMBEDDINGS, HEAD):
        return "embeddings" if name == EMBEDDINGS else "head"
    return "attention" if "attn" in name else "mlp"


def _part(name: str, kind: Kind, tensors: Iterable[str], used: dict[str, int]) -> Part:
    found = tuple(tensors)
    return Part(name, kind, found, min((used[n] for n in found), default=0))
