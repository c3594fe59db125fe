"""What a user may ask of an ONNX model."""

from dataclasses import dataclass
from typing import Annotated

from ...core.option import Option, Options
from . import shared


@dataclass(frozen=True, kw_only=True)
class OnnxOptions(Options):
    """What a user may ask of an ONNX model."""

    model: shared.Model
    precision: Annotated[
        str,
        Option(
            "What the weights become.",
            short="-p",
            choices=("int4", "int4_sym", "int4_asym", "int8", "int8_sym", "int8_asym", "bf16", "fp16", "fp32"),
            point=False,
        ),
    ] = "int4"
    group_size: Annotated[
        int | None,
        Option(
            "Weights of a row that share one scale, a multiple of 16; -1: the whole row. For int4.",
            metavar="N",
        ),
    ] = None
    group_size_fallback: shared.Fallback = None
    ratio: shared.Ratio = None
    sym: shared.Sym = None
    backup_precision: Annotated[
        str | None,
        Option("What embeddings, last layer and the rest become.", choices=("none", "int8_sym", "int8_asym")),
    ] = None
    all_layers: shared.AllLayers = None
    tensor_precision: shared.TensorPrecision = ()
    vision_precision: shared.VisionPrecision = None
    engine: Annotated[
        str,
        Option(
            "How the graph is made: built and streamed, exported by torch from transformers' model, or whichever can.",
            choices=("auto", "stream", "trace"),
            point=False,
        ),
    ] = "auto"
    accuracy_level: Annotated[
        int,
        Option(
            "What onnxruntime multiplies int4 weights in: 4: int8, which is fastest; 1: float32; 0: as it likes.",
            choices=(0, 1, 4),
        ),
    ] = 4
    revision: shared.Revision = None
    output: shared.Folder = None
    force: shared.Force = False
    local_files_only: shared.LocalFilesOnly = False
