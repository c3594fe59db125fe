"""Compression that looks at what flows through the weights: which methods go with which modes, and what they need.

The rules are those of NNCF 3.4 (`nncf.quantization.quantize_model.compress_weights`, `algorithm.
check_user_compression_configuration`, `lora_correction.calculate_low_rank_matrices`); some options that NNCF takes and then
makes no use of are refused too, because their user expects something of them.

AWQ: arXiv 2306.00978; GPTQ: arXiv 2210.17323; the LoRA correction is that of LQER, arXiv 2402.02446.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import UsageError
from .request import Request

METHODS = ("awq", "scale_estimation", "gptq", "lora_correction")
WORDS = {"awq": "AWQ", "scale_estimation": "scale estimation", "gptq": "GPTQ", "lora_correction": "LoRA correction"}
DATA_FREE_METRIC = "weight_quantization_error"
METRICS = (
    DATA_FREE_METRIC,
    "hessian_input_activation",
    "mean_activation_variance",
    "max_activation_variance",
    "mean_activation_magnitude",
)
"""By which a ratio below 1 chooses: `nncf.SensitivityMetric`. NNCF's default is max_activation_variance where there is data."""
NUM_SAMPLES = 128
"""NNCF's default of samples that are measured."""
FIELDS = ("calibration", *METHODS, "sensitivity_metric", "num_samples")
"""By these names in a request, a scheme, a recipe and a manifest."""
SUITE = "suite"
"""As `--calibration`: the text that comes with edgeconv for it."""

_NO_METHODS = ("mxfp4", "mxfp8_e4m3", "fp8_e4m3", "fp4", "nvfp4")
"""Modes whose scales have a type of their own, which no method can move."""
_LORA = ("int4_sym", "int4_asym", "int3_sym", "int2_sym", "nf4")


def asked(request: Request) -> list[str]:
    """Return the flags of this kind that were given."""
    return [flag(name) for name in FIELDS if getattr(request, name) not in (None, False)]


def flag(name: str) -> str:
    """Return a field's option on the command line."""
    return "--" + name.replace("_", "-")


def refuse(request: Request, why: str, hint: str) -> None:
    """Refuse every option of this kind that was given; `why` says what they cannot be used with.

    Raises:
        UsageError: one was given.
    """
    given = asked(request)
    if given:
        raise UsageError(f"{', '.join(given)} cannot be used with {why}.", hint)


def check(request: Request, mode: str, ratio: float) -> None:
    """Check the methods against the mode, against each other and against what they are given.

    Args:
        request: what the user said.
        mode: NNCF's, none of its int8 ones.
        ratio: the resolved one.

    Raises:
        UsageError: the first rule that is broken.
    """
    methods = [name for name in METHODS if getattr(request, name)]
    _check_mode(methods, mode)
    _check_data(request, methods, ratio)
    metric = request.sensitivity_metric
    if metric is not None and metric not in METRICS:
        raise UsageError(f"Unknown sensitivity metric {metric!r}.", f"One of: {', '.join(METRICS)}.")
    if metric is not None and ratio >= 1:
        raise UsageError(
            "--sensitivity-metric chooses the weights that a ratio below 1 leaves to the backup; the ratio is 1.",
            "Add --ratio, for example 0.8.",
        )
    if request.num_samples is not None and request.num_samples < 1:
        raise UsageError(
            f"--num-samples must be positive, not {request.num_samples}.", f"The default is {NUM_SAMPLES}."
        )


def _check_mode(methods: list[str], mode: str) -> None:
    if methods and mode in _NO_METHODS:
        raise UsageError(
            f"{', '.join(map(flag, methods))} cannot be used with {mode}, whose scales follow from its definition.",
            "Take an integer precision, nf4 or cb4, or drop the option.",
        )
    if {"gptq", "lora_correction"} <= set(methods):
        raise UsageError(
            "--gptq and --lora-correction contradict each other: both make good what rounding loses.", "Take one."
        )
    if "lora_correction" in methods and mode not in _LORA:
        raise UsageError(f"--lora-correction cannot be used with {mode}.", f"Take one of: {', '.join(_LORA)}.")


def _check_data(request: Request, methods: list[str], ratio: float) -> None:
    calibration, metric = request.calibration, request.sensitivity_metric
    if calibration is None:
        needy = [flag(name) for name in methods if name != "awq"]  # AWQ has a form that looks at the weights alone
        if metric not in (None, DATA_FREE_METRIC):
            needy.append(f"--sensitivity-metric {metric}")
        if needy:
            raise UsageError(
                f"{', '.join(needy)} needs a text to measure on.", "Add --calibration FILE, or --calibration suite."
            )
        if request.num_samples is not None:
            raise UsageError("--num-samples counts samples of a calibration text.", "Add --calibration.")
    elif not methods and (ratio >= 1 or metric == DATA_FREE_METRIC):
        raise UsageError(
            "--calibration would change nothing: no method looks at the text.",
            f"Add one of {', '.join(map(flag, METHODS))}, or a --ratio below 1, which then chooses by it.",
        )


def resolved(request: Request, name: str | None, ratio: float) -> dict[str, Any]:
    """Return the scheme's fields; `name` is the text's, without its folder."""
    metric = request.sensitivity_metric
    if name is not None and ratio < 1 and metric is None:
        metric = "max_activation_variance"
    return {
        "calibration": name,
        **{method: bool(getattr(request, method)) for method in METHODS},
        "sensitivity_metric": metric,
        "num_samples": (request.num_samples or NUM_SAMPLES) if name is not None else None,
    }


def describe(fields: Mapping[str, Any]) -> str:
    """Say for a person what was done, as a clause to put behind a scheme; empty if nothing of this kind."""
    methods = " and ".join(WORDS[name] for name in METHODS if fields[name])
    metric = fields["sensitivity_metric"]
    chosen = f"layers chosen by {metric.replace('_', ' ')}" if metric else ""
    done = ", ".join(filter(None, (methods, chosen)))
    if not done:
        return ""
    where = (
        f" on {fields['num_samples']} samples of {fields['calibration']}" if fields["calibration"] else " without data"
    )
    return f", {done}{where if fields['calibration'] or methods else ''}"
