"""GELU as ggml's CPU backend computes it: looked up in a table of float16 (`ggml_vec_gelu_f32`, `ggml_vec_geglu_f32` in vec.h).

The table is part of the runtime, not of the artifact. A reference that is to show what an artifact errs must look up, too: the
rounding of the table alone moves the logits of a Gemma 3 by 0.009 to 0.03.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_TANH_FORMS = ("GELUTanh", "NewGELUActivation", "FastGELUActivation")
"""transformers' modules of the tanh form, to which `ggml_gelu` belongs; the exact form has no table there."""


def looked_up(x: Any) -> Any:
    """Return GELU, in its tanh form, of a torch tensor rounded to float16, rounded to float16; beyond 10 its limits."""
    import torch

    made = torch.nn.functional.gelu(x.half().to(x.dtype), approximate="tanh").half().to(x.dtype)
    return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, made))


def quickly_looked_up(x: Any) -> Any:
    """Return x · sigmoid(1.702 x), likewise (`ggml_vec_gelu_quick_f32`)."""
    import torch

    rounded = x.half().to(x.dtype)
    return (rounded * torch.sigmoid(1.702 * rounded)).half().to(x.dtype)


_EXACT = ("GELUActivation",)
_QUICK = ("QuickGELUActivation",)


@contextlib.contextmanager
def looking_up(module: Any, *, exact: bool = False) -> Iterator[None]:
    """Let every GELU of the tanh form inside a torch module be looked up, for a while.

    Args:
        module: of torch.
        exact: those of the exact form, too, for which llama.cpp's encoders take the tanh form.
    """
    forms = (*_TANH_FORMS, *(_EXACT if exact else ()))
    found = [part for part in module.modules() if type(part).__name__ in forms]
    for part in found:
        part.forward = looked_up
    try:
        yield
    finally:
        for part in found:
            del part.forward


@contextlib.contextmanager
def looking_up_pictures(module: Any, *, exact: bool) -> Iterator[None]:
    """Let the GELUs of a vision part be looked up, as llama.cpp's multimodal library does.

    Args:
        module: of torch, with the vision part in it.
        exact: GELUs of the exact form stay as they are.
    """
    quick = [part for part in module.modules() if type(part).__name__ in _QUICK]
    plain = [] if exact else [part for part in module.modules() if type(part).__name__ == "GELU"]
    for part in quick:
        part.forward = quickly_looked_up
    for part in plain:
        part.forward = looked_up
    try:
        with looking_up(module, exact=not exact):
            yield
    finally:
        for part in (*quick, *plain):
            del part.forward
