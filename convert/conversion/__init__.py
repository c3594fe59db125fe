"""The one-way story: a job becomes a plan, a plan becomes an artefact. One file a format; OpenVINO's is the default.

source → verified checkpoint → engine and scheme → staged files → manifest → rename.
"""

from .artifact import Artefact
from .openvino import Job, Plan, plan, run

__all__ = ["Artefact", "Job", "Plan", "plan", "run"]
