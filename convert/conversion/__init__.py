"""The one-way story: a job becomes a plan, a plan becomes an artifact, whatever the format (`format`, `formats`).

source → verified checkpoint → engine and scheme → staged files → manifest → rename.
"""

from .artifact import Artifact
from .convert import plan, run
from .formats import FORMATS, describe_vision, format_of, recognize
from .gguf_plan import GgufJob, GgufPlan
from .onnx_plan import OnnxJob, OnnxPlan
from .openvino_plan import Job, Plan

__all__ = [
    "FORMATS", "Artifact", "GgufJob", "GgufPlan", "Job", "OnnxJob", "OnnxPlan", "Plan", "describe_vision", "format_of",
    "plan", "recognize", "run",
]  # fmt: skip
