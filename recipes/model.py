"""The recipe's schema. Every option of `edgeconv openvino`, `gguf` and `onnx` is a field of its target, by the same name.

Those are declared in `convert.options`. The options of `edgeconv validate` are fields too; those of `edgeconv publish` stand
under `publish`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..convert.options import GgufOptions, OnnxOptions, OpenVINOOptions
from .target import has

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


@has(OpenVINOOptions)
class OpenVINO(_Target):
    """A target of `edgeconv openvino`."""

    format: Literal["openvino"]


@has(GgufOptions)
class Gguf(_Target):
    """A target of `edgeconv gguf`."""

    format: Literal["gguf"]


@has(OnnxOptions)
class Onnx(_Target):
    """A target of `edgeconv onnx`."""

    format: Literal["onnx"]


Target = Annotated[OpenVINO | Gguf | Onnx, Field(discriminator="format")]


class Recipe(_Model):
    """The whole file."""

    recipe: Literal[1] = Field(1, description="Version of this schema.")
    name: str
    description: str = ""
    source: Source
    targets: dict[TargetName, Target] = Field(min_length=1)
