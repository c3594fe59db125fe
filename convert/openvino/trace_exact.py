"""A model of 16-bit weights is traced as the float32 model that it stands for: nothing but its weights is rounded to 16 bits.

transformers rounds some numbers to the type of the weights: those that it computes from the config (Gemma multiplies embeddings
by the root of the hidden size, 25.298 for 640, and 25.25 in bfloat16), and what it casts on the way. A traced graph would hold
them rounded, where the graphs of other formats, and of float32 weights, do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def widen_buffers(model: Any) -> None:
    """Compute the buffers that no checkpoint holds anew in float32, where the model was built in 16 bits."""
    import torch
    from transformers import PreTrainedModel

    homes = {path: module for path, module in model.named_modules() if isinstance(module, PreTrainedModel)}
    for path, module in model.named_modules():
        narrow = [
            name
            for name in module._non_persistent_buffers_set
            if getattr(module, name) is not None and getattr(module, name).dtype in (torch.float16, torch.bfloat16)
        ]
        if not narrow:
            continue
        rounded = {name: getattr(module, name) for name in narrow}
        for parameter in module.parameters():
            parameter._is_hf_initialized = True  # transformers leaves alone what it has loaded
        for name, buffer in rounded.items():
            setattr(module, name, torch.full_like(buffer, torch.nan, dtype=torch.float32))
        home = max((one for one in homes if path == one or path.startswith(f"{one}.") or not one), key=len)
        with torch.no_grad():
            homes[home]._init_weights(module)
        for name, buffer in rounded.items():
            if getattr(module, name).isnan().any():  # the model's class does not say how it is computed
                setattr(module, name, buffer)


@contextmanager
def without_rounding() -> Iterator[None]:
    """While a model is traced, leave float32 values as they are where the model's code casts them to a 16-bit type."""
    import torch
    from torch.overrides import TorchFunctionMode

    half = (torch.float16, torch.bfloat16)
    casts = (torch.Tensor.to, torch.Tensor.type, torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.type_as)

    def narrows(function: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
        if function in (torch.Tensor.half, torch.Tensor.bfloat16):
            return True
        named = [*arguments[1:], *options.values()]
        kinds = [one.dtype if isinstance(one, torch.Tensor) else one for one in named]
        return any(kind in half for kind in kinds if isinstance(kind, torch.dtype))

    class Exact(TorchFunctionMode):  # type: ignore[misc]  # torch has no types here
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            options = options or {}
            if function in casts and arguments[0].dtype == torch.float32 and narrows(function, arguments, options):
                return arguments[0]
            return function(*arguments, **options)

    with Exact():
        yield
