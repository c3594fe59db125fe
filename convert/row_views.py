"""Tensors by other names, and ranges of rows of tensors as tensors of their own: how makers' layouts are seen as transformers'.

Nothing is copied: a part is where its rows lie in the file, be they one range (ChatGLM's q, k and v) or one of each group of
heads (InternLM2's).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..core.errors import CheckpointError
from .mapped_file import MappedFile, Spread, TensorInfo
from .safetensors_file import Header

Shards = dict[str, MappedFile | Header]


@dataclass(frozen=True)
class Layout:
    """How a checkpoint calls its tensors, and where transformers has them.

    Attributes:
        outer: name → transformers' name, outside the layers.
        layer: the names within layers: its groups are the number, the module, and "weight" or "bias".
        inside: module of a layer → transformers' module.
        parts: module of a layer → transformers' modules that it holds together, and the rows of each in a group.
        groups: how often the parts follow one another.
        dropped: names of buffers, which are left out.
    """

    layer: re.Pattern[str]
    outer: Mapping[str, str] = field(default_factory=dict)
    inside: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    groups: int = 1
    dropped: re.Pattern[str] = re.compile(r"(?!)")


def seen(shards: Mapping[str, MappedFile | Header], layout: Layout) -> Shards:
    """Return the same shards with their tensors as transformers has them.

    Raises:
        CheckpointError: a tensor that holds parts does not have their rows.
    """
    found: Shards = {}
    for name, shard in shards.items():
        infos = [info for source in shard.tensors.values() for info in _views(source, layout)]
        found[name] = shard.with_tensors({info.name: info for info in infos})
    return found


def _views(source: TensorInfo, layout: Layout) -> Iterator[TensorInfo]:
    """Give the tensors that a source tensor becomes; one of an unknown name keeps it, and is refused later as unused."""
    layer = layout.layer.fullmatch(source.name)
    if layout.dropped.fullmatch(source.name):
        return
    if layer is None:
        yield replace(source, name=layout.outer.get(source.name, source.name))
    elif layer[2] in layout.parts:
        yield from _split(source, f"model.layers.{layer[1]}.", layer[3], layout.parts[layer[2]], layout.groups)
    else:
        module = layout.inside.get(layer[2])
        yield replace(source, name=f"model.layers.{layer[1]}.{module}.{layer[3]}") if module else source


def _split(source: TensorInfo, prefix: str, kind: str, parts: Mapping[str, int], groups: int) -> Iterator[TensorInfo]:
    period = sum(parts.values())
    if not source.shape or source.shape[0] != groups * period:
        counts = " + ".join(map(str, parts.values()))
        raise CheckpointError(
            f"{source.name} is {list(source.shape)}; by config.json it should have "
            f"{f'{groups} times ' if groups > 1 else ''}{counts} rows.",
            "Config and weights are not of the same model.",
        )
    rest = source.shape[1:]
    row = (source.end - source.start) // source.shape[0]
    first = 0
    for module, rows in parts.items():
        name, start, shape = f"{prefix}{module}.{kind}", source.start + first * row, (groups * rows, *rest)
        if groups == 1:
            yield TensorInfo(name, source.dtype, shape, start, start + rows * row)
        else:
            end = start + ((groups - 1) * period + rows) * row
            yield Spread(name, source.dtype, shape, start, end, rows, period * row)
        first += rows
