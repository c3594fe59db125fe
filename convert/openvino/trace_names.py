"""Names: constants get those of the checkpoint's tensors, and numbered nodes get numbers that do not depend on the process."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import CheckpointError
from ...quantize.integer import to_float32
from .. import derived
from ..checkpoint import Checkpoint
from .trace_load import weights_of

Array = npt.NDArray[Any]

_MODULE = re.compile(r"^(?:__module|self)\.([^/]+)")
_ROUNDED = 0.01
"""Relative RMS below which values are taken for a tensor's: rounding to bfloat16 makes 0.002, another tensor 1."""
_INSIDE = re.compile(r"^([A-Za-z]+_\d+)(/.+)$")
"""A node that OpenVINO made of a numbered one."""
_NUMBERED = re.compile(r"^([A-Za-z]+\d*)(?:_\d+)+$")


def adopt(model: Any, checkpoint: Checkpoint, torch_model: Any, path: str = "") -> dict[str, tuple[int, ...]]:
    """Name each constant after the tensor it holds.

    A constant over a shard's own bytes is known by its address; one that was cast, or folded with another (Gemma's 1 + w),
    by the module that reads it, its number of elements and its values. What transformers merges (experts) is called by the
    parameter, also where it is but a part of one.

    `path` is the place in `torch_model` of the module that was traced, if it is not the whole.

    Returns:
        name → the tensor's shape, in the graph's order. A second constant of one name is called `name#2`, and so on.
    """
    own = {name: one for name, one in torch_model.named_parameters() if "._openvino_orig_" not in name}
    shapes = {name: tuple(parameter.shape) for name, parameter in own.items()}
    modules = {name.rpartition(".")[0] for name in shapes}
    names = sorted(weights_of(checkpoint))
    shapes |= {name: checkpoint.info(name).shape for name in names}
    homes = {checkpoint.tensor(name).ctypes.data: name for name in names}

    def values(name: str) -> Array:
        return checkpoint.tensor(name) if name in checkpoint.names else _numpy(own[name])

    named: dict[str, tuple[int, ...]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or not _is_float(node):
            continue
        paths = _paths(node, path)
        name = homes.get(node.data.ctypes.data) or _by_module(node, paths, shapes, values) or _part(node, modules, path)
        if name is None:
            continue
        copies = sum(1 for other in named if other.split("#")[0] == name)
        called = f"{name}#{copies + 1}" if copies else name
        node.set_friendly_name(called)
        shape = tuple(node.get_output_shape(0))
        whole = shapes.get(name, shape)
        named[called] = whole if math.prod(whole) == math.prod(shape) else shape
    return named


def reached(model: Any, path: str = "") -> set[str]:
    """Return the modules that left a trace in the graph, and those around them; `path` as for `adopt`."""
    names = [node.get_friendly_name() for node in model.get_ordered_ops()]
    paths = {_join(path, m[1]) for name in names if (m := _MODULE.match(name))} | ({path} - {""})
    paths |= {
        node.get_friendly_name().rsplit(".", 1)[0]
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant"
    }
    return {path[:end] for path in paths for end in _ends(path)}


def check_used(modules: set[str], torch_model: Any, unused: Callable[[str], bool] = lambda _: False) -> None:
    """Require that every parameter's module left a trace in the graphs.

    Args:
        modules: those `reached` by the graphs.
        torch_model: the whole model.
        unused: says of a parameter's name that the model itself makes no use of it.

    Raises:
        CheckpointError: the export ignores a part of the model, so the result would be another one.
    """
    for name, _ in torch_model.named_parameters():
        module = name.rpartition(".")[0]
        if module not in modules and not unused(name) and not _is_inlined(torch_model, module, modules):
            raise CheckpointError(
                f"The exported graph does not use {name}.", "The export for this model type leaves a part of it out."
            )


def normalize(model: Any, keep: Collection[str] = ()) -> None:
    """Renumber the graph and the nodes that OpenVINO numbers by counters of the process; `keep` are names that stay.

    So are the bodies of loops (a recurrent layer's scan), whose inputs and outputs are called by their tensors' names, too.
    """
    model.set_friendly_name("Model0")
    count = 0
    origins: dict[str, str] = {}
    for node in model.get_ordered_ops():
        if hasattr(node, "get_function"):
            _normalize_body(node.get_function())
        name = node.get_friendly_name()
        if (inside := _INSIDE.match(name)) and name not in keep:
            kind = inside[1].rpartition("_")[0]
            node.set_friendly_name(origins.setdefault(inside[1], f"{kind}_{len(origins)}") + inside[2])
            continue
        if not _NUMBERED.match(name) or "." in name or name in keep:
            continue
        while (made := f"{node.get_type_name()}_{count}") in keep:
            count += 1
        node.set_friendly_name(made)
        count += 1


def _normalize_body(body: Any) -> None:
    normalize(body)
    for port in (*body.inputs, *body.outputs):
        if all(_NUMBERED.match(name) for name in port.get_names()):
            port.get_tensor().set_names({port.get_node().get_friendly_name()})


def _is_float(node: Any) -> bool:
    return node.get_element_type().get_type_name() in ("bf16", "f16", "f32")


def _paths(node: Any, traced: str) -> list[str]:
    """Return the places in the whole model that a constant's name, and those of its readers, tell."""
    readers = (target.get_node() for target in node.output(0).get_target_inputs())
    matches = (_MODULE.match(one.get_friendly_name()) for one in (node, *readers))
    return [_join(traced, match[1]) for match in matches if match]


def _by_module(
    node: Any, paths: list[str], shapes: dict[str, tuple[int, ...]], values: Callable[[str], Array]
) -> str | None:
    """Return the parameter that a constant holds, by the module that reads it.

    A module may have several of one size (a norm's weight and bias), and what is read may be cut out of one, or follow from it:
    then its values tell. They are the checkpoint's own, or rounded once.
    """
    elements = math.prod(node.get_output_shape(0))
    if elements < 2:
        return None
    for own in paths:
        module = re.sub(r"\._openvino_orig_(weight|bias)$", "", own)
        kinds = ("bias",) if own.endswith("bias") else ("weight", "bias")
        likely = [name for name in [own, *(f"{module}.{kind}" for kind in kinds)] if name in shapes]
        fitting = [name for name in likely if math.prod(shapes[name]) == elements]
        if len(fitting) == 1:
            return fitting[0]
        inside = [n for n in shapes if n.startswith(f"{module}.") and n.count(".", len(module) + 1) <= 1]
        held = derived.closest(_float32(node), {name: values(name) for name in fitting or inside}, _ROUNDED)
        if held or fitting:
            return held[0] if held else fitting[0]
    return None


def _part(node: Any, modules: set[str], traced: str) -> str | None:
    """Return the module whose parameter this constant is a part of (a split that was folded), if it is a matrix at least."""
    match = _MODULE.match(node.get_friendly_name())
    module = _join(traced, match[1]) if match else None
    return module if module in modules and len(node.get_output_shape(0)) > 1 else None


def _float32(node: Any) -> Array:
    bits = node.data.view(np.uint16) if node.get_element_type().get_type_name() == "bf16" else node.data
    return to_float32(bits)


def _numpy(parameter: Any) -> Array:
    """Return a torch parameter as a checkpoint gives a tensor: bfloat16 as its bits in uint16."""
    import torch

    plain = parameter.detach()
    made: Array = plain.view(torch.int16).numpy().view(np.uint16) if plain.dtype == torch.bfloat16 else plain.numpy()
    return made


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _ends(path: str) -> list[int]:
    """Positions at which a dotted path's ancestors, and itself, end."""
    return [*(i for i, c in enumerate(path) if c == "."), len(path)]


def _is_inlined(torch_model: Any, module: str, reached: set[str]) -> bool:
    """True for a module of an unusual kind whose parent calls no method of it (experts, for one) but reads its parameters."""
    import torch

    usual = (torch.nn.Linear, torch.nn.Embedding)
    return not isinstance(torch_model.get_submodule(module), usual) and module.rpartition(".")[0] in reached - {""}
