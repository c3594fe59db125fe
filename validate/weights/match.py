"""Which tensor of the checkpoint a weight of the graph holds: by name, else by shape and content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...convert import derived, families
from ...convert.checkpoint import Checkpoint
from ...convert.derived import AS_IS, Form, forms
from ...quantize.integer import to_float32
from .constant import StoredWeight

Array = npt.NDArray[Any]
_SAMPLE = 4096
_ALIKE = 0.5
"""Relative RMS error below which a content is taken for a tensor's; four bits make 0.1, another tensor 1.4."""
_PREFIX = re.compile(r"^(?:self|__module|model\.model)\.")
_LAYER = re.compile(r"(model\.layers\.\d+\.)(.+)")
_SUFFIX = re.compile(r"\._openvino_orig_(weight|bias)")


Held = tuple[str, Form]
"""A tensor's name, and what a weight makes of it."""


def by_name(stored: StoredWeight, checkpoint: Checkpoint) -> Held | None:
    """Return the tensor that the names of the weight's nodes and of its users tell, if its size fits.

    Understood: the checkpoint's own names (edgeconv), `self.NAME` and `self.MODULE._openvino_orig_weight` (optimum-intel), and
    `__module.MODULE/operation` of the users. Where a module has several tensors that fit (a norm's weight and bias, experts of
    which one constant holds a part), the values tell.
    """
    for name in stored.names:
        plain = _SUFFIX.sub(r".\1", _PREFIX.sub("", name))
        stem = re.split(r"[/#]", plain, maxsplit=1)[0]
        if (part := stacked(stem, checkpoint)) and _size(part, checkpoint) == stored.size:
            return part
        for own in (stem, f"model.{stem}"):
            if own in checkpoint.names and checkpoint.info(own).size == stored.size:
                return own, _form(stored, checkpoint, own)
            inside = [one for one in (own, f"{own}.weight", f"{own}.bias") if one in checkpoint.names]
            fitting = [one for one in inside if checkpoint.info(one).size == stored.size]
            if len(fitting) == 1:
                return fitting[0], _form(stored, checkpoint, fitting[0])
            below = fitting or [
                one for one in checkpoint.names if one.startswith(f"{own}.") and one.count(".", len(own) + 1) <= 1
            ]
            found = nearest(stored, sorted({*inside, *below}), checkpoint)
            if found or fitting:
                return found or (fitting[0], AS_IS)
    return None


def stacked(name: str, checkpoint: Checkpoint) -> Held | None:
    """Return which of the checkpoint's tensors, as transformers loads it, a stack of experts or a part lies in; None: neither."""
    layer, family = _LAYER.fullmatch(name), families.find(checkpoint.model_type)
    if layer is None or family is None:
        return None
    found = family.loaded(layer[2])
    return (layer[1] + found[0], found[1]) if found and layer[1] + found[0] in checkpoint.names else None


def _size(held: Held, checkpoint: Checkpoint) -> int:
    return held[1].cut(np.broadcast_to(np.int8(0), checkpoint.info(held[0]).shape)).size


def by_content(stored: StoredWeight, names: Iterable[str], checkpoint: Checkpoint) -> str | None:
    """Return the tensor of the same shape that the weight's values come nearest to, if they come near.

    A sample of the elements decides. Two tensors that are equal in it cannot be told apart: the first is returned.
    """
    found = nearest(stored, names, checkpoint, lambda form: form.axis is None)
    return found[0] if found else None


def nearest(
    stored: StoredWeight, names: Iterable[str], checkpoint: Checkpoint, wanted: Callable[[Form], bool] = lambda _: True
) -> Held | None:
    """Return the tensor, in the form, that the weight's values come nearest to, if they come near."""
    if stored.unreadable:
        return None
    best, found = _ALIKE, None
    sample: Array | None = None
    for name in names:
        info = checkpoint.info(name)
        possible = [
            form for form in forms(info.shape, stored.size) if wanted(form) and frames(stored, form, info.shape)
        ]
        if not possible:
            continue
        sample = sample_of(stored) if sample is None else sample
        tensor = checkpoint.tensor(name)
        for form in possible:
            apart = distance(stored, sample, form.cut(tensor), form)
            if apart < best:
                best, found = apart, (name, form)
    return found


def _form(stored: StoredWeight, checkpoint: Checkpoint, name: str) -> Form:
    """Return what a weight, known to hold a whole tensor, makes of it: a function of a vector's values, if they are nearer."""
    if stored.unreadable or len(checkpoint.info(name).shape) not in (1, 3):
        return AS_IS
    if len(checkpoint.info(name).shape) == 3:
        found = nearest(stored, [name], checkpoint)
        return found[1] if found else AS_IS
    tensor, held = checkpoint.tensor(name), stored.whole().reshape(-1)
    apart = {form: float(np.abs(held - form.of(tensor)).max()) for form in forms(tensor.shape, held.size)}
    best = min(apart, key=lambda form: apart[form])
    return best if apart[best] <= 2**-7 * (1 + float(np.abs(best.of(tensor)).max())) else AS_IS


def frames(stored: StoredWeight, form: Form, shape: tuple[int, ...]) -> bool:
    """Tell whether a weight can hold (a part of) a tensor of that shape, as it is, transposed, or with dimensions of 1."""
    if form.turned:
        shape = (*shape[:-2], shape[-1], shape[-2])
    if form.axis is not None:
        shape = tuple(n // form.parts if axis == form.axis else n for axis, n in enumerate(shape))
    plain = tuple(n for n in stored.shape if n != 1)
    wanted = tuple(n for n in shape if n != 1)
    return plain in (wanted, wanted[::-1])


def is_transposed(stored: StoredWeight, shape: tuple[int, ...]) -> bool:
    """Tell whether a weight lies as [columns, rows]."""
    if len(shape) != 2 or stored.shape != shape[::-1]:
        return False
    return stored.turned if shape[0] == shape[1] else True


def sample_of(stored: StoredWeight) -> Array:
    """Return the first elements of some rows, flat float32."""
    rows = _sampled_rows(stored.rows)
    width = max(1, _SAMPLE // len(rows))
    return np.concatenate([stored.weights(r, r + 1).reshape(-1)[:width] for r in rows])


def distance(stored: StoredWeight, sample: Array, tensor: Array, form: Form = AS_IS) -> float:
    """Return the RMS difference of a weight's sample and a tensor's (the part in question), relative to the tensor's own RMS."""
    source = tensor.T if is_transposed(stored, tensor.shape) else tensor
    source = source.reshape(stored.rows, -1) if source.size == stored.size else source
    rows = _sampled_rows(stored.rows)
    width = max(1, _SAMPLE // len(rows))
    return derived.distance(sample, form.apply(np.concatenate([to_float32(source[r])[:width] for r in rows])))


def _sampled_rows(rows: int) -> list[int]:
    count = min(rows, 16)
    return [rows * i // count for i in range(count)]
