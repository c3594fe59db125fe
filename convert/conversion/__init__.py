"""The one-way story: a job becomes a plan, a plan becomes an artifact. One file a format; OpenVINO's is the default.

source → verified checkpoint → engine and scheme → staged files → manifest → rename.
"""

from .artifact import Artifact
from .openvino import Job, Plan, plan, run

__all__ = ["Artifact", "Job", "Plan", "plan", "run"]
