"""The trace engine for ONNX: a decoder that only transformers knows, without a copy of its weights.

`torch.onnx.export` makes the graph around stand-ins (`trace_model`); the weights are bound to it afterwards (`trace_graph`), and
go from the mapped shards through the quantizer to their places in the file as the stream engine's do.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from ...core.progress import Progress
from ...quantize.assign import Role, Weight
from ...quantize.scheme import Scheme
from ...quantize.tensor_precision import require_found
from ..checkpoint import Checkpoint
from ..openvino.engine import Exported
from ..openvino.trace_load import weights_of
from . import trace_graph
from .export import write_models
from .models import Model
from .names import TEXT
from .sizes import Sizes, of_caches
from .trace_source import is_conv1d, turned

PACKAGE = "onnxscript"
GRAPH, GRAPH_LAYER = 8_000, 9_000
"""Bytes of a traced graph, and what each layer adds: about, for families differ."""
_TOKENS = re.compile(r"(embed_tokens|embed_in|word_embeddings|wte|embeddings?)\.weight$")
_POSITIONS = re.compile(r"(wpe|embed_positions|position_embeddings?)\.weight$")
_HEAD = re.compile(r"^(lm_head|embed_out|output)\.weight$")


def require_package() -> None:
    """Raise UsageError if what torch's exporter needs is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError(
            f"torch exports to ONNX with the package {PACKAGE}, which is not installed.", "pip install 'edgeconv[onnx]'"
        )


def prepare(checkpoint: Checkpoint, progress: Progress) -> trace_graph.Plan:
    """Trace a checkpoint; what a scheme makes of it is decided later.

    Raises:
        CheckpointError: it is of no kind that can be traced, or config.json and tensors do not fit.
        ConversionError: torch cannot export it.
    """
    from ..openvino.trace_quiet import tracing
    from .trace_model import trace

    task = progress.task(f"Tracing {checkpoint.model_type}")
    with tracing():
        made = trace_graph.plan(trace(checkpoint), checkpoint)
    task.finish()
    return made


def write(
    checkpoint: Checkpoint,
    made: trace_graph.Plan,
    scheme: Scheme,
    out: Path,
    *,
    accuracy_level: int = 4,
    progress: Progress,
) -> Exported:
    """Write model.onnx and model.onnx_data.

    Args:
        checkpoint: that was traced.
        made: what `prepare` returned.
        scheme: the resolved scheme, checked by `export.require_expressible`.
        out: the staging folder.
        accuracy_level: of MatMulNBits.
        progress: reports the steps.

    Raises:
        CheckpointError: a weight is NaN or infinite, or too large for the type that it is to have.
        UsageError: no block of MatMulNBits divides a group, or a rule for single weights is found in none of the graph's.
    """
    require_found((weight.name for weight in made.weights), scheme.tensor_precision)
    exported = write_models(
        turned(checkpoint, made.turned),
        [trace_graph.model(made, scheme)],
        out,
        accuracy_level=accuracy_level,
        progress=progress,
    )
    shapes = [entry.model_copy(update={"shape": list(checkpoint.info(entry.name).shape)}) for entry in exported.tensors]
    return replace(exported, tensors=shapes)


def sizes(checkpoint: Checkpoint, made: trace_graph.Plan) -> Sizes | None:
    """Return the sizes that runtimes ask for; None if the layers' caches are not alike."""
    return of_caches(checkpoint.config, made.traced.caches, made.traced.vocab_size)


def forecast(checkpoint: Checkpoint, scheme: Scheme) -> Model:
    """Guess the model from names and shapes, for a plan: it is exact up to the graph and the order of the weights."""
    names = sorted(weights_of(checkpoint), key=_natural)
    shapes = {name: _shape(checkpoint, name) for name in names}
    return Model(TEXT, shapes, _weights(shapes), _nothing, scheme)


def _nothing(graph: Any) -> None:
    """Build no graph: a plan has none."""


def _shape(checkpoint: Checkpoint, name: str) -> tuple[int, ...]:
    shape = checkpoint.info(name).shape
    return shape[::-1] if is_conv1d(checkpoint, name) else shape


def _weights(shapes: dict[str, tuple[int, ...]]) -> list[Weight]:
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    tied = not any(_HEAD.search(name) for name in matrices)
    places = [name for name in matrices if _POSITIONS.search(name)]
    tables = [name for name in matrices if _TOKENS.search(name) and name not in places] + places
    heads = [name for name in matrices if _HEAD.search(name)]
    middle = [name for name in matrices if name not in (*tables, *heads)]
    role: Role = "embedding"
    return [
        *(Weight(name, matrices[name], role, tied and name == tables[0]) for name in tables),
        *(Weight(name, matrices[name], "matmul") for name in middle),
        *(Weight(name, matrices[name], "matmul", is_last=True) for name in heads),
    ]


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
