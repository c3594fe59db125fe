"""The vision part of a model as a file of its own, mmproj-NAME.gguf, which llama.cpp's multimodal library loads.

What it holds is declared by the family (`program.mmproj_spec.Mmproj`). Where llama.cpp departs from the model, the declaration's
`deviations` tell.
"""

from __future__ import annotations

import fnmatch
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...core.errors import CheckpointError, UsageError
from ...core.manifest import FileDigest
from ...core.progress import Progress
from ...quantize.ggml.types import TYPES, Type
from .. import alternatives
from ..alternatives import InexpressibleError
from ..checkpoint import Checkpoint
from ..gguf_held import Held
from ..program.mmproj_spec import How, Mmproj, Sizes
from ..program.reading import UnsupportedArchitecture
from . import processor
from .header import Value, boolean, string
from .layout import File, Layout, Placed, file
from .metadata import Origin, general
from .model import Tensor
from .recipe import FILE_TYPES
from .write import write

PRECISIONS = {"fp16": "f16", "int8": "q8_0", "fp32": "f32"}
"""Names of `--vision-precision`, and the type that the matrices get."""
PREFIX = "mmproj-"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Projector:
    """All that will be written, known before a weight is read.

    Attributes:
        layout: of the one file.
        precision: a key of PRECISIONS.
        declared: by the family.
    """

    layout: Layout
    precision: str
    declared: Mmproj

    @property
    def file(self) -> File:
        """The one file."""
        return self.layout.files[0]


def prepare(
    checkpoint: Checkpoint, declared: Mmproj, shapes: Shapes, file_name: str, *, precision: str, origin: Origin
) -> Projector:
    """Decide everything from config and headers.

    Args:
        checkpoint: of which the headers are enough.
        declared: by the family.
        shapes: of the vision part's tensors, in their order.
        file_name: of the result.
        precision: a key of PRECISIONS.
        origin: where the checkpoint comes from.

    Raises:
        UsageError: an unknown precision.
        CheckpointError: a tower that llama.cpp's graph is not, or tensors that are missing.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"A GGUF's tower cannot be stored as {precision}.", f"One of: {', '.join(PRECISIONS)}.")
    kind = PRECISIONS[precision]
    try:
        sizes = declared.sizes(checkpoint.config)
        own = tensors(checkpoint, declared, sizes, shapes)
        placed = [Placed(tensor, _type(declared, tensor, kind), 0) for tensor in own]
        parameters = sum(math.prod(tensor.shape) for tensor in own)
        keys = {**_general(checkpoint, kind, origin, parameters), **own_keys(checkpoint, declared, sizes)}
        laid = Layout((file(placed, keys, file_name),), ())
    except UnsupportedArchitecture as reason:
        raise InexpressibleError(
            f"llama.cpp's {declared.kind!r} cannot see for this model: {reason}.",
            reason.hint or alternatives.hint("gguf", checkpoint.config, checkpoint.names),
        ) from reason
    except (LookupError, TypeError, ValueError, ArithmeticError, struct.error) as error:
        raise CheckpointError(
            f"config.json holds a value out of range: {type(error).__name__}: {error}.",
            "Repair the file, or download it again.",
        ) from error
    return Projector(laid, precision, declared)


def export(checkpoint: Checkpoint, projector: Projector, out: Path, progress: Progress) -> dict[str, FileDigest]:
    """Write the file into the staging folder; return its digest by name.

    Raises:
        CheckpointError: a weight is NaN or infinite, or does not fit float16.
    """
    return write(checkpoint, projector.layout, out, None, progress)


def tensors(checkpoint: Checkpoint, declared: Mmproj, sizes: Sizes, shapes: Shapes) -> list[Tensor]:
    """Return the tensors of the file, in the order in which it holds them.

    Raises:
        CheckpointError: one of the checkpoint is missing, or of another shape.
        UnsupportedArchitecture: one has no place in llama.cpp's graph.
    """
    config, made = checkpoint.config, []
    for source, shape in shapes.items():
        if source not in checkpoint.names or checkpoint.info(source).shape != shape:
            raise CheckpointError(
                f"{source} is missing or not {list(shape)}.", "A shard is missing; download it again."
            )
        layer = declared.layer_of(source)
        beyond = layer is not None and layer >= sizes.layers
        if beyond or any(fnmatch.fnmatchcase(source, p) for p in declared.unused):
            continue
        made += list(_of(declared, sizes, source, shape, config))
    for source, (name, piece) in declared.language(config, checkpoint.folder).items():
        made.append(_tensor(declared, name, checkpoint.info(source).shape, source, piece))
    return made


def processor_of(checkpoint: Checkpoint, declared: Mmproj) -> Mapping[str, Any]:
    """Return what the checkpoint's files state of its pictures. Raises CheckpointError."""
    return (declared.processor or processor.read)(checkpoint.folder)


def _of(
    declared: Mmproj, sizes: Sizes, source: str, shape: tuple[int, ...], config: Mapping[str, Any]
) -> Iterator[Tensor]:
    parts = declared.parts(source, shape, config)
    if parts is None:
        raise UnsupportedArchitecture(f"it has a tensor {source}, which has no place there")
    # where they are of one shape, the loader takes them for those of an old file, which had the two names exchanged
    turned = declared.exchanges and sizes.inner == sizes.width
    for name, how in parts.items():
        yield _tensor(declared, other(name) if turned else name, shape, source, how)


def other(name: str) -> str:
    """Return the name that the other matrix of an MLP has."""
    if ".ffn_up." in name:
        return name.replace(".ffn_up.", ".ffn_down.")
    return name.replace(".ffn_down.", ".ffn_up.")


def _tensor(declared: Mmproj, name: str, shape: tuple[int, ...], source: str, how: How) -> Tensor:
    plus = declared.plus.get(name, 0.0)
    if isinstance(how, Held):
        return Tensor(name, how.shape(shape), source, plus=plus, held=how)
    return Tensor(name, how.lies(shape), source, plus=plus, piece=how)


def _type(declared: Mmproj, tensor: Tensor, kind: str) -> Type:
    """Matrices get the kind; what is added or multiplied element by element stays float32."""
    matrix = len(tensor.shape) > 1 and ".weight" in tensor.name and tensor.name != "v.position_embd.weight"
    if not matrix or tensor.name.endswith(declared.float32):
        return TYPES["f32"]
    if len(tensor.shape) > 2 or tensor.name.endswith(declared.half):
        return TYPES["f32" if kind == "f32" else "f16"]
    return TYPES[kind if TYPES[kind].fits(tensor.shape[-1]) else "f16"]


def _general(checkpoint: Checkpoint, kind: str, origin: Origin, parameters: int) -> dict[str, Value]:
    described: Mapping[str, Value] = general(
        origin,
        checkpoint.folder,
        {},
        file_type=FILE_TYPES[kind].number,
        parameters=parameters,
        version=version("edgeconv"),
    )
    return {"general.architecture": string("clip"), **described, "general.type": string("mmproj")}


def own_keys(checkpoint: Checkpoint, declared: Mmproj, sizes: Sizes) -> dict[str, Value]:
    """Return the keys `clip.*`, which say how the library prepares pictures and computes. Raises as `prepare`."""
    stated = processor_of(checkpoint, declared)
    own = declared.keys(checkpoint.config, stated)
    return {
        "clip.has_vision_encoder": boolean(True),
        "clip.projector_type": string(declared.kind),
        **declared.common_keys(sizes, stated),
        **{f"clip.vision.{name}": value for name, value in own.items()},
    }
