"""Tiny GLM-Edge-V checkpoints of random weights, in the form in which the real ones lie on the Hub.

config.json says `model_type: glm` and names remote code, the tensors are called as in THUDM/glm-edge-v-2b, the chat
template is inside tokenizer_config.json. For structure only: the trained one is `edgeconv.builtin.vision_model_path`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from edgeconv.builtin import model_path
from edgeconv.convert.families.glm_edge_v_model.facts import CHAT_TEMPLATE, image_tokens

IMAGE, PATCH = 56, 14  # 4 x 4 patches: 6 image tokens
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
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "image_size": IMAGE,
    "intermediate_size": 48,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "patch_size": PATCH,
}
TEXT: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "attention_bias": False,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}


def make_glm_edge_v(folder: Path, **overrides: Any) -> Path:
    """Write a checkpoint to `folder` and return it.

    Args:
        folder: made if absent.
        **overrides: `dtype` ("bfloat16"), `max_shard_size` ("5GB"), `seed` (0), `pooling_head` (False: whether SigLIP's
            unused head is among the tensors), `vision` (fields of vision_config), `template` (the chat template);
            everything else goes into config.json, e.g. `tie_word_embeddings=True`.

    """
    import torch
    from safetensors.torch import save_file

    from edgeconv.convert.families.glm_edge_v_model.configuration import GlmEdgeVConfig
    from edgeconv.convert.families.glm_edge_v_model.modeling import GlmEdgeVForConditionalGeneration

    options = {"dtype": "bfloat16", "max_shard_size": "5GB", "seed": 0, "pooling_head": False, "vision": {}}
    options |= {name: overrides.pop(name) for name in list(overrides) if name in options}
    folder.mkdir(parents=True, exist_ok=True)
    vision = VISION | {"torch_dtype": options["dtype"]} | options["vision"]
    template = overrides.pop("template", CHAT_TEMPLATE.format(image_tokens=image_tokens(vision["image_size"], PATCH)))
    vocabulary = write_tokenizer(folder, template)
    config = TEXT | vocabulary | {"model_type": "glm", "architectures": ["GlmForCausalLM"], "vision_config": vision}
    config |= {"auto_map": {"AutoModelForCausalLM": "modeling_glm.GlmForCausalLM"}, "torch_dtype": options["dtype"]}
    config |= overrides
    model = GlmEdgeVForConditionalGeneration(GlmEdgeVConfig.from_checkpoint(config))
    _randomize(model, options["seed"])
    model.to(getattr(torch, options["dtype"])).save_pretrained(folder, max_shard_size=options["max_shard_size"])
    if options["pooling_head"]:
        _add_pooling_head(folder / "model.safetensors", vision, save_file)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", PREPROCESSOR | {"size": size})
    ids = {name: vocabulary[name] for name in ("eos_token_id", "pad_token_id")}
    _write(folder / "generation_config.json", ids)
    return folder


def write_tokenizer(folder: Path, template: str) -> dict[str, Any]:
    """Copy the built-in tokenizer with another template, and return the ids that config.json states."""
    from transformers import AutoTokenizer

    shutil.copyfile(model_path() / "tokenizer.json", folder / "tokenizer.json")
    stated = json.loads((model_path() / "tokenizer_config.json").read_text(encoding="utf-8"))
    _write(folder / "tokenizer_config.json", stated | {"chat_template": template})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end, user, observation, boi, eoi = tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|user|>", "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>"]
    )
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": end,
        "eos_token_id": [end, user, observation],
        "bos_token_id": None,
        "boi_token_id": boi,
        "eoi_token_id": eoi,
    }


def _randomize(model: Any, seed: int) -> None:
    """As in tiny.py, widths of output channels that differ; convolutions count all their inputs."""
    import torch

    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
                continue
            noise = torch.randn(parameter.flatten(1).shape, generator=random)
            widths = torch.exp(0.5 * torch.randn(len(noise), 1, generator=random))
            parameter.copy_((noise * widths / noise.shape[1] ** 0.5).view_as(parameter))


def _add_pooling_head(path: Path, vision: dict[str, Any], save_file: Any) -> None:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    prefix = "model.vision.vit.model.vision_model.head."
    width = vision["hidden_size"]
    tensors |= {prefix + "probe": torch.ones(1, 1, width), prefix + "layernorm.weight": torch.ones(width)}
    save_file(tensors, path, metadata={"format": "pt"})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
