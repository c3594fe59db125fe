"""The call into NNCF itself: for the modes that only it has, and for whoever wants to check that ours gives its bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.cache_folder import mark
from ..core.errors import ConversionError
from ..core.progress import Progress, Silent
from ..core.scratch import scratch
from ..core.sealed import is_sound, seal
from ..core.telemetry import silence_telemetry
from .data_aware import METHODS
from .nncf_progress import told
from .scheme import INT8_MODES, Scheme

_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Samples:
    """What activations are measured on.

    Attributes:
        inputs: for each sample the graph's inputs by name.
        statistics: folder where NNCF's statistics of just these samples in just this graph lie, or are put; they serve every
            scheme. It appears whole or not at all.
    """

    inputs: Sequence[dict[str, Any]]
    statistics: Path


def compress(
    model: Any,
    scheme: Scheme,
    ignored: Sequence[str] = (),
    samples: Samples | None = None,
    progress: Progress | None = None,
) -> Any:
    """Run `nncf.compress_weights` on an `openvino.Model` in memory.

    Args:
        model: with floating-point weights; changed in place.
        scheme: a compressing scheme.
        ignored: names of nodes that hold no weights although they look like it (the rotary frequencies).
        samples: for a scheme with a calibration text.
        progress: reports the steps.

    Raises:
        ConversionError: NNCF refuses, with its own words.
    """
    import logging

    silence_telemetry()
    import nncf

    nncf.set_log_level(logging.ERROR)
    options: dict[str, Any] = {"mode": nncf.CompressWeightsMode(scheme.mode)}
    if ignored:
        options["ignored_scope"] = nncf.IgnoredScope(names=list(ignored))
    if scheme.mode not in INT8_MODES:
        options |= _beside_int8(scheme, samples)
    try:
        with contextlib.redirect_stdout(io.StringIO()), told(progress or Silent()):  # its tables are not our data
            if samples:
                _keep_statistics(model, samples, options["dataset"])
            return nncf.compress_weights(model, **options)
    except (
        nncf.ValidationError,
        nncf.ParameterNotSupportedError,
        nncf.UnsupportedModelError,
        nncf.InvalidGroupSizeError,
        nncf.StatisticsCacheError,
        nncf.InternalError,
    ) as error:
        raise ConversionError(
            f"NNCF refuses this compression: {str(error).rstrip('.')}.", "Choose another precision or group size."
        ) from error


def _beside_int8(scheme: Scheme, samples: Samples | None) -> dict[str, Any]:
    """Return the options that NNCF takes for other modes than int8."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedGPTQParameters, AdvancedLoraCorrectionParameters

    advanced = {"group_size_fallback_mode": nncf.GroupSizeFallbackMode(scheme.group_size_fallback)}
    options = {
        "ratio": scheme.ratio,
        "group_size": scheme.group_size,
        "all_layers": scheme.all_layers,
        "backup_mode": nncf.BackupMode(scheme.backup),
        **{name: True for name in METHODS if getattr(scheme, name)},
    }
    if scheme.sensitivity_metric:
        options["sensitivity_metric"] = nncf.SensitivityMetric(scheme.sensitivity_metric)
    if samples:
        count = len(samples.inputs)
        options |= {"dataset": nncf.Dataset(samples.inputs), "subset_size": count}
        advanced |= {
            "statistics_path": str(samples.statistics),
            "gptq_params": AdvancedGPTQParameters(subset_size=count),
            "lora_correction_params": AdvancedLoraCorrectionParameters(subset_size=count),
        }
    return options | {"advanced_parameters": nncf.AdvancedCompressionParameters(**advanced)}


def _keep_statistics(model: Any, samples: Samples, dataset: Any) -> None:
    """Measure what every method and every metric needs, unless it lies there: by NNCF, which writes file by file."""
    from nncf.common.factory import build_graph
    from nncf.openvino.graph.model_utils import remove_friendly_name_duplicates
    from nncf.quantization.statistics_caching import cache_weight_compression_statistics

    place = samples.statistics
    if is_sound(place):
        return
    named = remove_friendly_name_duplicates(model)
    mark(place.parent)
    with scratch(place.parent, _PARTIAL) as folder:
        made = folder / place.name
        cache_weight_compression_statistics(named, build_graph(named), dataset, len(samples.inputs), made)
        if not is_sound(place):  # another run may have been quicker; else what is there is damaged
            if place.exists():
                place.rename(folder / "replaced")
            seal(made, place)
            made.rename(place)
