"""The call into NNCF itself: for the modes that only it has, and for whoever wants to check that ours gives its bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from ..core.errors import ConversionError
from ..core.telemetry import silence_telemetry
from .scheme import INT8_MODES, Scheme


def compress(model: Any, scheme: Scheme, ignored: Sequence[str] = ()) -> Any:
    """Run `nncf.compress_weights` on an `openvino.Model` in memory.

    Args:
        model: with floating-point weights; changed in place.
        scheme: a compressing scheme.
        ignored: names of nodes that hold no weights although they look like it (the rotary frequencies).

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
        fallback = nncf.GroupSizeFallbackMode(scheme.group_size_fallback)
        options |= {
            "ratio": scheme.ratio,
            "group_size": scheme.group_size,
            "all_layers": scheme.all_layers,
            "backup_mode": nncf.BackupMode(scheme.backup),
            "advanced_parameters": nncf.AdvancedCompressionParameters(group_size_fallback_mode=fallback),
        }
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bars and tables are not our data
            return nncf.compress_weights(model, **options)
    except (
        nncf.ValidationError,
        nncf.ParameterNotSupportedError,
        nncf.UnsupportedModelError,
        nncf.InvalidGroupSizeError,
        nncf.InternalError,
    ) as error:
        raise ConversionError(
            f"NNCF refuses this compression: {error}.", "Choose another precision or group size."
        ) from error
