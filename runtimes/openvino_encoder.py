"""An encoder's IR in OpenVINO, without a pipeline around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from . import irs
from .encoder import GraphEncoder
from .openvino import asked, compile_ir, infer

Array = npt.NDArray[Any]


class OpenVINOEncoder(GraphEncoder):
    """Implements `encoder.EncoderRuntime`."""

    def __init__(self, folder: Path, device: str = "CPU", *, accurate: bool = True) -> None:
        """Compile. Raises ArtifactError if the IR does not open."""
        compiled = compile_ir(folder / irs.names(folder)[0], device, asked(accurate=accurate))
        request: Any = compiled.create_infer_request()

        def run(feed: dict[str, Array]) -> Array:
            infer(request, feed, None)
            made: Array = request.get_output_tensor(0).data
            return made

        name = f"openvino {device}" + (", reference precision" if accurate else ", defaults")
        super().__init__(
            name, [port.get_any_name() for port in compiled.inputs], compiled.output(0).get_any_name(), run
        )
