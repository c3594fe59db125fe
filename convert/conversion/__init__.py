"""The one-way story: a job becomes a plan, a plan becomes an artifact, whatever the format (`format`, `formats`).

source → verified checkpoint → engine and scheme → staged files → manifest → rename.
"""

from .artifact import Artifact
from .convert import plan, run
from .formats import FORMATS, Located, describe_vision, format_of, locate, recognize
from .gguf_plan import GgufJob, GgufPlan
from .onnx_plan import OnnxJob, OnnxPlan
from .openvino_plan import Job, Plan

__all__ = [
    "FORMATS", "Artifact", "GgufJob", "GgufPlan", "Job", "Located", "OnnxJob", "OnnxPlan", "Plan", "describe_vision", "format_of",
    "locate", "plan", "recognize", "run",
]  # fmt: skip
