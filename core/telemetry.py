"""No statistics leave the machine: the libraries below would send some."""

from __future__ import annotations

import sys
from typing import Any


def silence_telemetry() -> None:
    """Keep OpenVINO's converter from reporting to its statistics service.

    It sends tens of events for each model, each from a fork of this whole process: seconds where there is a network, more
    where there is none, and never what a user asked for.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # an import of it now fails, which OpenVINO and NNCF allow for
    if modules["openvino_telemetry"] is not None:
        from openvino_telemetry.utils.sender import TelemetrySender

        TelemetrySender.send = lambda *_: None
