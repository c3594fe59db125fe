"""No statistics leave the machine: the libraries below would send some."""

from __future__ import annotations

import os
import sys
from typing import Any


def silence_telemetry() -> None:
    """Keep OpenVINO's converter and onnxruntime from reporting to their makers.

    The first sends tens of events for each model, each from a fork of this whole process: seconds where there is a network, more
    where there is none, and never what a user asked for. onnxruntime from 1.29 on reports each session with the model's name and
    the hash of its weights, and leaves an identifier in the user's cache; it is told not to before it is imported, or never.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # an import of it now fails, which OpenVINO and NNCF allow for
    if modules["openvino_telemetry"] is not None:
        from openvino_telemetry.utils.sender import TelemetrySender

        TelemetrySender.send = lambda *_: None
