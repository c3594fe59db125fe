"""GLM-Edge-V (THUDM/glm-edge-v-2b, -5b): configuration, model, image processor and processor, without remote code.

Importing this package is cheap; torch and transformers come with the first call.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ....core import limits
from ....core.errors import CheckpointError
from .facts import is_glm_edge_v

__all__ = ["is_glm_edge_v", "load", "load_processor", "read_config", "register"]


def register() -> None:
    """Make transformers' Auto classes know `model_type: glm_edge_v`; a second call changes nothing."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

    from .configuration import GlmEdgeVConfig
    from .image_processing import GlmEdgeVImageProcessor
    from .modeling import GlmEdgeVForConditionalGeneration, GlmEdgeVModel
    from .processing import GlmEdgeVProcessor

    AutoConfig.register(GlmEdgeVConfig.model_type, GlmEdgeVConfig, exist_ok=True)
    AutoModel.register(GlmEdgeVConfig, GlmEdgeVModel, exist_ok=True)
    AutoModelForImageTextToText.register(GlmEdgeVConfig, GlmEdgeVForConditionalGeneration, exist_ok=True)
    AutoImageProcessor.register(GlmEdgeVConfig, image_processor_classes={"pil": GlmEdgeVImageProcessor}, exist_ok=True)
    AutoProcessor.register(GlmEdgeVConfig, GlmEdgeVProcessor, exist_ok=True)


def read_config(folder: Path) -> Any:
    """Read a checkpoint folder's config.json as a `GlmEdgeVConfig`.

    Raises:
        CheckpointError: the file is absent, no JSON, or describes another model.
    """
    from .configuration import GlmEdgeVConfig

    try:
        config = json.loads(limits.read_text(folder / "config.json", limits.JSON))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: config.json cannot be read ({error}).") from error
    return GlmEdgeVConfig.from_checkpoint(config)


def load(folder: Path, dtype: Any = "float32", **options: Any) -> Any:
    """Load a GLM-Edge-V checkpoint as it comes from the Hub: safetensors and a config.json that says `glm`.

    Args:
        folder: of the checkpoint.
        dtype: of the weights in memory, a torch dtype or its name.
        **options: of `from_pretrained`, e.g. `attn_implementation="eager"`.

    Returns:
        A `GlmEdgeVForConditionalGeneration` in evaluation mode.

    Raises:
        CheckpointError: the config describes another model, or a tensor is missing, left over or of another shape.
    """
    from .modeling import GlmEdgeVForConditionalGeneration

    register()
    model, info = GlmEdgeVForConditionalGeneration.from_pretrained(
        folder,
        config=read_config(folder),
        dtype=dtype,
        local_files_only=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # to report them below
        output_loading_info=True,
        **options,
    )
    wrong = [(kind, names) for kind in ("missing", "unexpected", "mismatched") if (names := info[f"{kind}_keys"])]
    if wrong:
        told = "; ".join(f"{len(names)} {kind}, e.g. {min(map(_name, names))}" for kind, names in wrong)
        raise CheckpointError(
            f"The tensors in {folder.name} are not those of its config.json: {told}.",
            "A shard is missing, or the files are of different revisions; download all of them again.",
        )
    return model.eval()


def load_processor(folder: Path) -> Any:
    """Load tokenizer, chat template and image processor of a checkpoint folder as a `GlmEdgeVProcessor`.

    Raises:
        CheckpointError: a file is absent, or the template renders another number of image tokens than the tower makes.
    """
    from .processing import GlmEdgeVProcessor

    register()
    return GlmEdgeVProcessor.from_checkpoint(folder)


def _name(entry: Any) -> str:
    """Return the tensor's name; transformers gives mismatched ones with their shapes."""
    return str(entry[0] if isinstance(entry, tuple) else entry)
