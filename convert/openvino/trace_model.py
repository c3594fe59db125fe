"""A torch model becomes an `openvino.Model` with its cache as state: by optimum-intel's own configurations and patches.

`optimum.exporters.openvino.export_pytorch` (2.2.0) does the work. Some of its global names are replaced while it runs: above
all the one that would write the full-precision IR to disk, and the one that decides about tracing again to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ...core.errors import ConversionError
from .trace_support import LIFTED

TASK = "text-generation-with-past"


def to_openvino(model: Any, *, compresses: bool) -> Any:
    """Trace a causal language model.

    Args:
        model: a transformers model on the CPU; its 16-bit weights become constants over the same memory.
        compresses: the weights will be compressed (the cache then keeps the device's own precision).

    Returns:
        `openvino.Model`: input_ids, attention_mask, position_ids, beam_idx → logits, the cache as variables, with
        optimum's rt_info.

    Raises:
        ConversionError: the export does not yield one decoder.
    """
    import torch
    from optimum.exporters.openvino import convert
    from optimum.utils import DEFAULT_DUMMY_SHAPES

    _, submodels, stateful = convert._get_submodels_and_export_configs(
        model=model, task=TASK, monolith=False, custom_export_configs={}, custom_architecture=False,
        _variant="default", library_name="transformers", model_kwargs={}, exporter="openvino", stateful=True,
    )  # fmt: skip
    if list(submodels) != ["model"] or not all(stateful):
        raise ConversionError(f"optimum-intel splits {model.config.model_type} into {', '.join(submodels)}.")
    module, config = submodels["model"]
    _check_cap(model.config.model_type, config)
    convert._set_runtime_options(submodels, TASK, "transformers", compresses)
    with _captured(convert) as models:
        convert.export_pytorch(
            module,
            config,
            Path("openvino_model.xml"),
            input_shapes={k: v for k, v in DEFAULT_DUMMY_SHAPES.items() if k not in ("height", "width")},
            stateful=True,
            patch_16bit_model=model.dtype in (torch.float16, torch.bfloat16),
            library_name="transformers",
        )
    return models[0]


def _check_cap(kind: str, config: Any) -> None:
    """Refuse what optimum refuses, but for the types whose cap we have looked at."""
    from optimum.intel.utils.import_utils import is_transformers_version

    cap = config.MAX_TRANSFORMERS_VERSION if hasattr(config, "MAX_TRANSFORMERS_VERSION") else None
    lifted = LIFTED.get(kind) == str(cap) and is_transformers_version("<", "5.6")
    if cap is not None and is_transformers_version(">", str(cap)) and not lifted:
        raise ConversionError(f"optimum-intel exports {kind} only under transformers up to {cap}.")


@contextmanager
def _captured(convert: Any) -> Iterator[list[Any]]:
    """Give the list that receives the models which optimum would save."""
    models: list[Any] = []
    replaced = {
        "save_model": lambda model, *_: models.append(model),
        "allow_skip_tracing_check": lambda *_: True,  # else torch.jit.trace runs the model twice more
        "gc": SimpleNamespace(collect=lambda: 0),  # it collects twice, which walks over all of torch
    }
    originals = {name: getattr(convert, name) for name in replaced}
    for name, value in replaced.items():
        setattr(convert, name, value)
    try:
        yield models
    finally:
        for name, value in originals.items():
            setattr(convert, name, value)
