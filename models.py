"""The names under which published cards import GLM-Edge-V; new code imports `edgeconv.convert.families.glm_edge_v_model`."""

import sys

from .convert.families import glm_edge_v_model
from .convert.families.glm_edge_v_model import pixels

sys.modules[f"{__name__}.glm_edge_v"] = glm_edge_v_model
sys.modules[f"{__name__}.glm_edge_v.pixels"] = pixels
