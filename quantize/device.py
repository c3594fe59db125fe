"""`--target cpu|gpu|npu`: what each OpenVINO device is documented to run, as rules for a request.

Sources, read in November 2026:

NPU: docs.openvino.ai/2025/openvino-workflow-generative/inference-with-genai/inference-with-genai-on-npu.html and its 2024 form,
learn-openvino/llm_inference_guide/genai-guide-npu.html: symmetric int4 with ratio 1.0, in groups of 128 for models of any size,
or channel by channel (group -1) for those above a billion parameters. So are the models of huggingface.co/OpenVINO that are
made for it (`-int4-gq-ov`, `-int4-cw-ov`); embeddings and last layer keep NNCF's int8.

GPU and CPU: docs.openvino.ai/2025/openvino-workflow/model-optimization-guide/weight-compression/4-bit-weight-quantization.html:
int4, symmetric or not, in groups of 128, 64 or 32. The CPU plugin was seen to run every mode that NNCF has: it has no rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import UsageError
from .scheme import FLOAT_PRECISIONS, INT8_MODES, Request
from .tensor_precision import parse

TARGETS = ("cpu", "gpu", "npu")
LARGE = 1_000_000_000
"""Parameters from which the NPU's documentation advises one scale a row."""
_INT8 = ("int8", *INT8_MODES)


@dataclass(frozen=True)
class _Rule:
    """What one field may be on one device; `why` ends the sentence that refuses it."""

    field: str
    allows: Callable[[Any], bool]
    why: str
    hint: str


_NPU = (
    _Rule(
        "precision",
        lambda value: value in ("int4", "int4_sym", *_INT8, *FLOAT_PRECISIONS),
        "is documented for symmetric int4",
        "Take --precision int4.",
    ),
    _Rule("sym", lambda value: value, "is documented for symmetric weights", "Leave out --asym."),
    _Rule("group_size", lambda value: value in (-1, 128), "takes groups of 128, or -1", "Take --group-size 128 or -1."),
    _Rule(
        "group_size_fallback",
        lambda value: value != "adjust",
        "takes no other groups than 128 and -1",
        "Take --group-size -1, or --group-size-fallback ignore.",
    ),
    _Rule("ratio", lambda value: value == 1, "takes every layer at one precision", "Leave out --ratio."),
    _Rule(
        "tensor_precision",
        lambda value: not value,
        "takes every layer at one precision",
        "Leave out --tensor-precision.",
    ),
)
_GPU = (
    _Rule(
        "precision",
        lambda value: value in ("int4", "int4_sym", "int4_asym", *_INT8, *FLOAT_PRECISIONS),
        "is documented for int4 and int8",
        "Take --precision int4.",
    ),
    _Rule("group_size", lambda value: value in (-1, 128, 64, 32), "takes groups of 128, 64 and 32, or -1", "Take 64."),
    _Rule(
        "tensor_precision",
        lambda value: all(parse(text).group_size in (None, -1, 128, 64, 32) for text in value),
        "takes groups of 128, 64 and 32, or -1",
        "Take 64.",
    ),
)
_RULES = {"cpu": (), "gpu": _GPU, "npu": _NPU}


def complete(request: Request, parameters: int) -> Request:
    """Check a request against its target, and fill in what it leaves open.

    Args:
        request: as the user made it; without a target it is returned as it is.
        parameters: of the model.

    Raises:
        UsageError: an option contradicts the target, with what it would take instead.
    """
    target = request.target
    if target is None:
        return request
    if target not in TARGETS:
        raise UsageError(f"Unknown target {target!r}.", f"One of: {', '.join(TARGETS)}.")
    for rule in _RULES[target]:
        value = getattr(request, rule.field)
        if value is not None and not rule.allows(value):
            raise UsageError(f"{_said(rule.field, value)} contradicts --target {target}, which {rule.why}.", rule.hint)
    return _npu(request, parameters) if target == "npu" else request


def _npu(request: Request, parameters: int) -> Request:
    """Symmetric, every layer alike, in groups of 128 or, for large models, with one scale a row."""
    if request.precision in FLOAT_PRECISIONS:
        return request
    if request.precision in _INT8:
        return replace(request, sym=True) if request.precision == "int8" else request
    group = request.group_size if request.group_size is not None else -1 if parameters >= LARGE else 128
    return replace(request, precision="int4_sym", sym=None, group_size=group, ratio=1.0)


def _said(field: str, value: Any) -> str:
    """Return an option as it was typed."""
    if field == "sym":
        return "--sym" if value else "--asym"
    name = "--" + field.replace("_", "-")
    value = " ".join(value) if isinstance(value, tuple) else value
    return name if value is True else f"{name} {value}"
