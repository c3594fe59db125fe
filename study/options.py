"""What a user may ask of the studies of a model: `edgeconv sensitivity`, `frontier`, `search`, `bench` and `doctor`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..convert.options import shared
from ..core.format_names import FORMAT_NAMES
from ..core.option import Option, Options
from ..runtimes.options import Device
from ..validate.options import Reference, Suite

METHODS = ("auto", "exact", "estimate")
BY = ("layer", "component", "tensor")
Model = Annotated[
    str, Option("A Hub id, also as ID@REVISION, or a checkpoint's folder.", argument=True, metavar="MODEL")
]
Tokens = Annotated[
    int | None,
    Option("Tokens of the suite to measure on; all if not given.", metavar="N", least=256, bounded=True),
]


@dataclass(frozen=True, kw_only=True)
class SensitivityOptions(Options):
    """What a user may ask of `edgeconv sensitivity`."""

    model: Model
    precision: Annotated[
        str,
        Option("What one part becomes: int4, int8, a mode of NNCF, or a type of ggml (q4_k, …).", short="-p"),
    ] = "int4"
    group_size: Annotated[
        int | None,
        Option("For int4: weights that share one scale, -1 for a row; 128 if not given.", metavar="N"),
    ] = None
    by: Annotated[str, Option("What is compressed at a time.", choices=BY)] = "layer"
    method: Annotated[
        str,
        Option(
            "Run every part, or estimate all tensors at once to second order; auto estimates tensors and runs the rest.",
            choices=METHODS,
        ),
    ] = "auto"
    suite: Suite = None
    tokens: Annotated[int, Option("Tokens of the suite to measure on.", metavar="N", least=256, bounded=True)] = 2048
    output: Annotated[
        Path | None, Option("Write sensitivity.json, .svg and .html there.", short="-o", metavar="DIR")
    ] = None
    revision: shared.Revision = None
    local_files_only: shared.LocalFilesOnly = False


@dataclass(frozen=True, kw_only=True)
class FrontierOptions(Options):
    """What a user may ask of `edgeconv frontier`."""

    model: Model
    points: Annotated[
        tuple[str, ...],
        Option(
            "A precision of `edgeconv openvino`, a type of `edgeconv gguf` or, as onnx/int8, one of `edgeconv onnx`, "
            "further options behind a colon: int4_sym:group_size=64,ratio=0.8. Repeatable; without it int8, int4 in several "
            "forms and the usual types.",
            metavar="POINT",
        ),
    ] = ()
    suite: Suite = None
    tokens: Tokens = None
    output: Annotated[Path | None, Option("Write frontier.json, .svg and .html there.", short="-o", metavar="DIR")] = (
        None
    )
    revision: shared.Revision = None
    local_files_only: shared.LocalFilesOnly = False


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """What a user may ask of `edgeconv search`."""

    model: Model
    max_kl: Annotated[
        float | None,
        Option(
            "The smallest artifact whose mean KL is no larger, as a validation judges it: by the worse end of the interval.",
            metavar="NATS",
        ),
    ] = None
    max_size: Annotated[
        str | None, Option("The best artifact of this size: 900MB, 1.2GB.", metavar="SIZE", example="1.2GB")
    ] = None
    format: Annotated[
        str,
        Option(
            "GGUF: a type for each matrix. OpenVINO, ONNX: a scheme of the whole model, or mode and group of each weight.",
            choices=FORMAT_NAMES,
        ),
    ] = "gguf"
    calibration: Annotated[
        str | None,
        Option("With --format openvino: try AWQ, scale estimation and GPTQ on this text too.", metavar="FILE|suite"),
    ] = None
    suite: Suite = None
    tokens: Tokens = None
    trials: Annotated[
        int, Option("Artifacts that are made and measured at most.", metavar="N", least=1, bounded=True)
    ] = 6
    output: Annotated[
        Path | None,
        Option("Where the recipe goes; MODEL-FORMAT.search.yaml if not given.", short="-o", metavar="FILE"),
    ] = None
    force: Annotated[bool, Option("Replace a recipe that is there already.")] = False
    revision: shared.Revision = None
    local_files_only: shared.LocalFilesOnly = False


@dataclass(frozen=True, kw_only=True)
class BenchOptions(Options):
    """What a user may ask of `edgeconv bench`."""

    artifact: Annotated[Path, Option("A converted model: the folder, or a .gguf.", argument=True, metavar="OUT")]
    reference: Reference = None
    no_reference: Annotated[bool, Option("Measure the converted model only.")] = False
    task: Annotated[
        tuple[str, ...],
        Option("Tokens to read and to make; 1024/128 and 512/128 if not given. Repeatable.", metavar="READ/MADE"),
    ] = ()
    image: Annotated[
        Path | None, Option("For a vision-language model: a picture to ask about as well.", metavar="PATH")
    ] = None
    runs: Annotated[int, Option("Runs of each task; their median counts.", metavar="N", least=1, bounded=True)] = 3
    device: Device = "CPU"
    threads: Annotated[
        int | None,
        Option("Threads on a CPU; one per core if not given.", metavar="N", least=1, bounded=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Options):
    """What a user may ask of `edgeconv doctor`."""

    model: Annotated[
        str | None,
        Option(
            "Examine this checkpoint instead of this machine: a Hub id, also as ID@REVISION, or a folder.",
            short="-m",
            metavar="ID|DIR",
        ),
    ] = None
    revision: shared.Revision = None
    format: Annotated[
        str | None,
        Option("Say of this format alone whether the model can be converted.", choices=FORMAT_NAMES),
    ] = None
