"""What an export makes of a tensor is found again from its values."""

from __future__ import annotations

import numpy as np
import pytest

from edgeconv.convert.derived import AS_IS, Form, closest, forms

RANDOM = np.random.default_rng(0)
SHAPES = [(16,), (8, 16), (4, 8, 16), (4, 8, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_form_is_found_again_and_undone(shape: tuple[int, ...]) -> None:
    tensors = {f"other{i}": RANDOM.standard_normal(shape).astype(np.float32) for i in range(3)}
    tensors["own"] = tensor = RANDOM.standard_normal(shape).astype(np.float32)
    sizes = {int(np.prod(shape)) // parts for parts in (1, 2, 4, 8)}
    known = [form for size in sizes for form in forms(shape, size)]
    assert len(known) > len(shape)
    for form in known:
        held = form.of(tensor)
        assert closest(np.ascontiguousarray(held), tensors, 0.01) == ("own", form) or np.allclose(
            held,
            closest(np.ascontiguousarray(held), tensors, 0.01)[1].of(tensor),  # type: ignore[index]
        )
        assert np.allclose(form.undo(held), form.cut(tensor), atol=1e-6)
        whole = np.zeros(shape, np.float32)
        form.cut(whole)[...] = form.undo(held)
        assert np.allclose(form.cut(whole), form.cut(tensor), atol=1e-6)


def test_bfloat16_is_read_as_its_bits() -> None:
    bits = (RANDOM.standard_normal(16).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    assert closest(values, {"own": bits}, 0.01) == ("own", AS_IS)
    assert closest(-np.exp(values), {"own": bits}, 0.01) == ("own", Form("-exp(w)"))


def test_other_values_are_nobodys() -> None:
    held = RANDOM.standard_normal(16).astype(np.float32)
    assert closest(held, {"own": RANDOM.standard_normal(16).astype(np.float32)}, 0.01) is None
    assert closest(np.full(16, np.nan, np.float32), {"own": held}, 0.01) is None
