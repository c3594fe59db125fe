"""Keys for transformers 4, the converter of llama.cpp and other readers; transformers 5 writes only its new ones."""

import json
from pathlib import Path
from typing import Any


def _rope_keys(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the flat keys for a `rope_parameters` entry, whether it is one rule or one rule per kind of layer."""
    if "full_attention" in parameters:  # Gemma 3: global layers and sliding-window layers turn at different speeds
        return {
            "rope_theta": parameters["full_attention"]["rope_theta"],
            "rope_local_base_freq": parameters["sliding_attention"]["rope_theta"],
        }
    return {key: parameters[key] for key in ("rope_theta", "partial_rotary_factor") if key in parameters}


def add_legacy_keys(folder: Path) -> None:
    """Add `torch_dtype` and the flat RoPE keys to config.json, and a tokenizer class that every version knows."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"torch_dtype": config.get("dtype")} | _rope_keys(config.get("rope_parameters") or {})
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    path = folder / "tokenizer_config.json"
    if path.exists():
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        tokenizer.pop("backend", None)
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(tokenizer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
