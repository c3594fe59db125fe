"""What a user may ask of an OpenVINO IR."""

from dataclasses import dataclass
from typing import Annotated

from ...core.option import Option, Options
from ...quantize import data_aware, device
from ...quantize.modes import BACKUPS, PRECISIONS
from ...quantize.request import KV_CACHES
from . import shared


@dataclass(frozen=True, kw_only=True)
class OpenVINOOptions(Options):
    """What a user may ask of an OpenVINO IR."""

    model: shared.Model
    precision: Annotated[str, Option("What the weights become.", short="-p", choices=PRECISIONS, point=False)] = "int4"
    group_size: Annotated[
        int | None, Option("Weights of a row that share one scale; -1: the whole row.", metavar="N")
    ] = None
    group_size_fallback: shared.Fallback = None
    ratio: shared.Ratio = None
    sym: shared.Sym = None
    backup_precision: Annotated[
        str | None, Option("What embeddings, last layer and the rest become.", choices=BACKUPS)
    ] = None
    all_layers: shared.AllLayers = None
    tensor_precision: shared.TensorPrecision = ()
    calibration: Annotated[
        str | None,
        Option(
            "A text, or a JSONL of texts or chats, on which the methods below measure what the weights do; suite: one "
            "that comes with edgeconv. It may share nothing with what validations measure on.",
            metavar="FILE|suite",
            file=True,
            words=(data_aware.SUITE,),
            recipe_help="A text or JSONL beside the recipe, or suite: edgeconv's own.",
        ),
    ] = None
    awq: Annotated[
        bool | None, Option("Scale up columns that matter before rounding; without a text by their size alone.")
    ] = None
    scale_estimation: Annotated[bool | None, Option("Choose scales by what comes out of each layer.")] = None
    gptq: Annotated[bool | None, Option("Round column by column, and make good in the rest what each one loses.")] = (
        None
    )
    lora_correction: Annotated[
        bool | None, Option("Add to each layer a narrow one that makes good what rounding loses.")
    ] = None
    sensitivity_metric: Annotated[
        str | None,
        Option("By what a ratio below 1 chooses the weights that get the precision.", choices=data_aware.METRICS),
    ] = None
    num_samples: Annotated[
        int | None,
        Option(
            f"Pieces of the calibration text that are measured on; {data_aware.NUM_SAMPLES} by default.",
            metavar="N",
            least=1,
        ),
    ] = None
    target: Annotated[
        str | None,
        Option(
            "The device that the result is for: what its documentation asks is the default, what contradicts it an error.",
            choices=device.TARGETS,
        ),
    ] = None
    kv_cache: Annotated[
        str | None,
        Option(
            "What the artifact asks of the device for keys and values: float16, or what it does by itself. Left out: "
            "float16 if the weights stay floats, or if the keys have a bias, which eight bits may not hold.",
            choices=KV_CACHES,
        ),
    ] = None
    vision_precision: shared.VisionPrecision = None
    revision: shared.Revision = None
    output: shared.Folder = None
    force: shared.Force = False
    trust_remote_code: shared.TrustRemoteCode = False
    engine: Annotated[
        str,
        Option(
            "How the graph is made: built and streamed, traced by optimum-intel, or whichever can.",
            choices=("auto", "stream", "trace"),
            point=False,
        ),
    ] = "auto"
    compressor: Annotated[
        str, Option("Who quantizes: whichever is fastest, or NNCF itself.", choices=("auto", "nncf"), point=False)
    ] = "auto"
    rope: Annotated[
        str,
        Option(
            "Order of the rows of q and k: the checkpoint's, or the one that the CPU plugin can fuse.",
            choices=("source", "fused"),
            point=False,
        ),
    ] = "source"
    layout: Annotated[
        str,
        Option(
            "Files around a vision-language model: as optimum-intel names them, or so that VLMPipeline runs it.",
            choices=("optimum", "genai"),
            point=False,
        ),
    ] = "optimum"
    local_files_only: shared.LocalFilesOnly = False
