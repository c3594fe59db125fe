"""A checkpoint of transformers' own in the form of makers who bring code: the names of their tensors, q, k and v joined.

Sources: `modeling_internlm2.py` (`rearrange(qkv, "b q (h gs d) -> b q h gs d")`: each group of heads, its key, its value).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_INTERNLM2 = {
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "model.tok_embeddings", "lm_head": "output",
}  # fmt: skip


def rewrite(folder: Path, stated: dict[str, Any]) -> None:
    """Give a folder the tensors and the config.json of the makers' form.

    Args:
        folder: a checkpoint of one safetensors file.
        stated: their config.json.
    """
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    if stated["model_type"] == "internlm2":
        tensors = _internlm2(tensors, stated["num_attention_heads"], stated["num_key_value_heads"])
    save_file(tensors, path, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(stated, indent=1))


def _internlm2(tensors: dict[str, Any], heads: int, keys: int) -> dict[str, Any]:
    import torch

    made = {}
    for name, tensor in tensors.items():
        projection = re.fullmatch(r"(model\.layers\.\d+\.)self_attn\.([qkv])_proj\.(weight|bias)", name)
        if projection is None:
            for ours, theirs in _INTERNLM2.items():
                name = name.replace(ours, theirs)  # noqa: PLW2901 - the same tensor's
            made[name] = tensor
        elif projection[2] == "q":
            q, k, v = (tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv")
            rest = q.shape[1:]
            grouped = q.reshape(keys, heads // keys, -1, *rest)
            joined = torch.cat([grouped, k.reshape(keys, 1, -1, *rest), v.reshape(keys, 1, -1, *rest)], 1)
            made[f"{projection[1]}attention.wqkv.{projection[3]}"] = joined.reshape(-1, *rest).contiguous()
    return made
