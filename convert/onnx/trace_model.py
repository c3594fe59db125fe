"""transformers' model of a checkpoint becomes an ONNX graph, without a single weight: `torch.onnx.export` sees stand-ins.

A stand-in has its tensor's shape and float32's type, and lies in a mapping of zeros that nothing ever reads or fills. Where it
lies tells, in the model that transformers has built, which tensor of the checkpoint a parameter is. For the export they become
inputs of the graph, so that no pass can fold what is not there.
"""

from __future__ import annotations

import inspect
import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import CheckpointError, ConversionError
from .. import alternatives
from ..checkpoint import Checkpoint
from ..openvino.trace_load import build, weights_of
from .ops import OPSET
from .sizes import Caches

INPUTS = ("input_ids", "attention_mask", "position_ids")
_BATCH, _NEW, _PAST = 2, 3, 5
"""Sizes of the example: all different, and neither 0 nor 1, for which torch.export makes graphs of their own."""
_ALIGNMENT = 64


@dataclass(frozen=True)
class Traced:
    """A graph without weights.

    Attributes:
        proto: `onnx.ModelProto`; its inputs are INPUTS, the caches (key and value of each layer in turn), and the tensors.
        tensors: name of an input → name of the tensor of the checkpoint that it stands for.
        caches: what each layer keeps.
        vocab_size: columns of the logits.
    """

    proto: Any
    tensors: dict[str, str]
    caches: Caches
    vocab_size: int


def trace(checkpoint: Checkpoint) -> Traced:
    """Trace a causal language model. Code of the checkpoint's own is never run.

    Raises:
        CheckpointError: config.json and tensors do not fit, or the model has no cache of keys and values alone.
        ConversionError: torch cannot export it.
    """
    model, zeros = _skeleton(checkpoint)
    tensors = {f"model.{path}": name for path, name in _tensors(checkpoint, model, zeros).items()}
    caches, vocab_size = _sizes(checkpoint, model)
    proto = _without_weights(_export(checkpoint, model, caches), tensors)
    return Traced(proto, tensors, caches, vocab_size)


@dataclass(frozen=True)
class _Zeros:
    """Where the stand-ins lie: address → tensor's name; `memory` must outlive the model."""

    memory: Any
    homes: dict[int, str]


def _skeleton(checkpoint: Checkpoint) -> tuple[Any, _Zeros]:
    """Build the model in float32 around stand-ins."""
    import torch

    names = sorted(weights_of(checkpoint))
    starts, end = {}, 0
    for name in names:
        starts[name] = end
        end += -(-4 * checkpoint.info(name).size // _ALIGNMENT) * _ALIGNMENT
    # mapped, and for reading only: allocated zeros would count against a limit on memory though nothing ever fills them
    memory = mmap.mmap(-1, end + _ALIGNMENT, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = torch.frombuffer(memory, dtype=torch.float32)
    stand_ins = {}
    for name in names:
        shape, start = checkpoint.info(name).shape, starts[name] // 4
        stand_ins[name] = whole[start : start + math.prod(shape)].view(shape)
    homes = {tensor.data_ptr(): name for name, tensor in stand_ins.items()}
    model = build(checkpoint, stand_ins, dtype=torch.float32, attn_implementation="eager")
    _check_ties(checkpoint, model)
    return model, _Zeros(memory, homes)


def _check_ties(checkpoint: Checkpoint, model: Any) -> None:
    """Both ends of a tie may be stored if they are equal; to transformers stand-ins always are."""
    for target, source in model.get_expanded_tied_weights_keys(all_submodels=True).items():
        if not {target, source} <= checkpoint.names:
            continue
        one, other = checkpoint.tensor(target), checkpoint.tensor(source)
        if one.dtype != other.dtype or not np.array_equal(one, other):
            raise CheckpointError(
                f"config.json says that {target} is tied to {source}, but the two differ.",
                'Set "tie_word_embeddings": false in config.json if both are meant to be used.',
            )


def _tensors(checkpoint: Checkpoint, model: Any, zeros: _Zeros) -> dict[str, str]:
    """Return parameter (or buffer, if the checkpoint holds it) → tensor's name."""
    found = {}
    for path, parameter in model.named_parameters(remove_duplicate=False):  # torch.export keeps either end of a tie
        name = zeros.homes.get(parameter.data_ptr())
        if name is None or checkpoint.info(name).size != parameter.numel():
            raise CheckpointError(
                f"transformers makes {path} of several tensors of the checkpoint, which the trace engine for ONNX does not.",
                alternatives.hint("onnx", checkpoint.config, checkpoint.names),
            )
        found[path] = name
    for path, buffer in model.named_buffers():
        name = zeros.homes.get(buffer.data_ptr())
        if name is not None:
            found[path] = name
    return found


def _sizes(checkpoint: Checkpoint, model: Any) -> tuple[Caches, int]:
    """Let the model run on nothing, to see what it caches: [heads, head_dim] of key and value of each layer, and the vocabulary.

    Raises:
        CheckpointError: it caches something else besides, or not in every layer.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import DynamicCache

    with _refusals(checkpoint), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        made = model(input_ids=torch.zeros(1, 3, dtype=torch.int64), past_key_values=DynamicCache(), use_cache=True)
    caches: Caches = []
    for layer in getattr(made.get("past_key_values"), "layers", None) or []:
        key, value = (_side(getattr(layer, name, None)) for name in ("keys", "values"))
        if key is None or value is None:
            raise CheckpointError(
                f"{checkpoint.model_type} keeps more than keys and values, for which edgeconv has no ONNX graph.",
                alternatives.hint("onnx", checkpoint.config, checkpoint.names),
            )
        caches.append((key, value))
    if not caches:
        raise CheckpointError(
            f"{checkpoint.model_type} has no cache of keys and values.", "Only such decoders run as ONNX."
        )
    return caches, int(made.logits.shape[-1])


def _side(tensor: Any) -> tuple[int, int] | None:
    """Return [heads, head_dim] of what a layer keeps of three positions; None if it is of another form."""
    if tensor is None or tensor.ndim != 4 or tensor.shape[2] != 3:
        return None
    return int(tensor.shape[1]), int(tensor.shape[3])


def _step(model: Any) -> Any:
    """Return a module from INPUTS and the flat cache to logits and the flat cache."""
    import torch
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    class Step(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, position_ids: Any, past: list[Any]) -> list[Any]:
            cache = DynamicCache()  # without a config it keeps every position: windows are the masks' business
            for key, value in zip(past[0::2], past[1::2], strict=True):
                layer = DynamicLayer()
                layer.dtype, layer.device, layer.is_initialized = key.dtype, key.device, True
                layer.keys, layer.values = key, value
                cache.layers.append(layer)
            options = {"position_ids": position_ids} if takes_positions else {}
            made = self.model(
                input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **options
            )
            return [made.logits, *(side for layer in cache.layers for side in (layer.keys, layer.values))]

    return Step().eval()


def _export(checkpoint: Checkpoint, model: Any, caches: Caches) -> Any:
    """Return the `torch.onnx.ONNXProgram`."""
    import torch

    past = [torch.zeros(_BATCH, heads, _PAST, size) for sides in caches for heads, size in sides]
    example = (
        torch.zeros(_BATCH, _NEW, dtype=torch.int64),
        torch.ones(_BATCH, _PAST + _NEW, dtype=torch.int64),
        torch.arange(_PAST, _PAST + _NEW).expand(_BATCH, _NEW).contiguous(),
        past,
    )
    any_ = torch.export.Dim.DYNAMIC
    plane = {0: any_, 1: any_}
    shapes = (plane, plane, plane, [{0: any_, 2: any_} for _ in past])
    with _refusals(checkpoint), torch.no_grad():
        program = torch.export.export(_step(model), example, dynamic_shapes=shapes, strict=False)
        _require_any_size(program)
        return torch.onnx.export(program, dynamo=True, opset_version=OPSET, optimize=False, verbose=False)


def _require_any_size(program: Any) -> None:
    """Refuse a graph that holds for some lengths only: torch.export follows the branches that the example takes.

    Its ranges begin at 2, and at 4 for the sum of two sizes, whatever the graph does with fewer.
    """
    from torch.utils._sympy.numbers import int_oo

    for symbol, sizes in program.range_constraints.items():
        if sizes.lower > 2 * _BATCH or sizes.upper != int_oo:
            raise ValueError(f"the graph holds only for {sizes.lower} <= {symbol} <= {sizes.upper}")


@contextmanager
def _refusals(checkpoint: Checkpoint) -> Iterator[None]:
    """Say in one sentence why torch cannot trace a model."""
    try:
        yield
    except Exception as error:  # classes of every library involved, and all mean that it cannot be done
        raise ConversionError(
            f"torch cannot export {checkpoint.model_type} to ONNX: {_first_line(error)}.",
            f"{alternatives.hint('onnx', checkpoint.config, checkpoint.names)} -v shows what torch says.",
        ) from error


def _without_weights(program: Any, tensors: dict[str, str]) -> Any:
    """Make the stand-ins inputs, simplify what does not depend on them, and return the `onnx.ModelProto`."""
    import onnx_ir
    from onnxscript import optimizer

    graph = program.model.graph
    for path in tensors:
        value = graph.initializers.pop(path, None)
        if value is None:
            continue
        value.const_value = None
        graph.inputs.append(value)
    optimizer.optimize_ir(program.model)
    return onnx_ir.to_proto(program.model)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
