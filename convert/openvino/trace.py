"""The trace engine: any decoder that optimum-intel can export, without its full-precision IR and without copies of the weights.

transformers builds the model over the mapped shards, optimum-intel's configuration patches it, torch traces it, OpenVINO
converts the trace. What comes out holds the checkpoint's own bytes; they are quantized on their way into the .bin, to the
bytes that `optimum-cli export openvino` would have written, or by NNCF in memory where it alone can.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError, ConversionError
from ...core.progress import Progress
from ...quantize import integer, nncf_call
from ...quantize.assign import Assignment, Weight, assign, ratio_defining
from ...quantize.scheme import Scheme
from ...quantize.tensor_precision import require_found
from ..checkpoint import Checkpoint
from ..mapped_file import MappedFile
from . import compress_find, compress_graph, rt_info, trace_fold, trace_loops, trace_names, trace_write
from .data_aware import Calibration
from .engine import Exported
from .stream_nncf import entries
from .trace_load import weights_of
from .trace_support import supported

__all__ = ["export", "supported", "weights"]

Array = npt.NDArray[Any]
_EMBEDDING = re.compile(r"(embed_tokens|embed_in|word_embeddings|wte|embeddings?)\.weight$")
_HALF_EPS, _FLOAT_EPS = 2.0**-10, 2.0**-23
"""NNCF adds to each error the eps of the weight's own type, bfloat16 counting as float16 (`DataFreeCriterion`);
`quantize.assign` adds float32's. It makes a difference where a graph holds both, as Gemma's does."""

_HEAD = re.compile(r"^(lm_head|embed_out|output)\.weight$")


def weights(checkpoint: Checkpoint) -> list[Weight]:
    """Guess, from names and shapes, the weights that a scheme compresses; a plan needs them before there is a graph.

    It differs from the graph's own list where transformers merges or splits tensors (experts), and in the order of layers'
    weights.
    """
    shapes = {name: checkpoint.info(name).shape for name in checkpoint.names}
    matrices = {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}
    tied = not any(_HEAD.search(name) for name in matrices)
    tables = sorted(name for name in matrices if _EMBEDDING.search(name))
    heads = sorted(name for name in matrices if _HEAD.search(name))
    middle = sorted(set(matrices) - set(tables) - set(heads), key=_natural)
    return [
        *(Weight(name, matrices[name], "embedding", tied and name == tables[0]) for name in tables),
        *(Weight(name, matrices[name], "matmul") for name in middle),
        *(Weight(name, matrices[name], "matmul", is_last=True) for name in heads),
    ]


def export(
    checkpoint: Checkpoint,
    scheme: Scheme,
    out: Path,
    *,
    compressor: str = "auto",
    calibration: Calibration | None = None,
    trust_remote_code: bool = False,
    progress: Progress,
) -> Exported:
    """Write openvino_model.xml and .bin.

    Args:
        checkpoint: of a type for which `supported` returns None.
        scheme: the resolved scheme.
        out: the staging folder.
        compressor: "auto" (our own quantizer where it is exact and fits every weight) or "nncf".
        calibration: the text of a scheme that has one.
        trust_remote_code: run the checkpoint's own code if transformers has no implementation.
        progress: reports the steps.

    Raises:
        CheckpointError: a tensor is missing, superfluous, NaN or infinite.
        ConversionError: the export or NNCF refuses.
    """
    from .trace_quiet import tracing

    reason = supported(checkpoint.config)
    if reason and not trust_remote_code:
        raise CheckpointError(reason)
    with tracing():
        model, named = _trace(checkpoint, scheme, trust_remote_code, progress)
    release = releaser(checkpoint)
    check_finite(checkpoint, {name.split("#")[0] for name in named}, release)

    def check_all() -> None:  # NNCF does not object to a NaN
        check_finite(checkpoint, set(), release)

    try:
        return write(
            model, named, scheme, out,
            compressor=compressor, calibration=calibration, release=release, check=check_all, progress=progress,
        )  # fmt: skip
    except CheckpointError:
        check_all()  # which knows in what file a tensor lies
        raise


def write(
    model: Any,
    named: dict[str, tuple[int, ...]],
    scheme: Scheme,
    out: Path,
    *,
    name: str = "openvino_model",
    generates: bool = True,
    compressor: str,
    calibration: Calibration | None = None,
    release: Callable[[Array], None],
    check: Callable[[], None] = lambda: None,
    progress: Progress,
) -> Exported:
    """Compress a traced graph and write its IR.

    Args:
        model: over the checkpoint's bytes.
        named: what `trace_names.adopt` returned.
        scheme: of its weights.
        out: the staging folder.
        name: of the two files, without the ending.
        generates: the graph holds the cache of keys and values.
        compressor: as for `export`.
        calibration: as for `export`.
        release: gives back the pages of an array.
        check: looks at every weight; called before NNCF is.
        progress: reports the steps.
    """
    rt_info.add(model, scheme, generates=generates)
    if scheme.compresses:
        model.set_rt_info(version("nncf"), ["optimum", "nncf_version"])
    contents = trace_write.Weights({*named}, release)
    notes: list[str] = []
    stand_ins = None
    used = "nncf" if scheme.compresses and (compressor == "nncf" or not scheme.exact) else "edgeconv"
    if used == "edgeconv":
        trace_names.normalize(model)  # what is to be written is found by name, and by the same in every process
        try:
            stand_ins = _stand_in(model, scheme, contents, progress, strict=generates)
        except compress_find.NotOurs as layout:
            if scheme.tensor_precision:
                raise ConversionError(
                    f"--tensor-precision cannot be carried out: a weight is not a plain matrix, which only NNCF can "
                    f"compress: {layout}.",
                    "Leave the option out.",
                ) from layout
            notes.append(f"NNCF compressed all weights, because one is not a plain matrix: {layout}.")
            used = "nncf"
    if used == "nncf":
        check()
        model = _compress_with_nncf(model, scheme, name, calibration, progress)
    trace_names.normalize(model, contents.stand_ins)
    digest = trace_write.write(model, contents, out, progress, name=name)
    del stand_ins  # its memory had to outlive the model's last use
    return Exported(entries(model, named, scheme), used, notes, {f"{name}.bin": digest})


def _trace(
    checkpoint: Checkpoint, scheme: Scheme, trust_remote_code: bool, progress: Progress
) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """Return the graph over the checkpoint's bytes, and name → shape of the constants that hold its tensors."""
    from .trace_load import load
    from .trace_model import to_openvino

    task = progress.task(f"Tracing {checkpoint.model_type}")
    torch_model = load(checkpoint)
    try:
        model = to_openvino(torch_model, compresses=scheme.compresses)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConversionError(f"optimum-intel cannot export this {checkpoint.model_type}: {error}") from error
    model = model.clone()  # leaves behind the nodes that nothing but the converter's memory still holds
    named = trace_names.adopt(model, checkpoint, torch_model)
    trace_names.check_used(trace_names.reached(model), torch_model)
    trace_fold.fold(model)
    trace_loops.take_apart(model)
    task.finish()
    return model, named


def _stand_in(model: Any, scheme: Scheme, contents: trace_write.Weights, progress: Progress, *, strict: bool) -> Any:
    """Replace the weights by stand-ins of the form that the scheme gives them, and list what these stand for.

    Raises:
        NotOurs: a weight has a layout that only NNCF handles.
        UsageError: `strict`, and a rule for single weights is found in none of the graph's.
    """
    found = compress_find.find(model, matrices=scheme.compresses)
    if strict:
        require_found((one.weight.name for one in found), scheme.tensor_precision)
    values = {one.weight.name: trace_write.constant_values(one.node) for one in found}
    table = _assign(found, values, scheme, contents.release, progress)
    planned = compress_graph.plan(found, table, scheme)
    stand_ins = compress_graph.StandIns(max((part.size for stored in planned for part in stored.parts), default=0))
    by_name = {one.weight.name: one for one in found}
    for stored in planned:
        contents.table[stored.name] = (stored, values[stored.name])
        compress_graph.replace(by_name[stored.name], stored, stand_ins)
    if scheme.compresses:
        compress_graph.add_rt_info(model, scheme)
    return stand_ins


def _assign(
    found: list[compress_find.Compressible],
    values: dict[str, Array],
    scheme: Scheme,
    release: Callable[[Array], None],
    progress: Progress,
) -> dict[str, Assignment]:
    listed = [one.weight for one in found]
    if not scheme.compresses or scheme.ratio >= 1:
        return assign(listed, scheme)
    candidates = [(w.name, values[w.name]) for w in ratio_defining(listed, scheme)]
    errors = trace_write.int8_errors(candidates, release, progress)
    for name, array in candidates:
        errors[name] += 0 if array.dtype == np.float32 else _HALF_EPS - _FLOAT_EPS
    return assign(listed, scheme, lambda weight: errors[weight.name])


def _compress_with_nncf(
    model: Any, scheme: Scheme, name: str, calibration: Calibration | None, progress: Progress
) -> Any:
    measured = None
    if calibration:
        trace_names.normalize(model)  # NNCF keeps its statistics by the nodes' names
        measured = calibration.samples(model, f"trace {name}")
    return nncf_call.compress(model, scheme, compress_find.rope_products(model), measured, progress)


def check_finite(checkpoint: Checkpoint, checked_elsewhere: set[str], release: Callable[[Array], None]) -> None:
    """Look at every weight but those `checked_elsewhere`. Raises CheckpointError if one is NaN or infinite."""
    for name in sorted(weights_of(checkpoint) - checked_elsewhere):
        values = checkpoint.tensor(name)
        with checkpoint.naming(name):
            integer.require_finite(values)
        release(values)


def releaser(checkpoint: Checkpoint) -> Callable[[Array], None]:
    """Return a function that gives back the pages of an array, if it is a part of a mapped shard."""
    shards: list[tuple[int, MappedFile]] = []
    for file in checkpoint.shards.values():
        if isinstance(file, MappedFile) and weights_of(checkpoint) & set(file.tensors):
            shards.append((file.address, file))

    def release(array: Array) -> None:
        start = array.ctypes.data
        for first, file in shards:
            if first <= start < first + file.size:
                file.release(start - first, start - first + array.nbytes)

    return release


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
