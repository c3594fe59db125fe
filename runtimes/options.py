"""What a user may ask of a chat."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..core.option import Option, Options

Device = Annotated[str, Option("The OpenVINO device to run on, for example CPU or GPU.")]


@dataclass(frozen=True, kw_only=True)
class ChatOptions(Options):
    """What a user may ask of a chat; None leaves a value to the model's own generation_config.json."""

    path: Annotated[
        Path, Option("A converted model: the folder of IRs or of ONNX, or a GGUF.", argument=True, metavar="OUT")
    ]
    image: Annotated[
        tuple[Path, ...], Option("A picture for the first question. Repeatable.", metavar="PATH", file=True)
    ] = ()
    system: Annotated[str | None, Option("The system message.", metavar="TEXT")] = None
    max_new_tokens: Annotated[int, Option("The most tokens of one answer.", metavar="N")] = 512
    temperature: Annotated[float | None, Option("0: always the likeliest token; above: sample.", metavar="T")] = None
    top_p: Annotated[float | None, Option("Sample from the likeliest tokens that sum up to P.", metavar="P")] = None
    top_k: Annotated[int | None, Option("Sample from the K likeliest tokens.", metavar="K")] = None
    repetition_penalty: Annotated[
        float | None, Option("Above 1: tokens that were used become less likely.", metavar="R")
    ] = None
    seed: Annotated[int | None, Option("Makes sampling repeatable.", metavar="N")] = None
    device: Device = "CPU"
    prompt: Annotated[str | None, Option("Answer this one question and exit.", metavar="TEXT")] = None
