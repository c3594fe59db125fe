"""What a user may ask of a GGUF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ...core.option import Option, Options
from . import shared


@dataclass(frozen=True, kw_only=True)
class GgufOptions(Options):
    """What a user may ask of a GGUF: llama-quantize's options, by its names and with its meaning, and the file's."""

    model: shared.Model
    precision: Annotated[
        str | None,
        Option(
            "What the weights become: int4 is q4_k_m, int8 is q8_0. int4 if neither this nor --type is given.",
            short="-p",
            choices=("int4", "int8", "bf16", "fp16", "fp32"),
            point=False,
            recipe_help="What the weights become: int4 is q4_k_m, int8 is q8_0. int4 if neither this nor type is given.",
        ),
    ] = None
    type: Annotated[
        str | None,
        Option(
            "The same by llama.cpp's name of the mix: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k_s, q3_k_m, "
            "q3_k_l, q4_k_s, q4_k_m, q5_k_s, q5_k_m, q6_k, iq4_nl, iq4_xs.",
            short="-t",
            metavar="TYPE",
            point=False,
            recipe_help="llama.cpp's name of the mix, in the place of precision.",
        ),
    ] = None
    output: Annotated[
        Path | None,
        Option(
            "Where the result goes: a folder, or a file if it ends in .gguf; its manifest then lies beside it.",
            short="-o",
            metavar="DIR|FILE",
            section="run",
        ),
    ] = None
    revision: shared.Revision = None
    force: shared.Force = False
    pure: Annotated[bool, Option("Give every matrix the same type, the mix's own exceptions too.")] = False
    leave_output_tensor: Annotated[bool, Option("Leave output.weight as the checkpoint stores it.", point=False)] = (
        False
    )
    output_type: Annotated[str | None, Option("What output.weight becomes.", metavar="TYPE")] = None
    token_embedding_type: Annotated[str | None, Option("What token_embd.weight becomes.", metavar="TYPE")] = None
    tensor_type: Annotated[
        tuple[str, ...],
        Option(
            "What tensors become in whose names the expression is found, e.g. ffn_down=q6_k. The first that is found "
            "decides. Repeatable.",
            metavar="REGEX=TYPE",
            recipe_help="REGEX=TYPE; the first that is found in a tensor's name decides.",
        ),
    ] = ()
    imatrix: Annotated[
        Path | None,
        Option(
            "Weigh errors by the importance matrix that llama-imatrix wrote to this file, or by one that is computed on "
            "this text (.txt, .md, .jsonl of chats).",
            metavar="FILE",
            file=True,
            recipe_help="llama.cpp's importance matrix, or a text on which one is computed (.txt, .md, .jsonl of chats), "
            "beside the recipe.",
        ),
    ] = None
    vision_precision: Annotated[
        str | None,
        Option(
            "What the weights of a vision encoder become, in a file mmproj-*.gguf of its own; fp16 if not given. none: the "
            "language model alone.",
            choices=("fp16", "int8", "fp32", "none"),
            point=False,
        ),
    ] = None
    split_max_size: Annotated[
        str | None,
        Option(
            "Write several files, each with at most so many bytes of tensors.",
            metavar="N(K|M|G)",
            point=False,
            recipe_help="Bytes of tensors that a file may hold: N, NK, NM or NG.",
        ),
    ] = None
    pre: Annotated[
        str | None,
        Option(
            "llama.cpp's name of the tokenizer's splitting, if it cannot be found out.", metavar="NAME", point=False
        ),
    ] = None
    local_files_only: shared.LocalFilesOnly = False
