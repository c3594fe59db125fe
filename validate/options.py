"""What a user may ask of a validation, and what other commands say in the same words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from ..core.option import Option, Options

Reference = Annotated[
    str | None,
    Option("The checkpoint; by default the one that the manifest names.", metavar="ID|DIR", section="run"),
]
Suite = Annotated[
    Path | None,
    Option(
        "Your own texts: suite.yaml, .txt, .md or .jsonl of chats.",
        metavar="FILE",
        file=True,
        recipe_help="Texts to measure on, beside the recipe: YAML, .txt, .md or .jsonl.",
    ),
]
Budgets = Annotated[
    Mapping[str, float],
    Option(
        "Replace a budget, e.g. mean_kl=0.05 or top1=0.92. Repeatable.",
        metavar="METRIC=LIMIT",
        example="mean_kl=0.05",
        recipe_help="Replaces budgets, e.g. {mean_kl: 0.05, top1: 0.92}.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ValidateOptions(Options):
    """What a user may ask of a validation."""

    artifact: Annotated[
        Path,
        Option(
            "A converted model of any tool's making: a folder, or a .gguf.",
            argument=True,
            metavar="OUT",
            section="run",
        ),
    ]
    reference: Reference = None
    budget: Budgets = field(default_factory=dict)
    suite: Suite = None
    max_tokens: Annotated[
        int | None,
        Option(
            "Measure on about N tokens of the suite; an error if it has fewer.",
            metavar="N",
            least=1,
            bounded=True,
            recipe_help="Measure on about so many tokens of the suite.",
        ),
    ] = None
    quick: Annotated[
        bool,
        Option(
            "Reference and artifact once, teacher-forced; conversion over 128 tokens.",
            recipe_help="Measure once, teacher-forced; no generation, no error split.",
        ),
    ] = False
    strict: Annotated[
        bool,
        Option(
            "Fail by the engine's own listed defects too, which no artifact can mend.",
            recipe_help="Fail by the listed defects of the engine too, which no artifact can mend.",
        ),
    ] = False
    bisect: Annotated[
        bool, Option("Name the first layer and operation that departs, and measure nothing else.", section="run")
    ] = False
    reference_dtype: Annotated[
        str, Option("In which type the reference computes.", choices=("float32", "bfloat16"))
    ] = "float32"
    device: Annotated[
        str,
        Option(
            "OpenVINO device of the artifact; a GGUF runs on the CPU.",
            recipe_help="OpenVINO device that is measured; GGUF and ONNX run on the CPU.",
        ),
    ] = "CPU"
    report: Annotated[
        Path | None,
        Option(
            "Write parity.json, parity.md and parity.html there; by default to OUT/parity, or NAME.parity beside a file.",
            metavar="DIR",
            section="run",
        ),
    ] = None
    no_report: Annotated[bool, Option("Write no report.", section="run")] = False
    junit: Annotated[Path | None, Option("Write a JUnit XML file.", metavar="FILE", section="run")] = None
