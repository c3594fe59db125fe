"""Models of transformers, mended where the installed version computes another thing than the model's makers do."""

from __future__ import annotations

import math
from typing import Any

_LATENT, _EXPERTS = "DeepseekV2Attention", "DeepseekV2Moe"
_WINDOWED, _SLIDING = "Olmo3DecoderLayer", "sliding_attention"


def mended(model: Any) -> Any:
    """Return a model of transformers, mended in place. A version that needs no mending stays as it is.

    deepseek_v2: scores are multiplied by the square of YaRN's mscale_all_dim, too. transformers 5.5 leaves that out; its pull
    request 47435 puts it where deepseek_v3 has it, and the vendor's own code has had it from the first. And 5.5 reads a number of
    experts, where they are in groups, that it has not set.

    olmo3: the scaling of positions is for layers without a window, as in transformers before version 5 (its pull request 45945
    tells how that was lost) and in the makers' own code.
    """
    for module in model.modules():
        if type(module).__name__ == _LATENT:
            module.scaling = module.qk_head_dim**-0.5 * _factor(module.config.rope_parameters or {}) ** 2
        if type(module).__name__ == _EXPERTS:
            module.num_experts = module.config.n_routed_experts
        if type(module).__name__ == _WINDOWED and _scales_everywhere(model, module):
            module.register_forward_pre_hook(_with_plain_positions, with_kwargs=True)
            module.mended = True
    return model


def _scales_everywhere(model: Any, layer: Any) -> bool:
    """Tell whether a layer has a window, and is given the one rotary embedding of all, which is scaled."""
    body, own = getattr(model, "model", model), layer.self_attn
    single = hasattr(getattr(body, "rotary_emb", None), "inv_freq")
    table = own.config.rope_parameters or {}
    kind = own.config.layer_types[own.layer_idx]
    return (
        single and kind == _SLIDING and table.get("rope_type", "default") != "default" and not hasattr(layer, "mended")
    )


def _with_plain_positions(layer: Any, arguments: Any, options: dict[str, Any]) -> Any:
    """Give a layer cosines and sines of the plain rotary embedding."""
    import torch

    cosine, _ = options["position_embeddings"]
    width = cosine.shape[-1]
    powers = torch.arange(0, width, 2, dtype=torch.int64, device=cosine.device).float() / width
    frequencies = 1.0 / (float(layer.self_attn.config.rope_parameters["rope_theta"]) ** powers)
    angles = (options["position_ids"][..., None].float() * frequencies).repeat(1, 1, 2)
    plain = tuple(turned.to(cosine.dtype) for turned in (angles.cos(), angles.sin()))
    return arguments, {**options, "position_embeddings": plain}


def _factor(table: dict[str, Any]) -> float:
    stated, factor = table.get("mscale_all_dim"), table.get("factor")
    if table.get("rope_type", "default") == "default" or not stated or not factor or factor <= 1:
        return 1.0
    return 0.1 * float(stated) * math.log(factor) + 1.0
