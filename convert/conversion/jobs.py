"""From what a user asked to a job: every option goes by its name into the job, or into the job's request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from ...core.errors import UsageError
from ...core.option import into
from ...quantize.scheme import Request
from ..gguf.recipe import recipe
from ..options import GgufOptions, OnnxOptions, OpenVINOOptions, Options
from ..options.texts import byte_count, tensor_type
from .calibrator import Calibrator
from .gguf_plan import GgufJob
from .onnx_plan import OnnxJob
from .openvino_plan import Job

AnyJob = Job | GgufJob | OnnxJob


@dataclass(frozen=True)
class Circumstances:
    """What a job has that no option of a format says.

    Attributes:
        calibrator: runs the model where there is a text to calibrate on.
        smoke_test: let the runtime make a token of the result; None: as the environment says, else yes.
        keeps_digests: a folder's files that were hashed before, and have not changed since, are not hashed again.
    """

    calibrator: Calibrator | None = None
    smoke_test: bool | None = None
    keeps_digests: bool = False


@singledispatch
def job(asked: Options, around: Circumstances) -> AnyJob:
    """Return what a conversion is asked.

    Raises:
        UsageError: options that contradict each other, or a text that is none.
    """
    raise TypeError(f"no format has {type(asked).__name__}")


@job.register
def _(asked: OpenVINOOptions, around: Circumstances) -> Job:
    request = Request(**into(asked, Request))
    return Job(request=request, **around.__dict__, **into(asked, Job))


@job.register
def _(asked: OnnxOptions, around: Circumstances) -> OnnxJob:
    return OnnxJob(
        request=Request(**into(asked, Request)),
        smoke_test=around.smoke_test,
        keeps_digests=around.keeps_digests,
        **into(asked, OnnxJob),
    )


@job.register
def _(asked: GgufOptions, around: Circumstances) -> GgufJob:
    if asked.precision and asked.type:
        raise UsageError("--precision and --type contradict each other.", "Pass one of them.")
    chosen = recipe(
        asked.type or asked.precision or "int4",
        pure=asked.pure,
        leave_output=asked.leave_output_tensor,
        output_type=asked.output_type,
        token_embedding_type=asked.token_embedding_type,
        tensor_types=tuple(map(tensor_type, asked.tensor_type)),
    )
    given = into(asked, GgufJob) | {"split_max_size": byte_count(asked.split_max_size)}
    return GgufJob(recipe=chosen, **around.__dict__, **given)
