"""What the built-in vision model is made of: GLM-Edge-V's structure at a small size, and its files as on the Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from . import model_path

SIZE, PATCH = 112, 14  # 8 x 8 patches, 18 image tokens; the real ones have 672, 48 x 48, 578
TOWER: dict[str, Any] = {
    "hidden_size": 192,
    "image_size": SIZE,
    "intermediate_size": 512,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 3,
    "num_hidden_layers": 4,
    "patch_size": PATCH,
    "torch_dtype": "bfloat16",
}
PREPROCESSOR: dict[str, Any] = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "MllamaImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "max_image_tiles": 1,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": SIZE, "width": SIZE},
}


def preprocess() -> Any:
    """Return the rule that makes pixels of pictures."""
    from ..convert.families.glm_edge_v_model.pixels import Preprocess

    return Preprocess.from_config(PREPROCESSOR)


def make_model(folder: Path) -> tuple[Any, Any]:
    """Write all files but the weights, and return (model, tokenizer).

    The language model has the built-in language model's weights; tower and adapter are as they are born, but for the
    tower's positions, which begin as sines, so that neighbors need not be found out first.
    """
    import torch
    from transformers import AutoTokenizer, GlmForCausalLM

    from ..convert.families.glm_edge_v_model.configuration import GlmEdgeVConfig
    from ..convert.families.glm_edge_v_model.modeling import GlmEdgeVForConditionalGeneration

    _write_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = json.loads((model_path() / "config.json").read_text(encoding="utf-8"))
    boi, eoi = tokenizer.convert_tokens_to_ids(["<|begin_of_image|>", "<|end_of_image|>"])
    config |= {"boi_token_id": boi, "eoi_token_id": eoi, "vision_config": TOWER}
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", PREPROCESSOR)
    shutil.copyfile(model_path() / "generation_config.json", folder / "generation_config.json")
    model = GlmEdgeVForConditionalGeneration(GlmEdgeVConfig.from_checkpoint(config)).float()
    text = GlmForCausalLM.from_pretrained(model_path(), dtype="float32").state_dict()
    lacking = model.load_state_dict(text, strict=False)
    strangers = [*lacking.unexpected_keys, *(n for n in lacking.missing_keys if not n.startswith("model.vision."))]
    if strangers:
        raise RuntimeError(f"The language halves of the two built-in models differ: {', '.join(strangers)}")
    positions = model.model.vision.vit.model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        positions.copy_(0.3 * sines(SIZE // PATCH, TOWER["hidden_size"]))
    return model, tokenizer


def sines(grid: int, width: int) -> Any:
    """Return an embedding of each place in a square: float32 [grid * grid, width], rows in its first half, then columns."""
    import torch

    angles = torch.arange(grid)[:, None] / 100 ** (torch.arange(width // 4) / (width // 4))
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.cat([line.repeat_interleave(grid, 0), line.repeat(grid, 1)], dim=1)


def save(model: Any, folder: Path) -> None:
    """Write the weights in bfloat16, named as in the model, which is as in the real checkpoints."""
    import torch
    from safetensors.torch import save_file

    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in model.state_dict().items() if name not in tied}
    path = folder / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors writes it for the owner only; a package is for everybody


def _write_tokenizer(folder: Path) -> None:
    """Copy the language model's, with the V models' template, which lies in tokenizer_config.json there."""
    from ..convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE, image_tokens

    shutil.copyfile(model_path() / "tokenizer.json", folder / "tokenizer.json")
    stated = json.loads((model_path() / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = CHAT_TEMPLATE.format(image_tokens=image_tokens(SIZE, PATCH))
    _write(folder / "tokenizer_config.json", stated | {"chat_template": template})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
