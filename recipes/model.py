"""The recipe's schema. Every option of a command that has a section in it is a field there, by the same name.

They are declared in `convert.options`, `validate.options` and `publish.options`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..convert.options import GgufOptions, OnnxOptions, OpenVINOOptions
from ..publish.options import PublishOptions
from ..validate.options import ValidateOptions
from .section import has

TargetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Section(_Model):
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Fields that `has` gives a section, which mypy cannot see."""


@has(OpenVINOOptions, "source")
class Source(_Section):
    """The checkpoint."""


@has(PublishOptions)
class Publish(_Section):
    """Where a target goes once its parity is shown."""


class _Made(_Section):
    output: str | None = Field(
        None, description="Folder of the result; by default recipe and target, below the run's folder."
    )
    smoke_test: bool | None = Field(
        None,
        description="Let the runtime load the result and make one token before it gets its name; null: unless the environment's "
        "EDGECONV_SMOKE_TEST is 0.",
    )
    parity: bool = Field(True, description="Measure whether the result is still its checkpoint.")


@has(ValidateOptions)
class _Measured(_Made):
    pass


class _Target(_Measured):
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
