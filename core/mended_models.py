"""Models of transformers, mended where the installed version computes another thing than the model's makers do."""

from __future__ import annotations

import math
from typing import Any

_LATENT, _EXPERTS = "DeepseekV2Attention", "DeepseekV2Moe"


def mended(model: Any) -> Any:
    """Return a model of transformers, mended in place. A version that needs no mending stays as it is.

    deepseek_v2: scores are multiplied by the square of YaRN's mscale_all_dim, too. transformers 5.5 leaves that out; its pull
    request 47435 puts it where deepseek_v3 has it, and the vendor's own code has had it from the first. And 5.5 reads a number of
    experts, where they are in groups, that it has not set.
    """
    for module in model.modules():
        if type(module).__name__ == _LATENT:
            module.scaling = module.qk_head_dim**-0.5 * _factor(module.config.rope_parameters or {}) ** 2
        if type(module).__name__ == _EXPERTS:
            module.num_experts = module.config.n_routed_experts
    return model


def _factor(table: dict[str, Any]) -> float:
    stated, factor = table.get("mscale_all_dim"), table.get("factor")
    if table.get("rope_type", "default") == "default" or not stated or not factor or factor <= 1:
        return 1.0
    return 0.1 * float(stated) * math.log(factor) + 1.0
