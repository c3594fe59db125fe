"""The recipe's schema. Every option of `edgeconv openvino`, `gguf` and `onnx` is a field of its target, by the same name.

So are those of `edgeconv validate`; those of `edgeconv publish` stand under `publish`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..quantize.data_aware import METRICS
from ..quantize.scheme import BACKUPS, FALLBACKS, PRECISIONS, VISION_PRECISIONS


def _among(values: Sequence[str]) -> tuple[Callable[[str], str], Any]:
    """Return a check that a text is one of `values`, and the words for the JSON schema, from which editors complete."""

    def check(value: str) -> str:
        if value not in values:
            raise ValueError(f"{value!r} is none of {', '.join(values)}")
        return value

    return check, Field(json_schema_extra={"enum": list(values)})


_PRECISION, _FALLBACK, _BACKUP, _VISION = map(_among, (PRECISIONS, FALLBACKS, BACKUPS, VISION_PRECISIONS))
_METRIC = _among(METRICS)
Metric = Annotated[str, AfterValidator(_METRIC[0]), _METRIC[1]]
Precision = Annotated[str, AfterValidator(_PRECISION[0]), _PRECISION[1]]
Fallback = Annotated[str, AfterValidator(_FALLBACK[0]), _FALLBACK[1]]
Backup = Annotated[str, AfterValidator(_BACKUP[0]), _BACKUP[1]]
VisionPrecision = Annotated[str, AfterValidator(_VISION[0]), _VISION[1]]
GgufPrecision = Literal["int4", "int8", "bf16", "fp16", "fp32"]
OnnxPrecision = Literal[
    "int4", "int4_sym", "int4_asym", "int8", "int8_sym", "int8_asym", "bf16", "fp16", "fp32"
]  # fmt: skip
TargetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Model):
    """The checkpoint."""

    model: str = Field(description="A Hub id, or a folder.")
    revision: str | None = Field(None, description="Branch, tag or commit; a commit makes every run the same.")
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the checkpoint.")


class Publish(_Model):
    """Where a target goes once its parity is shown."""

    repo: str = Field(description="ORGANIZATION/NAME on the Hub.")
    private: bool = Field(False, description="Make a new repository a private one; refuse one that is public.")
    branch: str | None = Field(None, description="Push to this branch; by default the main one.")
    create_pr: bool = Field(False, description="Open a pull request instead of pushing.")
    message: str | None = Field(None, description="The commit's message.")
    replace: list[str] = Field(
        [],
        description="Files of the repository that may be overwritten although this target did not put them there, and targets "
        "there (openvino-int4) whose place it takes.",
    )
    allow_unvalidated: bool = Field(
        False,
        description="Publish what parity: false leaves unmeasured; its card says so. What failed is never published.",
    )


_RULES = "REGEX=PRECISION[:GROUP] for single weights; the first that is found in a name decides."


class _Target(_Model):
    output: str | None = Field(
        None, description="Folder of the result; by default recipe and target, below the run's folder."
    )
    smoke_test: bool | None = Field(
        None,
        description="Let the runtime load the result and make one token before it gets its name; null: unless the environment's "
        "EDGECONV_SMOKE_TEST is 0.",
    )
    parity: bool = Field(True, description="Measure whether the result is still its checkpoint.")
    budget: dict[str, float] = Field({}, description="Replaces budgets, e.g. {mean_kl: 0.05, top1: 0.92}.")
    suite: str | None = Field(None, description="Texts to measure on, beside the recipe: YAML, .txt, .md or .jsonl.")
    max_tokens: int | None = Field(None, ge=1, description="Measure on about so many tokens of the suite.")
    quick: bool = Field(False, description="Measure once, teacher-forced; no generation, no error split.")
    strict: bool = Field(False, description="Fail by the listed defects of the engine too, which no artifact can mend.")
    reference_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="In which type the reference computes."
    )
    device: str = Field("CPU", description="OpenVINO device that is measured; GGUF and ONNX run on the CPU.")
    junit: bool = Field(False, description="Write the report as parity/parity.xml too, for JUnit's readers.")
    publish: Publish | None = Field(None, description="Nothing is published without it, nor without passing parity.")


class OpenVINO(_Target):
    """A target of `edgeconv openvino`."""

    format: Literal["openvino"]
    precision: Precision = "int4"
    group_size: int | None = None
    group_size_fallback: Fallback | None = None
    ratio: float | None = Field(None, ge=0, le=1)
    sym: bool | None = None
    backup_precision: Backup | None = None
    all_layers: bool | None = None
    tensor_precision: list[str] = Field([], description=_RULES)
    calibration: str | None = Field(None, description="A text or JSONL beside the recipe, or suite: edgeconv's own.")
    awq: bool | None = None
    scale_estimation: bool | None = None
    gptq: bool | None = None
    lora_correction: bool | None = None
    sensitivity_metric: Metric | None = None
    num_samples: int | None = Field(None, ge=1, description="Pieces of the calibration text that are measured on.")
    target: Literal["cpu", "gpu", "npu"] | None = Field(
        None, description="The device whose documented limits are kept."
    )
    kv_cache: Literal["f16", "device"] | None = Field(
        None,
        description="What the artifact asks of the device for keys and values; left out: see `edgeconv openvino --help`.",
    )
    vision_precision: VisionPrecision | None = None
    engine: Literal["auto", "stream", "trace"] = "auto"
    compressor: Literal["auto", "nncf"] = "auto"
    rope: Literal["source", "fused"] = "source"
    layout: Literal["optimum", "genai"] = "optimum"


class Gguf(_Target):
    """A target of `edgeconv gguf`."""

    format: Literal["gguf"]
    precision: GgufPrecision | None = None
    type: str | None = Field(None, description="llama.cpp's name of the mix, in the place of precision.")
    pure: bool = False
    leave_output_tensor: bool = False
    output_type: str | None = None
    token_embedding_type: str | None = None
    tensor_type: list[str] = Field([], description="REGEX=TYPE; the first that is found in a tensor's name decides.")
    imatrix: str | None = Field(None, description="llama.cpp's importance matrix, beside the recipe.")
    vision_precision: Literal["fp16", "int8", "fp32", "none"] | None = None
    split_max_size: str | None = Field(None, description="Bytes of tensors that a file may hold: N, NK, NM or NG.")
    pre: str | None = None


class Onnx(_Target):
    """A target of `edgeconv onnx`."""

    format: Literal["onnx"]
    precision: OnnxPrecision = "int4"
    group_size: int | None = None
    group_size_fallback: Fallback | None = None
    ratio: float | None = Field(None, ge=0, le=1)
    sym: bool | None = None
    backup_precision: Literal["none", "int8_sym", "int8_asym"] | None = None
    all_layers: bool | None = None
    tensor_precision: list[str] = Field([], description=_RULES)
    vision_precision: VisionPrecision | None = None
    engine: Literal["auto", "stream", "trace"] = "auto"
    accuracy_level: Literal[0, 1, 4] = Field(4, description="Of MatMulNBits: 4 multiplies int4 in int8, 1 in float32.")


Target = Annotated[OpenVINO | Gguf | Onnx, Field(discriminator="format")]


class Recipe(_Model):
    """The whole file."""

    recipe: Literal[1] = Field(1, description="Version of this schema.")
    name: str
    description: str = ""
    source: Source
    targets: dict[TargetName, Target] = Field(min_length=1)
